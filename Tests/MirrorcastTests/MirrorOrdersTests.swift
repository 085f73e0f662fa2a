import Replication
import Testing

@testable import Mirrorcast

/// Orders that are left at a target for whoever has a mirror open there, over TCP.
@Suite(.timeLimit(.minutes(10))) struct `A target where orders are left` {
  private static let name = "iqn.2025-01.org.example:ordered"

  @Test func `hands orders to who has it open, and the answers back`() async throws {
    let target = try await SceneTarget.start(["0=memory:64M"], name: Self.name)
    do {
      try exchange(target)
    } catch {
      try? await target.stop()
      throw error
    }
    try await target.stop()
  }

  private func exchange(_ target: SceneTarget) throws {
    let holder = try KeptClient(target)
    let asker = try KeptClient(target, "iqn.2026-01.test:asker", isid: 2)
    #expect(try asker.ask(.order("status")).refusal == .notOpen)
    try holder.open()
    #expect(try asker.ask(.orders).refusal == .notClaimed)
    #expect(try holder.ask(.orders) == .waiting(nil))
    try asker.send(KeepingText(lun: 0, .order("detach x")).keys)
    var found: WaitingOrder?
    while found == nil {
      if case .waiting(let order) = try holder.ask(.orders) { found = order }
    }
    let order = try #require(found)
    #expect(order.words == "detach x")
    #expect(try holder.ask(.answered(token: order.token, "refused: why")) == .done)
    #expect(try KeepingAnswer(try asker.receive()) == .answered("refused: why"))
    // Nobody waits for that any more.
    #expect(try holder.ask(.answered(token: order.token, "done")) == .done)
    try asker.send(KeepingText(lun: 0, .order("status")).keys)
    #expect(try holder.ask(.close) == .done)
    #expect(try KeepingAnswer(try asker.receive()).refusal == .notOpen)
    #expect(try asker.ask(.order("status"), lun: 7).refusal == .noSuchLUN)
  }
}
