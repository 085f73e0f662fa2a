import Bytes
import Datagrams
import ISCSI
import Replication

/// A caller's write, with the buffer that stays the caller's until the completion.
// Safe: the caller leaves the buffer alone until the completion was called, see Mirror.submit.
@safe struct WriteCall: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer
  /// The buffer is a copy of ours, to be freed when the write has ended at every leg.
  let isOwned: Bool
  let byteOffset: UInt64
  let forceUnitAccess: Bool
  var attribute = Submission.Attribute.simple
  var tag: WriteTag?
  /// Of what is no write, but stands for one that other lanes do.
  private(set) var mark: OrderMark?
  let completion: @Sendable (WriteResult) -> Void
  /// In a shared mirror, as long as the write has not ended at every leg.
  var gate: WriteGate?

  init(
    _ bytes: UnsafeRawBufferPointer, isOwned: Bool, byteOffset: UInt64, forceUnitAccess: Bool,
    completion: @escaping @Sendable (WriteResult) -> Void
  ) {
    // Safe: the caller leaves the buffer alone, as said above.
    unsafe self.bytes = bytes
    self.isOwned = isOwned
    self.byteOffset = byteOffset
    self.forceUnitAccess = forceUnitAccess
    self.completion = completion
  }

  init(_ mark: OrderMark) {
    // Safe: there is no data.
    unsafe self.init(
      UnsafeRawBufferPointer(start: nil, count: 0), isOwned: false, byteOffset: 0,
      forceUnitAccess: false, completion: { _ in })
    self.mark = mark
  }

  /// Frees the copy, when it is one.
  func release() {
    // Safe: allocated by Mirror for this call alone, which is over.
    if isOwned { unsafe bytes.deallocate() }
  }
}

/// What is asked of an initiator's lane.
enum SenderOrder: Sendable {
  /// A PDU of the mirror that came on a leg's connection.
  case mirrored(leg: Int, stay: Int, PDU)
  /// A plain WRITE at a leg of another make has ended.
  case foreign(leg: Int, SerialNumber, LegFailure?)
  case lost(leg: Int, stay: Int, String)
  /// A leg answered a ping.
  case pinged(leg: Int, stay: Int)
  /// A leg of this index is about to come.
  case expect(leg: Int, stay: Int)
  /// What seals the datagrams of an epoch that is about to begin.
  case key(EpochKey, epoch: UInt16)
  /// By what a leg proves what it has of an epoch's writes.
  case proofKey(leg: Int, [UInt8], epoch: UInt16)
  /// Find out which legs hear full datagrams to the group.
  case probe(LegSet, epoch: UInt16, done: @Sendable (_ deaf: LegSet) -> Void)
  /// Hold new writes back; tells the next write number.
  case pause(@Sendable (SerialNumber) -> Void)
  case resume(epoch: UInt16?, joining: LegSet)
  case add(MirrorLeg, DepartureWay?, LegDescription, done: @Sendable (Int) -> Void)
  /// A leg that left comes back under its index.
  case readmit(leg: Int, MirrorLeg, DepartureWay?, LegDescription)
  case drop(leg: Int)
  /// End the writes of that tag.
  case abort(WriteTag)
  /// The legs are about to end the mirror, and their streams with it.
  case end
  /// Call when nothing is open any more, and nothing waits.
  case whenIdle(@Sendable () -> Void)
  /// Call when nothing is open any more; what waits may go on waiting.
  case whenNoneOpen(@Sendable () -> Void)
  /// Call when no write before that number is open any more.
  case whenEnded(before: SerialNumber, @Sendable () -> Void)
  case kept(KeptOrder)
}

/// What is asked of a lane of a kept mirror.
enum KeptOrder: Sendable {
  case hold(token: UInt64, Range<UInt64>)
  case release(token: UInt64)
  /// What one leg has, for others, in a range that is held under that token.
  case copy(WriteCall, hold: UInt64, targets: LegSet)
  /// All that stay have stored that these legs left.
  case confirm(LegSet)
  /// Too few legs are left.
  case suspend
  case endSuspension
  /// So many ranges in which writes had failed everywhere are equal again.
  case mended(Int)
  /// The mirror can't go on.
  case stop
  /// Tell the legs which writes have ended everywhere; call when they know.
  case tellLowest(done: @Sendable () -> Void)
}
