// What an initiator asks of a logical unit before it uses it. INQUIRY goes first: it is answered
// without unit attentions, ready or not, and tells whether there is a disk at all.

import Bytes
import ISCSI
import SCSI

/// A disk as its target describes it.
struct DiskDescription: Sendable {
  var geometry: BlockGeometry
  /// The longest read or write that it takes, in bytes; nil where it names no limit.
  var transferLengthMax: Int?
  var vendor: String
  var product: String
}

/// What INQUIRY says of a logical unit.
private struct InquiryData {
  var isThere: Bool
  var deviceType: UInt8
  var vendor: String
  var product: String

  init?(_ data: [UInt8]) {
    guard data.count >= 5 else { return nil }
    // SPC-4 §6.6.2: a peripheral qualifier other than zero: nothing is connected there.
    isThere = data[0] >> 5 == 0
    deviceType = data[0] & 0x1f
    vendor = Self.text(data.dropFirst(8).prefix(8))
    product = Self.text(data.dropFirst(16).prefix(16))
  }

  // SPC-4 §4.3.1: ASCII, left-aligned, filled with blanks; nothing else gets to a terminal.
  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    let printable = bytes.filter { (0x20...0x7e).contains($0) }
    let blank = UInt8(ascii: " ")
    let end = printable.lastIndex { $0 != blank }.map { $0 + 1 } ?? 0
    return String(decoding: printable[..<end].drop { $0 == blank }, as: UTF8.self)
  }
}

extension InitiatorConnection {
  /// Asks for all that is to be known of a disk; throws where there is none.
  /// - Parameter mayLack: it need not be ready, since it is a leg that lacks something.
  func describeDisk(
    _ number: LogicalUnitNumber, thatMayLack mayLack: Bool = false
  ) async throws(MirrorcastError) -> DiskDescription {
    let inquiry = try await inquire(number)
    guard inquiry.isThere else { throw absent(number) }
    guard inquiry.deviceType == 0 else {
      throw MirrorcastError(
        "LUN \(number.value) at \(portal) is no disk (device type \(inquiry.deviceType))",
        advice: "`mirrorcast ls \(portal)` lists the disks.")
    }
    if !mayLack {
      let ready = try await command(lun: number, .testUnitReady)
      try check(ready, number, "is not ready")
    }
    let geometry = try await geometry(number)
    return DiskDescription(
      geometry: geometry,
      transferLengthMax: try await transferLengthMax(number, blockLength: geometry.blockLength),
      vendor: inquiry.vendor, product: inquiry.product)
  }

  /// The longest transfer by page B0h, which a target need not have.
  private func transferLengthMax(
    _ number: LogicalUnitNumber, blockLength: UInt32
  ) async throws(MirrorcastError) -> Int? {
    let page = try await command(
      lun: number, .inquiry(page: 0xb0, allocationLength: 64), transfer: .read(lengthMax: 64))
    guard page.isGood, page.data.count >= 12, page.data[1] == 0xb0 else { return nil }
    // SBC-3 §6.6.4: MAXIMUM TRANSFER LENGTH in blocks, zero where there is no limit.
    let blocks = page.data[8..<12].reduce(0) { $0 << 8 | Int($1) }
    return blocks == 0 ? nil : blocks * Int(blockLength)
  }

  private func inquire(_ number: LogicalUnitNumber) async throws(MirrorcastError) -> InquiryData {
    let outcome = try await command(
      lun: number, .inquiry(), transfer: .read(lengthMax: 255))
    try check(outcome, number, "does not answer INQUIRY")
    guard let inquiry = InquiryData(outcome.data) else { throw absent(number) }
    return inquiry
  }

  private func geometry(_ number: LogicalUnitNumber) async throws(MirrorcastError) -> BlockGeometry
  {
    let outcome = try await command(lun: number, .readCapacity16(), transfer: .read(lengthMax: 32))
    try check(outcome, number, "does not tell its size")
    // Safe: the span over the outcome's own bytes ends with the expression.
    guard let capacity = unsafe Capacity(outcome.data.span.bytes) else {
      throw MirrorcastError(
        "LUN \(number.value) at \(portal) tells a size that no disk has",
        advice: "Blocks of 512 to 65536 bytes can be used; look at the target.")
    }
    return capacity.geometry
  }

  private func check(
    _ outcome: CommandOutcome, _ number: LogicalUnitNumber, _ words: String
  ) throws(MirrorcastError) {
    if outcome.isGood { return }
    if outcome.sense?.additional == .logicalUnitNotSupported { throw absent(number) }
    throw MirrorcastError(
      "LUN \(number.value) at \(portal) \(words): \(outcome.text)",
      advice: "Look at the target's log and its disk.")
  }

  private func absent(_ number: LogicalUnitNumber) -> MirrorcastError {
    let target = session.targetName.map { " of \($0)" } ?? ""
    return MirrorcastError(
      "LUN \(number.value)\(target) at \(portal) is not there",
      advice: "`mirrorcast ls \(portal)` lists those that are.")
  }
}
