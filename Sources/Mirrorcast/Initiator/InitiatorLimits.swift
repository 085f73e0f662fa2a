/// What an initiator's connection waits for, and how long.
package struct InitiatorLimits: Sendable, Equatable {
  /// Milliseconds until a host that doesn't answer counts as unreachable.
  package var connectMilliseconds: Int64 = 10_000
  /// Milliseconds from the connection to the end of login.
  package var loginMilliseconds: Int64 = 10_000
  /// Milliseconds without input, with or without a command in flight, until the target is pinged.
  package var idleMilliseconds: Int64 = 5_000
  /// Milliseconds from the ping without input until the connection is given up.
  package var pingMilliseconds: Int64 = 25_000
  /// Milliseconds until a logout that is not answered ends all the same.
  package var logoutMilliseconds: Int64 = 3_000

  package init() {}
}
