/// What a daemon bounds, so that no peer and no number of peers can make it hold more.
public struct TargetLimits: Sendable, Equatable {
  // MARK: Connections

  /// Normal sessions at once, of all initiators. One more login is refused with status 0302h.
  public var sessionsMax = 1024
  /// Connections at once that have no session yet, those of discovery included. One more takes the
  /// place of the oldest of the address that has the most.
  public var loginsMax = 512
  /// As `loginsMax`, of one IPv4 address or one IPv6 /64: one more takes the place of its oldest.
  public var loginsOfAddressMax = 128
  /// Connections at once of one IPv4 address or one IPv6 /64, with sessions or without. One more
  /// takes the place of its oldest that has no session, and is refused where all have one.
  public var connectionsOfAddressMax = 256
  /// Bytes that connections without a session may have us hold: half a PDU, half a text. Above it
  /// the one that holds the most is cut.
  public var loginBytesMax = 8 << 20
  /// Milliseconds from the accept to the end of login; then the connection is cut.
  public var loginMilliseconds: Int64 = 8_000
  /// Milliseconds from the login to the end of a discovery session; then it is cut.
  public var discoveryMilliseconds: Int64 = 60_000
  /// Connections that the kernel holds for a portal until they are accepted (its own limit,
  /// `net.core.somaxconn`, may be lower).
  public var backlog = 4096
  /// Connections accepted in one go, before others that are there have their turn.
  public var acceptsAtOnce = 16
  /// Bytes of one text, of a login or a text request; at least 8,192, at most 65,536. A longer one
  /// is refused.
  public var textBytesMax = 65_536

  // MARK: Sessions

  /// Numbered commands of one session at once: the width of its command window.
  public var commandsMax = 64
  /// Immediate commands of one session at once, beside those; one more is rejected.
  public var immediateCommandsMax = 16
  /// Commands of one session at the disks at once; the others wait.
  public var diskCommandsMax = 32
  /// Bytes of a read that is served from the cache on the connection's own thread; a longer one is
  /// a worker's.
  public var readAtHandBytesMax = 64 << 10
  /// Bytes of a write that goes to its disk in a train with others; a longer one goes alone.
  public var trainWriteBytesMax = 16 << 10
  /// Milliseconds that the data of a write may be silent until the write fails.
  public var dataOutMilliseconds: Int64 = 30_000
  /// Bytes that a session at ErrorRecoveryLevel 1 keeps of what was sent, until it is acknowledged;
  /// what is older can't be had again.
  public var recoveryBytesMax = 32 << 20
  /// Bytes of all sessions together that are kept so; who would keep more forgets its oldest.
  public var recoveryBytesInAllMax = 256 << 20
  /// Bytes of one session between disk and socket; what would be more waits, a larger command goes
  /// alone.
  public var transferBytesMax = 32 << 20
  /// Bytes of all sessions together that READs may hold, from disk to socket; others are not begun
  /// meanwhile.
  public var readBytesInAllMax = 128 << 20
  /// Bytes of all sessions together that WRITEs may hold, from their first byte to their answer;
  /// others are not asked for their data meanwhile, and connections that have commands under way
  /// are not read.
  public var writeBytesInAllMax = 256 << 20
  /// Bytes not yet taken by a socket above which nothing more is read from its connection.
  public var outputBytesMax = 4 << 20
  /// Bytes not yet taken by a socket above which a session that is told more is cut.
  public var answerBytesMax = 64 << 20
  /// Bytes that a session which has none may take of each direction's memory though others wait in
  /// line for it.
  public var reservedBytes = 64 << 10
  /// Milliseconds from one look to the next at who gets on, while there is too little memory for
  /// all: who has some, and does not, is cut.
  public var contendedMilliseconds: Int64 = 3_000
  /// Bytes that a session's peer sends, or takes, from one such look to the next, where it owes as
  /// many; with less it does not get on.
  public var contendedBytes = 64 << 10
  /// Milliseconds in which a peer takes nothing of what waits for it, until it is cut.
  public var outputMilliseconds: Int64 = 30_000

  // MARK: Ends

  /// Milliseconds without input from a session until it is pinged.
  public var idleMilliseconds: Int64 = 15_000
  /// Milliseconds from the ping without input until the session is cut.
  public var pingMilliseconds: Int64 = 30_000
  /// Milliseconds from our last byte to the end of the connection, for the peer to read it and
  /// close.
  public var lingerMilliseconds: Int64 = 1_000
  /// Milliseconds that sessions have to log out when the daemon is asked to stop.
  public var logoutMilliseconds: Int64 = 3_000
  /// Milliseconds from the end of a session until its connection is cut, if its peer takes no
  /// answers.
  public var drainMilliseconds: Int64 = 5_000

  /// How fast a disk is overwritten at most by a SANITIZE, in bytes a second.
  public var sanitizeBytesPerSecondMax: UInt64 = 64 << 20

  public init() {}

  /// Throws where a daemon could not work with these.
  func check() throws(MirrorcastError) {
    for key in LimitKey.all where !key.isGood(in: self) {
      throw MirrorcastError(
        "\(key.text(self)) is no limit for \(key.name)",
        advice: "Take one from \(key.range.lowerBound) to \(key.range.upperBound).")
    }
  }
}
