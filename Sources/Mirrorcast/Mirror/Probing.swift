import Bytes
import Replication

/// A search for legs that don't hear the group, under way.
struct Probing {
  static let intervalNanoseconds: UInt64 = 10_000_000
  static let triesMax = 100

  let epoch: UInt16
  var pending: LegSet
  var tries = 0
  var nextSend: UInt64 = 0
  let done: @Sendable (LegSet) -> Void

  /// When something is to be done about it. Nothing can be sent while the socket takes nothing:
  /// then its room is what to wait for, or the end of patience with the last probe.
  func nextDeadline(isBlocked: Bool) -> UInt64? {
    isBlocked && tries < Self.triesMax ? nil : nextSend
  }
}

extension SenderDuty {
  mutating func probe(now: UInt64) -> Int {
    guard let probe = probing else { return 0 }
    if probe.pending.isEmpty || probe.tries >= Probing.triesMax {
      guard probe.pending.isEmpty || now >= probe.nextSend else { return 0 }
      probe.pending.forEach { sender.serveByConnection($0) }
      probing = nil
      probe.done(probe.pending)
      return 1
    }
    guard now >= probe.nextSend, !outlet.isFull else { return 0 }
    probing?.tries += 1
    probing?.nextSend = now + Probing.intervalNanoseconds
    outlet.assemble(to: SenderOutlet.group) {
      sender.assembleProbe(into: &$0, epoch: probe.epoch)
    }
    return 1
  }
}
