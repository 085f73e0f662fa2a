/// What sessions have not heard yet of what happened to their disk, SAM-5 §5.14. Each session has a
/// few at most; one that it has waiting already isn't added again.
struct UnitAttentions: Sendable {
  static let waitingMax = 8
  /// Ports whose session was lost, and who have not come back: the latest ones.
  static let lostMax = 128

  private var waiting: [UInt64: [AdditionalSense]] = [:]
  private var sessions: [UInt64: InitiatorPort] = [:]
  private var lost: [InitiatorPort] = []

  /// Whether nobody has anything to hear.
  var isEmpty: Bool { waiting.isEmpty }

  mutating func attach(_ nexus: Nexus) {
    sessions[nexus.session] = nexus.port
    guard let index = lost.firstIndex(of: nexus.port) else { return }
    lost.remove(at: index)
    tell(.nexusLoss, to: nexus.session)
  }

  // SAM-5 §6.3.4, RFC 7143 §6.3.5.1: who comes back hears that the nexus was lost, and with it all
  // that was the session's own. Who has logged out has ended it, and need not be told.
  mutating func detach(_ session: UInt64, isLost: Bool) {
    waiting[session] = nil
    guard let port = sessions.removeValue(forKey: session), isLost else { return }
    // Reinstated: the next session is here before the last one has gone.
    guard sessions(of: port).isEmpty else { return tell(.nexusLoss, port: port) }
    if lost.count >= Self.lostMax { lost.removeFirst() }
    lost.append(port)
  }

  func nexus(of session: UInt64) -> Nexus? {
    sessions[session].map { Nexus(session: session, port: $0) }
  }

  /// The sessions of a port that are there now.
  func sessions(of port: InitiatorPort) -> [UInt64] {
    sessions.filter { $0.value == port }.map(\.key)
  }

  /// Every session but `session` is to hear it.
  mutating func tell(_ news: AdditionalSense, exceptTo session: UInt64? = nil) {
    for other in sessions.keys where other != session { tell(news, to: other) }
  }

  /// The sessions of that port are to hear it.
  mutating func tell(_ news: AdditionalSense, port: InitiatorPort) {
    for session in sessions(of: port) { tell(news, to: session) }
  }

  /// That session is to hear it, where it is here.
  mutating func tell(_ news: AdditionalSense, to session: UInt64) {
    guard sessions[session] != nil else { return }
    let known = waiting[session] ?? []
    guard !known.contains(news), known.count < Self.waitingMax else { return }
    waiting[session] = known + [news]
  }

  /// The session has heard it otherwise.
  mutating func forget(_ news: AdditionalSense, to session: UInt64) {
    guard let known = waiting[session] else { return }
    let rest = known.filter { $0 != news }
    waiting[session] = rest.isEmpty ? nil : rest
  }

  /// What the session hears next; it has heard it then.
  mutating func take(_ session: UInt64) -> SenseData? {
    guard !waiting.isEmpty, var list = waiting[session] else { return nil }
    let first = list.removeFirst()
    waiting[session] = list.isEmpty ? nil : list
    return SenseData(.unitAttention, first)
  }
}
