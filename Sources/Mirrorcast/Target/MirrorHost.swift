package import ISCSI
package import Logging
package import Storage

/// What a daemon tells its mirror service; called on event loops, so nothing here may wait.
package protocol MirrorHost: Sendable {
  /// Keys for the mirror, from an initiator of that name; answered, now or later, by
  /// `respondText` on the session.
  func text(
    _ keys: TextKeys, initiator: MirrorInitiator, of target: ServedTarget, session: SessionPort,
    reply: TaskHandle)
  /// A mirror request, opcode 0x1c.
  func request(_ pdu: PDU, session: SessionPort)
  /// ABORT TASK of a mirrored write; answered by `completeTaskManagement` on the session.
  func abort(_ task: MirroredTask, session: SessionPort, reply: TaskHandle)
  /// Ends the open mirrored writes at these disks: of those sessions, or (nil) of all. `ended` is
  /// called once, on whatever thread, when none of them can touch a medium any more.
  func abortAll(
    at units: [ServedUnit], of sessions: Set<UInt64>?, ended: @escaping @Sendable () -> Void)
  /// The disks that a virtual LUN of the session's maps to; none where it has no such.
  func units(ofVirtualLUN field: UInt64, session: UInt64) -> [ServedUnit]
  /// Nothing more comes from that session, and nothing more reaches it. `ended` is called, on any
  /// thread, once nothing of it can touch a medium any more.
  func sessionClosed(_ id: UInt64, ended: @escaping @Sendable () -> Void)
  /// Whether ordinary commands may not change what is on that disk's medium.
  func isMirrored(_ unit: ServedUnit) -> Bool
  /// Lets disks go, and numbers become LUNs, unless a mirror has one of them: says then which, and
  /// nothing has changed. Followed by `settle`.
  func change(leaving units: [ServedUnit], coming places: [UnitPlace]) -> String?
  /// Those numbers are LUNs by now, or never will be.
  func settle(_ places: [UnitPlace])
  /// The daemon ends: all sessions are closed. When this returns no datagram touches a medium.
  func stop() async
}

extension MirrorHost {
  package func change(leaving units: [ServedUnit], coming places: [UnitPlace]) -> String? { nil }
  package func settle(_ places: [UnitPlace]) {}
  package func abortAll(
    at units: [ServedUnit], of sessions: Set<UInt64>?, ended: @escaping @Sendable () -> Void
  ) { ended() }
  package func units(ofVirtualLUN field: UInt64, session: UInt64) -> [ServedUnit] { [] }
  package func stop() async {}
}

/// Who asks, as its login has shown.
package struct MirrorInitiator: Sendable {
  package let name: String
  /// What it has proved by CHAP; nil: nothing was asked for.
  package let secret: ProvedSecret?

  package init(name: String, secret: ProvedSecret? = nil) {
    self.name = name
    self.secret = secret
  }
}

/// A number at a target.
package struct UnitPlace: Hashable, Sendable {
  package let target: String
  package let number: Int
}

/// Makes a daemon's mirror service, when there is to be one; the workers run until it has stopped.
package typealias MirrorHostFactory =
  @Sendable (StorageWorkers, Logger) throws -> (any MirrorHost)?
