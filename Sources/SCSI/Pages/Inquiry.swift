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

extension LogicalUnit {
  static let vendor = "MIRRCAST"
  static let product = "MIRRORCAST DISK "
  static let revision = "0001"
  static let pages: [UInt8] = [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]

  /// The standard data, or a page of vital product data.
  func inquiryData(page: UInt8?) throws(SenseData) -> [UInt8] {
    guard let page else { return standardInquiry }
    let body: [UInt8]
    switch page {
    case 0x00: body = Self.pages
    case 0x80: body = Array(identity.serialNumber.utf8)
    case 0x83: body = designators
    case 0xb0: body = blockLimits
    // SBC-3 §6.6.2: medium rotation rate 1, a medium that doesn't rotate.
    case 0xb1: body = [0, 1] + [UInt8](repeating: 0, count: 58)
    case 0xb2: body = provisioning
    default: throw .invalidField(2)
    }
    var data: [UInt8] = [0, page]
    data.appendBigEndian(UInt16(body.count))
    return data + body
  }

  private var standardInquiry: [UInt8] {
    // SPC-4 §6.6.2: a disk, SPC-4, HISUP, response data format 2, 91 bytes more, CMDQUE.
    var data: [UInt8] = [0, 0, 0x06, 0x12, 91, 0, 0, 0x02]
    data.append(contentsOf: Self.vendor.utf8)
    data.append(contentsOf: Self.product.utf8)
    data.append(contentsOf: Self.revision.utf8)
    data.append(contentsOf: repeatElement(0, count: 58 - data.count))
    // Version descriptors: SAM-5, iSCSI, SPC-4, SBC-3.
    for descriptor in [0x00a0, 0x0960, 0x0460, 0x04c0] as [UInt16] {
      data.appendBigEndian(descriptor)
    }
    data.append(contentsOf: repeatElement(0, count: 96 - data.count))
    return data
  }

  private var designators: [UInt8] {
    var body: [UInt8] = [0x01, 0x03, 0, 8]
    body.appendBigEndian(identity.designator)
    let vendor = Array(Self.vendor.utf8) + Array(identity.serialNumber.utf8)
    body += [0x02, 0x01, 0, UInt8(vendor.count)] + vendor
    // SPC-4 §7.8.6.10: a SCSI name string ends with NUL and fills four bytes; 255 at most here.
    var name = Array(identity.targetName.utf8.prefix(223))
    name += Array(",L,0x\(String(identity.number.field, radix: 16))".utf8) + [0]
    name += [UInt8](repeating: 0, count: (4 - name.count % 4) % 4)
    return body + [0x03, 0x08, 0, UInt8(name.count)] + name
  }

  /// SBC-3 §6.6.4, all of it but atomic writes, which aren't supported.
  private var blockLimits: [UInt8] {
    let blockLength = Int(geometry.blockLength)
    let optimal = UInt32(max(4096 / blockLength, 1))
    var body: [UInt8] = [0x01, 0]
    body.appendBigEndian(UInt16(optimal))
    body.appendBigEndian(UInt32(Self.transferLengthMax / blockLength))
    body.appendBigEndian(UInt32((1 << 20) / blockLength))
    body.appendBigEndian(0 as UInt32)
    body.appendBigEndian(isThin ? UInt32.max : 0)
    body.appendBigEndian(isThin ? UInt32(Self.unmapDescriptorsMax) : 0)
    body.appendBigEndian(isThin ? optimal : 0)
    body.appendBigEndian(isThin ? 0x8000_0000 : 0 as UInt32)
    body.appendBigEndian(UInt64(Self.writeSameLengthMax / blockLength))
    return body + [UInt8](repeating: 0, count: 60 - body.count)
  }

  private var provisioning: [UInt8] {
    // SBC-3 §6.6.6: LBPU, LBPWS, LBPWS10, LBPRZ; provisioning type 2, thin.
    isThin ? [0, 0xe4, 0x02, 0] : [0, 0, 0, 0]
  }
}
