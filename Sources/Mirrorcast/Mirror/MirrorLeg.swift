import Datagrams
import Replication

/// A leg in one part of an initiator's mirror: a session with one target, and what is known of its
/// fate in all parts.
final class MirrorLeg: Sendable {
  /// Shared by all parts.
  let fate: LegRecord
  let connection: InitiatorConnection
  /// Where repairs go; nil for a target of another make.
  let repair: Endpoint?
  /// Where the leg's answers may be had without the session's event loops; nil where they can't.
  let answers: AnswerOffer?
  /// A target of ours that can't hear the group's transport: all goes over its connection.
  let isCarried: Bool
  /// A target of ours without RDMA in a mirror by RDMA.
  let lacksQueuePair: Bool
  /// Which of the leg's stays in the mirror, under its index, this is.
  let stay: Int

  /// How data gets there, in a word.
  /// - Parameter isDeaf: it hears nothing of the group.
  func way(isDeaf: Bool, transport: Transport) -> String {
    guard !isForeign else { return "iscsi" }
    guard !isCarried, !isDeaf else { return "tcp" }
    return lacksQueuePair ? Transport.udp.word : transport.word
  }

  init(
    fate: LegRecord, session: LegSession, repair: Endpoint?, answers: AnswerOffer?,
    isCarried: Bool = false, lacksQueuePair: Bool = false
  ) {
    self.fate = fate
    connection = session.connection
    stay = session.stay
    self.repair = repair
    self.answers = answers
    self.isCarried = isCarried
    self.lacksQueuePair = lacksQueuePair
  }

  /// A leg whose session has agreed, or needs no agreement, to be that number of a part.
  convenience init(
    _ session: LegSession, _ grant: RegistrationGrant?, _ request: RegistrationRequest,
    place: (fate: LegRecord, index: Int), interface: NetworkInterface,
    inbox: LaneInbox<SenderOrder>
  ) throws(MirrorcastError) {
    let (fate, index) = place
    var repair: Endpoint?
    if let grant { repair = try SendingPath.repairs(grant, on: interface) }
    self.init(
      fate: fate, session: session, repair: repair,
      answers: grant.flatMap { SendingPath.answers($0, on: interface) },
      isCarried: grant?.isCarried(in: request) ?? false,
      lacksQueuePair: grant?.lacksQueuePair(of: request) ?? false)
    fate.follow { [stay] in inbox.post(.lost(leg: index, stay: stay, $0)) }
  }

  var urls: [LogicalUnitURL] { fate.urls }
  var isForeign: Bool { repair == nil }
  var hearsDatagrams: Bool { !isForeign && !isCarried }
  /// Whether the leg left the mirror.
  var isGone: Bool { fate.isGone }
  var statuses: [LegStatus] { fate.statuses }

  /// The leg left this part, and so the mirror: its session ends, which fences it, too. False when
  /// it had left by another part.
  func leave(_ words: String) -> Bool {
    Task { await connection.close() }
    return fate.leave(words)
  }

  func record(_ failure: LegFailure) -> [LegStatus] { fate.record(failure) }
  func record(_ text: String) { fate.record(text) }
}

extension RegistrationGrant {
  /// The grant without the stream for answers, where that is not wanted.
  func answering(by options: MirrorOptions) -> RegistrationGrant {
    var grant = self
    if !options.answersByStream { grant.answers = nil }
    return grant
  }

  /// Granted by UDP in a mirror of queue pairs.
  func lacksQueuePair(of request: RegistrationRequest) -> Bool {
    queuePair == nil && request.queuePair != nil
  }

  /// The same, where no datagrams go by UDP.
  func isCarried(in request: RegistrationRequest) -> Bool {
    lacksQueuePair(of: request) && request.plainSender == nil
  }

  func description(of request: RegistrationRequest) -> LegDescription {
    LegDescription(
      path: isCarried(in: request) ? .connection : .datagrams, openWritesMax: openWritesMax,
      credit: credit, takesUnsolicited: takesUnsolicited)
  }
}
