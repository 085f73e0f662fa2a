/// The one text negotiation that may be open, RFC 7143 §11.10, and those that wait for it.
struct InitiatorText: Sendable {
  /// The tag of the negotiation that is open.
  var openTag: UInt32?
  var pieces = TextPieces()
  var assembly = TextAssembly()
  var waiting = Fifo<(tag: UInt32, keys: TextKeys)>()
}
