/// What sessions have not heard yet of what happened to their disk, SAM-5 §5.14. Each session has a
/// few at most; one that it has waiting already isn't added again.
struct UnitAttentions: Sendable {
  static let waitingMax = 8

  private var waiting: [UInt64: [AdditionalSense]] = [:]
  private var sessions: [UInt64: InitiatorPort] = [:]

  mutating func attach(_ nexus: Nexus) { sessions[nexus.session] = nexus.port }

  mutating func detach(_ session: UInt64) {
    sessions[session] = nil
    waiting[session] = nil
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
