// What the keeping of a mirror hears, in one order, from all sides: the legs' sessions, the lanes,
// its own copies and joins, its callers. A lane's thread only posts, and never waits.
import Bytes
import Replication

/// Something that the keeping of a mirror is told, or asked.
enum KeptNews: Sendable {
  // From sessions. A stay that is over is about nobody.
  case connected(leg: Int, stay: Int, LegLink)
  case unreachable(leg: Int, stay: Int, String)
  case answered(leg: Int, stay: Int, token: UInt64, KeepingAnswer)
  case lost(leg: Int, stay: Int, String)
  /// Its host has answered a ping.
  case lives(leg: Int, stay: Int)

  // From lanes, which count legs by their places.
  case left(place: Int, stay: Int, String)
  /// The leg has failed a write, and gets it again.
  case retried(place: Int, stay: Int, String)
  /// The leg owes a write's end, and has said nothing for a while.
  case silent(part: Int, place: Int, stay: Int)
  case held(part: Int, token: UInt64)
  /// In that range the legs may differ.
  case suspect(part: Int, Range<UInt64>)

  // From what was begun.
  case begun(Mirror)
  case notBegun(any Error)
  case joined(leg: Int, stay: Int, firstWrites: [SerialNumber])
  case notJoined(leg: Int, stay: Int, String)
  /// No write that the leg has no part in is open any more.
  case settledIn(leg: Int, stay: Int)
  case compared(token: UInt64, [LegSet])
  case copied(token: UInt64)
  case unreadable(token: UInt64, leg: Int, stay: Int, String)

  // From the other initiators of a shared mirror, and from the gate before the lanes.
  case said(guest: UInt64, SharingMessage)
  case gone(guest: UInt64, String)
  case led(SharingMessage)
  case leaderGone(String)
  /// A leg has let a guest in, or ended what it had there.
  case admitted(leg: Int, stay: Int, guest: UInt64, isExpelled: Bool)
  case wanted(Range<Int>)
  case givenBack(Range<Int>)
  /// A copy's range may be held.
  case entered(token: UInt64)
  /// This initiator is about to go by that key for reservations; zero: by none any more.
  case keyed(UInt64)

  case timePassed

  /// A leg has told whether an order waits there.
  case looked(leg: Int, stay: Int, OrderLook.Found)

  // From callers.
  case open(CheckedContinuation<Mirror, any Error>)
  case add(LogicalUnitURL, CheckedContinuation<Void, any Error>)
  /// By a caller, or left at a leg.
  case ordered(OperatorOrder, OrderReply)
  /// Which legs may be read.
  case readable(CheckedContinuation<[FlushedLeg], Never>)
  /// Which legs a flush is for.
  case flushable(CheckedContinuation<[FlushedLeg], Never>)
  /// Called when no leg's loss waits to be stored at the others.
  case whenConfirmed(CheckedContinuation<Void, Never>)
  case whenInSync(CheckedContinuation<Void, Never>)
  case verify(KeptVerificationOrder)
  /// The caller of that one doesn't want it any more.
  case endVerification(UInt64)
  case close(CheckedContinuation<Void, Never>)
  case end
}

/// A leg whose medium is to have all.
struct FlushedLeg: Sendable {
  let leg: Int
  let stay: Int
  let bulk: LegBulk
}

/// Where news are posted, from any thread; never waits. What is posted is bounded by what was asked
/// and by the writes that are open.
struct KeptInbox: Sendable {
  private let continuation: AsyncStream<KeptNews>.Continuation

  static func make() -> (AsyncStream<KeptNews>, KeptInbox) {
    let (stream, continuation) = AsyncStream<KeptNews>.makeStream()
    return (stream, KeptInbox(continuation: continuation))
  }

  func post(_ news: KeptNews) {
    let result = continuation.yield(news)
    if case .terminated = result { news.refuse() }
  }

  func finish() { continuation.finish() }
}

extension KeptNews {
  /// Nobody listens any more: who waits is told so.
  func refuse() {
    let error = MirrorcastError("the mirror has ended")
    switch self {
    case .open(let waiter): waiter.resume(throwing: error)
    case .add(_, let waiter): waiter.resume(throwing: error)
    case .ordered(_, let reply): reply(.refused(error.what))
    case .readable(let waiter), .flushable(let waiter): waiter.resume(returning: [])
    case .verify(let order): order.waiter.resume(throwing: error)
    case .whenConfirmed(let waiter), .whenInSync(let waiter), .close(let waiter): waiter.resume()
    case .connected(_, _, let link): Task { await link.close() }
    default: break
    }
  }
}
