import Replication
import Testing

@testable import Mirrorcast

/// Who may have a LUN of a kept mirror, beside whom.
@Suite struct `The tenants of a kept LUN` {
  private let record = keptRecord(members: 2)

  private func enter(
    _ tenants: inout KeepingTenants, _ part: UInt32 = 1, session: UInt64 = 1,
    holder: UInt64? = nil, isKept: Bool = true, isOpen: Bool = true
  ) -> String {
    do throws(RegistrationFault) {
      let isPart = try tenants.enter(
        part, session: session, holder: holder, record: isKept ? record : nil, isOpen: isOpen)
      return isPart ? "part" : "plain"
    } catch {
      return error.refusal.rawValue
    }
  }

  @Test func `a LUN without a record is anybody's, unless it is just getting one`() {
    var tenants = KeepingTenants()
    #expect(enter(&tenants, isKept: false, isOpen: false) == "plain")
    #expect(enter(&tenants, 2, holder: 7, isKept: false, isOpen: false) == "kept")
    tenants.take(session: 5, holder: 7)
    let refusal = tenants.refusal(of: .adopt(record, replaces: false), from: 5, isKept: false)
    guard case .refused(.conflict, _)? = refusal else {
      Issue.record("adopted beside a mirror without a name: \(String(describing: refusal))")
      return
    }
    tenants.leave(1, isKept: false)
    #expect(tenants.refusal(of: .adopt(record, replaces: false), from: 5, isKept: false) == nil)
    tenants.beginAdopting()
    #expect(enter(&tenants, isKept: false, isOpen: false) == "kept")
    tenants.endAdopting()
    #expect(enter(&tenants, isKept: false, isOpen: false) == "plain")
  }

  @Test func `a LUN with one is its holder's while it is open`() {
    var tenants = KeepingTenants()
    #expect(enter(&tenants) == "kept")
    tenants.take(session: 1, holder: 7)
    #expect(enter(&tenants, isOpen: false) == "kept")
    #expect(enter(&tenants) == "part")
    #expect(enter(&tenants, 2, session: 2) == "kept")
    #expect(enter(&tenants, 2, session: 2, holder: 8) == "kept")
    #expect(enter(&tenants, 2, session: 2, holder: 7) == "part")
    #expect([1, 2].allSatisfy { tenants.isHolder($0) })
    #expect(!tenants.isHolder(3))
    for request in [KeepingRequest.release] {
      #expect(tenants.refusal(of: request, from: 1, isKept: true) != nil)
    }
    tenants.leave(2, isKept: true)
    #expect(!tenants.isHolder(2))
    tenants.leave(1, isKept: true)
    #expect(tenants.refusal(of: .release, from: 1, isKept: true) == nil)
  }

  @Test func `nobody is let in while a claim ends`() {
    var tenants = KeepingTenants()
    tenants.take(session: 1, holder: 7)
    let isOther = tenants.beginEnding(2)
    #expect(!isOther)
    let isEnding = tenants.beginEnding(1)
    #expect(isEnding && tenants.isEnding)
    #expect(enter(&tenants, session: 1) == "kept")
    #expect(enter(&tenants, session: 2, holder: 7) == "kept")
    tenants.end(1)
    #expect(tenants.claim == nil && !tenants.isEnding)
    // Another session has taken the claim over before the first one was gone.
    tenants.take(session: 1, holder: 7)
    tenants.take(session: 2, holder: 7)
    let isStale = tenants.beginEnding(1)
    #expect(!isStale)
    tenants.end(1)
    #expect(tenants.claim == KeepingTenants.Claim(session: 2, holder: 7))
  }

  @Test func `a LUN leaves its target while nobody has it`() {
    var tenants = KeepingTenants()
    tenants.take(session: 1, holder: 7)
    let isGone = tenants.withdraw()
    #expect(!isGone)
    tenants.end(1)
    let isGoneNow = tenants.withdraw()
    #expect(isGoneNow)
    #expect(tenants.refusal(of: .claim(holder: 7), from: 1, isKept: true) != nil)
    tenants.restore()
    #expect(tenants.refusal(of: .claim(holder: 7), from: 1, isKept: true) == nil)
  }
}
