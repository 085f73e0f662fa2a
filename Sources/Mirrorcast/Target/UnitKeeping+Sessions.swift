// What sessions ask about a LUN's record and marks, and what lanes ask for the registrations that
// are parts of its mirror.

import Bytes
import Lanes
import Replication
import SCSI
import Storage
import Synchronization

extension UnitKeeping {
  // MARK: Sessions

  /// A session asks; it is answered once, on any thread, unless it is gone before.
  func ask(_ request: KeepingRequest, session: UInt64, _ answer: @escaping KeepingDesk.Answer) {
    // Asked without our lock: a disk's own lock is not taken under another.
    let isSanitizing = disk.device.with { $0.isSanitizing }
    if case .adopt = request, isSanitizing {
      return answer(.refused(.storage, "the LUN is being sanitized"))
    }
    let refusal = act { state -> KeepingAnswer? in
      let asked = KeepingDesk.Asked(
        request: request, session: session, answer: answer,
        awaitsQuiet: request.awaitsQuiet)
      return take(asked, &state)
    }
    if let refusal { answer(refusal) }
  }

  private func take(_ asked: KeepingDesk.Asked, _ state: inout State) -> KeepingAnswer? {
    let (request, session) = (asked.request, asked.session)
    let isKept = state.unit.record != nil
    if let refusal = state.tenants.refusal(of: request, from: session, isKept: isKept) {
      return refusal
    }
    switch request {
    case .order where disk.isWriteProtected: return .refused(.storage, "the LUN is read only")
    case .claim where state.tenants.isEnding:
      state.desk.postpone(asked)
      return nil
    case .adopt:
      if let words = placeRefusal { return .refused(.storage, words) }
      // A journal that has failed before it had anything begins anew, and so do its words.
      if !isKept { state.failure = nil }
      state.tenants.beginAdopting()
    default: break
    }
    let token = state.desk.add(asked)
    state.unit.handle(request, session: session, token: token, now: MonotonicClock.now())
    return nil
  }

  /// Why nothing can be kept here.
  private var placeRefusal: String? {
    if disk.isWriteProtected { return "the LUN is read only" }
    if case .none(let words) = journal.place { return words }
    return nil
  }

  /// The session whose claim this request takes over, as the same initiator's: it ends like that of
  /// a session that is gone.
  func beginTakeover(_ request: KeepingRequest, session: UInt64) -> UInt64? {
    guard case .claim(let holder) = request else { return nil }
    return state.withLock { $0.tenants.beginTakeover(by: session, holder: holder) }
  }

  /// The guest that this request expels: its registrations are to be ended before it is asked.
  func beginExpelling(_ request: KeepingRequest, session: UInt64) -> UInt64? {
    guard case .expel(let guest) = request else { return nil }
    return state.withLock { state in
      guard state.tenants.claim?.session == session else { return nil }
      state.tenants.expel(guest)
      return guest
    }
  }

  /// A session is gone; whether it had the claim. Then the registrations of other sessions here are
  /// to be ended before `sessionClosed`.
  func beginEnding(_ session: UInt64) -> Bool {
    state.withLock { $0.tenants.beginEnding(session) }
  }

  /// Nothing of a session that is gone, or taken over, can touch the medium any more.
  func sessionClosed(_ session: UInt64) {
    let refused = act { state -> [(KeepingDesk.Answer, KeepingAnswer)] in
      var refused: [(KeepingDesk.Answer, KeepingAnswer)] = []
      for asked in state.desk.drop(session) {
        if case .adopt = asked.request { state.tenants.endAdopting() }
        refused.append((asked.answer, .refused(.notClaimed, "the claim has ended")))
      }
      state.unit.handleSessionClosed(session, now: MonotonicClock.now())
      state.tenants.end(session)
      guard !state.tenants.isEnding else { return refused }
      for asked in state.desk.takeDeferred() {
        if let refusal = take(asked, &state) { refused.append((asked.answer, refusal)) }
      }
      return refused
    }
    for (answer, refusal) in refused { answer(refusal) }
  }

  // MARK: Lanes

  /// Lets a registration in, or throws why not; `wake` is called when stores that wait are to be
  /// asked for again.
  /// - Returns: whether it is a part of the mirror that is kept here.
  func enter(
    _ part: UInt32, session: UInt64, holder: UInt64?, wake: @escaping @Sendable () -> Void
  ) throws(RegistrationFault) -> Bool {
    try act { state throws(RegistrationFault) in
      let isKept = try state.tenants.enter(
        part, session: session, holder: holder, record: state.unit.record,
        isOpen: state.unit.isOpen)
      if isKept { state.wakes[part] = wake }
      return isKept
    }
  }

  /// A registration that was let in has ended, and its stores with it.
  func leave(_ part: UInt32, holder: UInt64?, isKept: Bool) {
    act { state in
      state.tenants.leave(part, isKept: isKept)
      guard isKept else { return }
      state.wakes[part] = nil
      state.unit.handlePartEnded(part: part, holder: holder ?? 0)
    }
  }

  /// Whether a mirrored write, or a piece of it, may be stored; if so it counts as begun.
  func mayStore(
    _ bytes: Range<UInt64>, part: UInt32, number: SerialNumber, now: UInt64
  ) -> StoreAdmission {
    // Nearly always the regions are marked, and there is nothing more to do.
    let (admission, isDone) = state.withLock { state in
      let admission = state.unit.mayStore(bytes, part: part, number: number, now: now)
      return (admission, state.unit.requests.isEmpty)
    }
    guard !isDone else { return admission }
    act { _ in }
    guard admission == .later, journal.place == .memory, disk.backing.isInline else {
      return admission
    }
    // What had to be done is done by now.
    return state.withLock { state in
      state.unit.mayStore(bytes, part: part, number: number, now: now)
    }
  }

  /// All writes of the part with a lower number have ended at every member.
  func ended(part: UInt32, below number: SerialNumber, now: UInt64) {
    state.withLock { $0.unit.handleEnded(part: part, below: number, now: now) }
  }
}
