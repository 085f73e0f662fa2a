/// The sixteen bytes that ask for something, RFC 7143 §11.3.5, with fields by offset and width.
package struct CommandDescriptorBlock: Sendable {
  package var bytes: InlineArray<16, UInt8>

  package init(_ bytes: InlineArray<16, UInt8>) {
    self.bytes = bytes
  }

  package init(_ code: OperationCode) {
    bytes = InlineArray(repeating: 0)
    bytes[0] = code.rawValue
  }

  package subscript(_ offset: Int) -> UInt8 {
    get { bytes[offset] }
    set { bytes[offset] = newValue }
  }

  package func bigEndian16(at offset: Int) -> UInt16 {
    UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
  }

  package func bigEndian32(at offset: Int) -> UInt32 {
    UInt32(bigEndian16(at: offset)) << 16 | UInt32(bigEndian16(at: offset + 2))
  }

  package func bigEndian64(at offset: Int) -> UInt64 {
    UInt64(bigEndian32(at: offset)) << 32 | UInt64(bigEndian32(at: offset + 4))
  }

  package mutating func setBigEndian(_ value: UInt16, at offset: Int) {
    bytes[offset] = UInt8(truncatingIfNeeded: value >> 8)
    bytes[offset + 1] = UInt8(truncatingIfNeeded: value)
  }

  package mutating func setBigEndian(_ value: UInt32, at offset: Int) {
    setBigEndian(UInt16(truncatingIfNeeded: value >> 16), at: offset)
    setBigEndian(UInt16(truncatingIfNeeded: value), at: offset + 2)
  }

  package mutating func setBigEndian(_ value: UInt64, at offset: Int) {
    setBigEndian(UInt32(truncatingIfNeeded: value >> 32), at: offset)
    setBigEndian(UInt32(truncatingIfNeeded: value), at: offset + 4)
  }

  /// How many of the sixteen bytes this command uses, SPC-4 §4.2.5.1: by its group code.
  package var length: Int? {
    switch bytes[0] >> 5 {
    case 0: 6
    case 1, 2: 10
    case 4: 16
    case 5: 12
    default: nil
    }
  }
}

// MARK: What an initiator asks for

extension CommandDescriptorBlock {
  package static let testUnitReady = CommandDescriptorBlock(.testUnitReady)

  /// Blocks from the medium.
  package static func read16(_ blocks: BlockRange) -> CommandDescriptorBlock {
    CommandDescriptorBlock(.read16, blocks)
  }

  /// Blocks to the medium, by `forced` past every volatile cache.
  package static func write16(_ blocks: BlockRange, forced: Bool = false) -> CommandDescriptorBlock
  {
    var block = CommandDescriptorBlock(.write16, blocks)
    block[1] = forced ? 0x08 : 0
    return block
  }

  /// As `write16`; nil where the address or the count needs more bits than WRITE (10) has.
  package static func write10(
    _ blocks: BlockRange, forced: Bool = false
  ) -> CommandDescriptorBlock? {
    guard let address = UInt32(exactly: blocks.address), let count = UInt16(exactly: blocks.count)
    else { return nil }
    var block = CommandDescriptorBlock(.write10)
    block[1] = forced ? 0x08 : 0
    block.setBigEndian(address, at: 2)
    block.setBigEndian(count, at: 7)
    return block
  }

  /// Everything written so far to the medium.
  package static let synchronizeCache16 = CommandDescriptorBlock(
    .synchronizeCache16, BlockRange(address: 0, count: 0))

  package static func readCapacity16(allocationLength: UInt32 = 32) -> CommandDescriptorBlock {
    var block = CommandDescriptorBlock(.serviceActionIn16)
    block[1] = 0x10
    block.setBigEndian(allocationLength, at: 10)
    return block
  }

  /// The standard data, or the page of vital product data.
  package static func inquiry(
    page: UInt8? = nil, allocationLength: UInt16 = 255
  ) -> CommandDescriptorBlock {
    var block = CommandDescriptorBlock(.inquiry)
    block[1] = page == nil ? 0 : 1
    block[2] = page ?? 0
    block.setBigEndian(allocationLength, at: 3)
    return block
  }

  package static func reportLUNs(allocationLength: UInt32) -> CommandDescriptorBlock {
    var block = CommandDescriptorBlock(.reportLUNs)
    block.setBigEndian(allocationLength, at: 6)
    return block
  }

  private init(_ code: OperationCode, _ blocks: BlockRange) {
    self.init(code)
    setBigEndian(blocks.address, at: 2)
    setBigEndian(blocks.count, at: 10)
  }
}
