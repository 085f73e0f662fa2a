/// Where the data of a mirrored WRITE goes on one disk: what a leg reads out of its command.
package struct WriteRange: Equatable, Sendable, BitwiseCopyable {
  package let bytes: ByteRange
  package let isForced: Bool

  /// Takes WRITE (10), (12) and (16); throws the sense of anything else, or of blocks off the disk.
  package init(
    cdb: InlineArray<16, UInt8>, geometry: BlockGeometry
  ) throws(SenseData) {
    switch OperationCode(rawValue: cdb[0]) {
    case .write10, .write12, .write16: break
    default: throw .invalidOperationCode
    }
    guard case .write(let blocks, let isForced) = try BlockCommand(cdb: cdb) else {
      throw .invalidOperationCode
    }
    bytes = try geometry.bytes(of: blocks)
    self.isForced = isForced
  }
}
