/// What has become of a daemon's connections since it began to serve.
public struct ConnectionStatistics: Sendable, Equatable {
  /// Connections that are there and have no session: in login, or discovering.
  public var loginsNow = 0
  /// Normal sessions that are there.
  public var sessionsNow = 0
  /// Bytes that connections without a session have us hold now.
  public var loginBytesNow = 0
  /// Connections that were accepted and got a place.
  public var accepted: UInt64 = 0
  /// Connections refused at once: their address has `connectionsOfAddressMax` sessions.
  public var refusedByAddress: UInt64 = 0
  /// Connections refused at once: the daemon ends.
  public var refusedAtEnd: UInt64 = 0
  /// Connections refused at once: nearly all of the 65,535 session handles are held.
  public var refusedByHandles: UInt64 = 0
  /// Logins refused since there were `sessionsMax` sessions.
  public var refusedBySessions: UInt64 = 0
  /// Connections without a session that gave their place to a newcomer.
  public var evictedForPlaces: UInt64 = 0
  /// Connections without a session that were cut, since all of them held `loginBytesMax`.
  public var evictedForMemory: UInt64 = 0
  /// Connections that had not logged in by the deadline.
  public var cutAtDeadline: UInt64 = 0
  /// Sessions that were ended by a login of the same initiator port.
  public var replaced: UInt64 = 0
  /// Sessions that answered no ping.
  public var silent: UInt64 = 0
  /// Sessions that took nothing of what was sent to them.
  public var stuck: UInt64 = 0
  /// Cut because they had memory that others waited for, and did not get on.
  public var contended: UInt64 = 0

  public init() {}
}
