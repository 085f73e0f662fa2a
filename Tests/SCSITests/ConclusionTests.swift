import SCSI
import Testing

/// What changes what is kept counts once that is durable, and not at all where it can't be.
struct ConclusionTests {
  private func conclusion(
    _ scene: Reservers, _ action: UInt8, _ nexus: Nexus, key: UInt64, new: UInt64 = 0
  ) throws -> Conclusion {
    let outcome = scene.device.send(
      cdb(0x5f, action, 5, 0, 0, 0, 0, 0, 24), Reservers.parameters(key, new, 1), from: nexus)
    guard case .conclude(let conclusion) = outcome else {
      throw SenseData(.abortedCommand, .internalTargetFailure)
    }
    return conclusion
  }

  /// What sessions can see of it.
  private func seen(_ scene: Reservers) -> [[UInt8]?] {
    (0...3).map { scene.device.data(cdb(0x5e, $0, 0, 0, 0, 0, 0, 1, 0)) }
  }

  private func scene() -> Reservers {
    let scene = Reservers()
    for nexus in [one, two] { scene.out(0, nexus, new: nexus.session, flags: 1) }
    scene.out(1, one, type: 5, key: 1)
    return scene
  }

  /// REGISTER, RELEASE, CLEAR, PREEMPT, PREEMPT AND ABORT, and REGISTER of another.
  private static let rows: [(action: UInt8, nexus: Nexus, key: UInt64, new: UInt64)] = [
    (0, one, 1, 0), (2, one, 1, 0), (3, two, 2, 0), (4, two, 2, 1), (5, two, 2, 1),
    (6, three, 0, 3),
  ]

  @Test(arguments: rows.indices)
  func `until then all see it as it was`(row: Int) throws {
    let scene = scene()
    let (action, nexus, key, new) = Self.rows[row]
    let before = seen(scene)
    let asked = try conclusion(scene, action, nexus, key: key, new: new)
    let changed = scene.device.device.changedState(by: asked)
    let state = try #require(changed)
    #expect(state != scene.device.device.keptState && seen(scene) == before)
    #expect(!scene.mayWrite(three) && scene.mayWrite(two))
    // It can't be kept.
    let failed = scene.device.device.abandonConclusion()
    #expect(failed.result.sense == SenseData(.hardwareError, .internalTargetFailure))
    #expect(failed.aborted.isEmpty && seen(scene) == before)
    #expect([one, two, three].allSatisfy { scene.attention($0) == nil })
    // Now it can.
    let again = scene.device.device.changedState(by: asked)
    let concluded = scene.device.device.conclude(asked)
    #expect(again == state && concluded.result.status == .good)
    #expect(scene.device.device.keptState == state && seen(scene) != before)
    #expect(concluded.aborted == (action == 5 ? [1] : []))
  }

  @Test func `the second of two is judged by what the first has left`() throws {
    let scene = scene()
    let first = try conclusion(scene, 4, one, key: 1, new: 2)
    let second = try conclusion(scene, 4, two, key: 2, new: 1)
    _ = scene.device.device.changedState(by: first)
    let isGood = scene.device.device.conclude(first).result.status == .good
    let state = scene.device.device.changedState(by: second)
    let refused = scene.device.device.conclude(second).result.status
    #expect(isGood && state == nil && refused == .reservationConflict)
    #expect(scene.attention(two) == .registrationsPreempted && scene.attention(one) == nil)
  }

  @Test func `RESERVE (6) does not come between`() throws {
    let scene = Reservers()
    let asked = try conclusion(scene, 0, one, key: 0, new: 1)
    let changed = scene.device.device.changedState(by: asked)
    #expect(changed != nil)
    #expect(scene.device.result(cdb(0x16), from: two)?.status == .reservationConflict)
    _ = scene.device.device.abandonConclusion()
    #expect(scene.device.result(cdb(0x16), from: two)?.status == .good)
    // It was there before the turn came.
    let none = scene.device.device.changedState(by: asked)
    let refused = scene.device.device.conclude(asked).result.status
    #expect(none == nil && refused == .reservationConflict)
  }

  @Test func `what is not to be kept needs no keeping`() throws {
    let scene = Reservers()
    let outcome = scene.device.send(
      cdb(0x5f, 0, 0, 0, 0, 0, 0, 0, 24), Reservers.parameters(0, 1, 0), from: one)
    guard case .conclude(let asked) = outcome else { Issue.record("\(outcome)"); return }
    let none = scene.device.device.changedState(by: asked)
    let status = scene.device.device.conclude(asked).result.status
    #expect(none == nil && status == .good)
  }
}
