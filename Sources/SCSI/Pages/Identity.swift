// Who a disk is. The name is made from the target's name and the LUN alone, so that it stays the
// same across restarts, and differs between the legs of a mirror: an initiator that took two legs
// for two paths to one disk would defeat the mirror.

import Bytes

/// What tells one disk from all others: the target's iSCSI name and the LUN there.
package struct LogicalUnitIdentity: Equatable, Sendable {
  package let targetName: String
  package let number: LogicalUnitNumber
  let designator: UInt64

  package init(targetName: String, number: LogicalUnitNumber) {
    self.targetName = targetName
    self.number = number
    // FNV-1a: spreads names over 64 bits; it need not withstand an enemy.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in "\(targetName),L,\(number.value)".utf8 {
      hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
    }
    // SPC-4 §7.8.6.6.5: NAA 3h, locally assigned: no registered company is claimed.
    designator = 0x3 << 60 | hash >> 4
  }

  /// Sixteen hexadecimal digits, the same at every start.
  package var serialNumber: String {
    let digits = String(designator, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// One name of a disk in the device identification page.
struct Designator: Equatable, Sendable {
  let codeSet: UInt8
  /// Association and type, as the page's second byte has them.
  let kind: UInt8
  let name: [UInt8]

  var bytes: [UInt8] { [codeSet, kind, 0, UInt8(name.count)] + name }
}

extension LogicalUnitIdentity {
  static let vendor = "MIRRCAST"

  /// By what others may name this disk, SPC-4 §7.8.6: in the page, and in EXTENDED COPY.
  var designators: [Designator] {
    var number: [UInt8] = []
    number.appendBigEndian(designator)
    let vendor = Array(Self.vendor.utf8) + Array(serialNumber.utf8)
    // SPC-4 §7.8.6.10: a SCSI name string ends with NUL and fills four bytes; 255 at most here.
    var name = Array(targetName.utf8.prefix(223))
    name += Array(",L,0x\(String(self.number.field, radix: 16))".utf8) + [0]
    name += [UInt8](repeating: 0, count: (4 - name.count % 4) % 4)
    return [
      Designator(codeSet: 1, kind: 0x03, name: number),
      Designator(codeSet: 2, kind: 0x01, name: vendor),
      Designator(codeSet: 3, kind: 0x08, name: name),
    ]
  }
}
