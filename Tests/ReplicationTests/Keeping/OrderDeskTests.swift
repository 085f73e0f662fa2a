import Testing

@testable import Replication

/// Orders that wait at a leg for whoever has its mirror open.
@Suite struct OrderDeskTests {
  private static let layout = RegionLayout(byteCount: 16 << 20)

  /// A unit that session 1 has open.
  private func opened() throws -> KeptUnit {
    var unit = try KeptUnit(layout: Self.layout, contents: nil)
    unit.handle(.claim(holder: 7), session: 1, token: 1, now: 0)
    let record = KeepingTextTests.record(members: 1)
    unit.handle(.adopt(record, replaces: false), session: 1, token: 2, now: 0)
    work(&unit)
    unit.answers = []
    return unit
  }

  private func work(_ unit: inout KeptUnit) {
    while !unit.requests.isEmpty {
      let request = unit.requests.removeFirst()
      unit.handleCompleted(token: request.token, succeeded: true, now: 0)
    }
  }

  private func ask(
    _ unit: inout KeptUnit, _ request: KeepingRequest, session: UInt64, token: UInt64 = 9
  ) -> [KeepingReply] {
    unit.handle(request, session: session, token: token, now: 0)
    work(&unit)
    defer { unit.answers = [] }
    return unit.answers
  }

  private func reply(_ session: UInt64, _ token: UInt64, _ answer: KeepingAnswer) -> KeepingReply {
    KeepingReply(session: session, token: token, answer: answer)
  }

  private func refusals(_ replies: [KeepingReply]) -> [KeepingRefusal] {
    replies.compactMap { if case .refused(let refusal, _) = $0.answer { refusal } else { nil } }
  }

  @Test func `an order waits, is fetched once, and its answer goes to who asked`() throws {
    var unit = try opened()
    #expect(ask(&unit, .orders, session: 1) == [reply(1, 9, .waiting(nil))])
    #expect(ask(&unit, .order("status"), session: 2, token: 5) == [])
    #expect(ask(&unit, .order("detach x"), session: 3, token: 5) == [])
    let first = WaitingOrder(token: 1, words: "status")
    let second = WaitingOrder(token: 2, words: "detach x")
    #expect(ask(&unit, .orders, session: 1) == [reply(1, 9, .waiting(first))])
    #expect(ask(&unit, .orders, session: 1) == [reply(1, 9, .waiting(second))])
    #expect(ask(&unit, .orders, session: 1) == [reply(1, 9, .waiting(nil))])
    // Not in their order.
    #expect(
      ask(&unit, .answered(token: 2, "done"), session: 1)
        == [reply(3, 5, .answered("done")), reply(1, 9, .done)])
    #expect(
      ask(&unit, .answered(token: 1, "well"), session: 1)
        == [reply(2, 5, .answered("well")), reply(1, 9, .done)])
    #expect(unit.orderCounters.answered == 2)
  }

  @Test func `nobody who has the mirror open is there`() throws {
    var unit = try KeptUnit(layout: Self.layout, contents: nil)
    #expect(refusals(ask(&unit, .order("status"), session: 2)) == [.notOpen])
    _ = ask(&unit, .claim(holder: 7), session: 1)
    #expect(refusals(ask(&unit, .order("status"), session: 2)) == [.notOpen])
    #expect(refusals(ask(&unit, .orders, session: 2)) == [.notClaimed])
    #expect(refusals(ask(&unit, .answered(token: 1, "x"), session: 2)) == [.notClaimed])
  }

  @Test func `who waits is told when the claim or the mirror ends`() throws {
    var unit = try opened()
    _ = ask(&unit, .order("status"), session: 2, token: 5)
    _ = ask(&unit, .order("status"), session: 3, token: 6)
    _ = ask(&unit, .orders, session: 1)
    unit.handleSessionClosed(1, now: 0)
    #expect(refusals(unit.answers) == [.notOpen, .notOpen])
    #expect(unit.answers.map(\.session) == [2, 3])
    unit = try opened()
    _ = ask(&unit, .order("status"), session: 2, token: 5)
    let replies = ask(&unit, .close, session: 1)
    #expect(refusals(replies) == [.notOpen])
    unit = try opened()
    _ = ask(&unit, .order("status"), session: 2, token: 5)
    // The same initiator has reconnected: what the old connection was given, nobody knows.
    let claimed = ask(&unit, .claim(holder: 7), session: 4)
    #expect(refusals(claimed) == [.notOpen])
  }

  @Test func `an asker that is gone is forgotten, and a late answer is counted`() throws {
    var unit = try opened()
    _ = ask(&unit, .order("status"), session: 2, token: 5)
    _ = ask(&unit, .orders, session: 1)
    unit.handleSessionClosed(2, now: 0)
    #expect(ask(&unit, .answered(token: 1, "late"), session: 1) == [reply(1, 9, .done)])
    #expect(unit.orderCounters.lateAnswers == 1)
    // What was never given cannot be answered either.
    _ = ask(&unit, .order("status"), session: 3, token: 6)
    #expect(ask(&unit, .answered(token: 2, "early"), session: 1) == [reply(1, 9, .done)])
    #expect(unit.orderCounters.lateAnswers == 2)
    let order = WaitingOrder(token: 2, words: "status")
    #expect(ask(&unit, .orders, session: 1) == [reply(1, 9, .waiting(order))])
  }

  @Test func `there are so many orders, one for each session`() throws {
    var unit = try opened()
    for session in 0..<UInt64(OrderDesk.ordersMax) {
      #expect(ask(&unit, .order("status"), session: 10 + session) == [])
    }
    #expect(refusals(ask(&unit, .order("status"), session: 10)) == [.badRequest])
    #expect(refusals(ask(&unit, .order("status"), session: 99)) == [.badRequest])
    #expect(refusals(ask(&unit, .order("status"), session: 1)) == [.badRequest])
    unit.handleSessionClosed(12, now: 0)
    #expect(ask(&unit, .order("status"), session: 99) == [])
  }
}
