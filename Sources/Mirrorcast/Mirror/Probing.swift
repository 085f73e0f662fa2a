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
