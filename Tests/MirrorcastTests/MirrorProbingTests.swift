import Replication
import Testing

@testable import Mirrorcast

@Suite struct `The search for legs that don't hear` {
  @Test func `a probe that the socket doesn't take is no deadline, but its end is`() {
    var probing = Probing(epoch: 1, pending: LegSet(0), nextSend: 5) { _ in }
    #expect(probing.nextDeadline(isBlocked: false) == 5)
    #expect(probing.nextDeadline(isBlocked: true) == nil)
    probing.tries = Probing.triesMax
    #expect(probing.nextDeadline(isBlocked: true) == 5)
  }
}
