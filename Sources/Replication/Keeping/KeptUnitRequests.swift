// What an initiator asks of a kept unit, from its coming to its answer.

extension KeptUnit {
  /// Ranges of one request, and of one answer.
  package static let rangesMax = 256

  /// An initiator asks on its session; the answer comes with the token.
  package mutating func handle(
    _ request: KeepingRequest, session: UInt64, token: UInt64, now: UInt64
  ) {
    if case .claim(let holder) = request {
      takeClaim(holder: holder, session: session, token: token)
    } else if case .order(let words) = request {
      takeOrder(words, session: session, token: token)
    } else if claim?.session != session {
      refuse(session, token, .notClaimed, "claim it first")
    } else if asks.isFull {
      refuse(session, token, .badRequest, "too many requests at once")
    } else {
      handleClaimed(request, session: session, token: token)
    }
    progress(now: now)
  }

  /// A session is gone: if it had the unit, that is free for the next one.
  package mutating func handleSessionClosed(_ session: UInt64, now: UInt64) {
    asks.removeAll(of: session)
    desk.drop(session)
    if claim?.session == session { claim = nil }
    if claim == nil { clearing.abandon() }
    progress(now: now)
  }

  private mutating func takeClaim(holder: UInt64, session: UInt64, token: UInt64) {
    // What it was to store last may stand in the journal or not: who it is nobody knows before that
    // is read again.
    guard !journal.isFailed || journal.record == nil else {
      return refuse(session, token, .storage, "its journal has failed")
    }
    if let present = claim, present.session != session {
      guard present.holder == holder else {
        return refuse(session, token, .held, "another initiator has it")
      }
      // It has reconnected.
      asks.removeAll(of: present.session)
      clearing.abandon()
      claim = nil
    }
    if claim == nil {
      claim = KeepingClaim(holder: holder, session: session)
      stores.handleClaimed()
    }
    claim?.holder = holder
    wait(.describe, .turn, session: session, token: token)
  }

  private mutating func handleClaimed(
    _ request: KeepingRequest, session: UInt64, token: UInt64
  ) {
    switch request {
    case .claim: break
    case .marks(let from):
      guard from >= 0 else { return refuse(session, token, .badRequest, "no such region") }
      let found = marks.ranges(from: from, max: Self.rangesMax)
      answer(session, token, .marks(found.ranges, next: found.next))
    case .mark(let ranges): mark(ranges, session: session, token: token)
    case .synced(let ranges): takeSynced(ranges, session: session, token: token)
    case .adopt(let record, let replaces):
      do throws(RecordFault) {
        try record.validate()
      } catch {
        return refuse(session, token, .badRequest, error.rawValue)
      }
      wait(.adopt(record, replaces: replaces), .turn, session: session, token: token)
    case .flush:
      let none = RegionMap(regionCount: layout.regionCount)
      wait(.synced(none, asked: 0), .wantsMedium, session: session, token: token)
    case .close:
      let none = RegionMap(regionCount: layout.regionCount)
      wait(.close(none), .turn, session: session, token: token)
    case .release: wait(.release, .turn, session: session, token: token)
    case .order: break
    case .orders: answer(session, token, .waiting(desk.fetch()))
    case .answered(let order, let words):
      if let asker = desk.end(order) { answer(asker.session, asker.token, .answered(words)) }
      answer(session, token, .done)
    // Who else may write stands with the claim, not here.
    case .lead: answer(session, token, .done)
    case .expel(let guest):
      stores.handleExpelled(guest)
      answer(session, token, .done)
    case .admit:
      guard isOpen else { return refuse(session, token, .badRequest, "it is not open") }
      answer(session, token, .done)
    }
  }

  // MARK: Marks

  private mutating func mark(_ ranges: [Range<Int>], session: UInt64, token: UInt64) {
    guard let regions = looked(at: ranges, session: session, token: token) else { return }
    // What is asked for may differ whatever writes end: it stays until it is said to be equal.
    stores.lose(regions)
    var due: UInt64?
    for range in regions.ranges().ranges {
      asks.touch(range)
      if let round = journal.mark(range) { due = max(due ?? 0, round) }
    }
    guard let due else { return answer(session, token, .done) }
    wait(.mark, .round(due), session: session, token: token)
  }

  private mutating func takeSynced(_ ranges: [Range<Int>], session: UInt64, token: UInt64) {
    guard var regions = looked(at: ranges, session: session, token: token) else { return }
    regions.formIntersection(journal.marks)
    guard !regions.isEmpty else { return answer(session, token, .done) }
    stores.forgive(regions)
    wait(
      .synced(regions, asked: regions.count), .wantsMedium, session: session, token: token)
  }

  /// The regions that a request names; nil where they are refused.
  private mutating func looked(
    at ranges: [Range<Int>], session: UInt64, token: UInt64
  ) -> RegionMap? {
    let all = 0..<layout.regionCount
    guard ranges.count <= Self.rangesMax,
      ranges.allSatisfy({ all.contains($0.lowerBound) && $0.upperBound <= all.upperBound })
    else {
      refuse(session, token, .badRequest, "no such regions, or too many ranges")
      return nil
    }
    guard journal.record != nil else {
      refuse(session, token, .badRequest, "it belongs to no mirror")
      return nil
    }
    guard !journal.isFailed else {
      refuse(session, token, .storage, "its journal has failed")
      return nil
    }
    var regions = RegionMap(regionCount: layout.regionCount)
    for range in ranges { regions.insert(range) }
    return regions
  }

  // MARK: Orders

  /// Words for the holder, by somebody else.
  private mutating func takeOrder(_ words: String, session: UInt64, token: UInt64) {
    guard claim?.session != session else {
      return refuse(session, token, .badRequest, "who has the mirror open orders itself")
    }
    guard isOpen else {
      return refuse(session, token, .notOpen, "no initiator has its mirror open")
    }
    let asker = OrderDesk.Asker(session: session, token: token)
    if let why = desk.take(words, of: asker) { refuse(session, token, .badRequest, why) }
  }

  /// Nobody is left to answer.
  mutating func refuseOrders() {
    for asker in desk.empty() {
      refuse(
        asker.session, asker.token, .notOpen, "the mirror was closed, or its initiator is gone")
    }
  }

  // MARK: Answers

  private mutating func wait(
    _ kind: KeepingAsk.Kind, _ stage: KeepingAsk.Stage, session: UInt64, token: UInt64
  ) {
    asks.append(KeepingAsk(session: session, token: token, kind: kind, stage: stage))
  }

  mutating func answer(_ session: UInt64, _ token: UInt64, _ answer: KeepingAnswer) {
    answers.append(KeepingReply(session: session, token: token, answer: answer))
  }

  mutating func refuse(
    _ session: UInt64, _ token: UInt64, _ why: KeepingRefusal, _ words: String
  ) {
    counters.requestsRefused += 1
    answer(session, token, .refused(why, words))
  }
}
