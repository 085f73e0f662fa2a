/// One text negotiation of a target's session, RFC 7143 §11.10: one at a time.
struct TextExchange: Sendable {
  /// Where it stands.
  enum Phase: Equatable, Sendable {
    case idle
    /// The initiator's text is not whole, or ours isn't.
    case open(tag: UInt32)
    /// The owner has the keys.
    case owned(TaskHandle)
  }

  var phase = Phase.idle
  var assembly: TextAssembly
  var pieces = TextPieces()
  /// The request that is being answered.
  var request = BasicHeaderSegment()
  private var transferTag: UInt32 = 0
  private let byteCountMax: Int

  init(byteCountMax: Int) {
    self.byteCountMax = byteCountMax
    assembly = TextAssembly(byteCountMax: byteCountMax)
  }

  mutating func nextTransferTag() -> UInt32 {
    transferTag = (transferTag + 1) & 0x7fff_ffff
    return transferTag
  }

  mutating func reset() {
    phase = .idle
    assembly = TextAssembly(byteCountMax: byteCountMax)
    pieces = TextPieces()
  }
}
