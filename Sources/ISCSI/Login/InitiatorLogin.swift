// The initiator's half of login, RFC 7143 §6.3: say who we are, settle how that is proved, offer
// all operational keys in one request, answer what the target offers of its own, be done.
import Bytes

/// Why a login came to nothing.
package enum LoginFailure: Error, Equatable, Sendable {
  /// The target's status class and detail, with where it points to when it has moved.
  case refused(code: UInt16, movedTo: String?)
  /// The target's answer can't be, by the standard: the key or field it is about.
  case badAnswer(String)
  /// The target does not know the secret that it was to prove.
  case unprovedTarget
}

/// Leads one connection from the first login request to full feature phase.
package struct InitiatorLogin: Sendable {
  /// What to do after a response was taken.
  package enum Outcome: Sendable {
    case send(PDU)
    case loggedIn
  }

  /// How far the security stage has come.
  private enum Authentication {
    case offered(CHAPProof?)
    case proving(CHAPInitiator)
    case settled
  }

  static let requestsMax = 64
  static let taskTag: UInt32 = 0

  package private(set) var session = SessionDescription()

  private let configuration: InitiatorConfiguration
  private var negotiation: KeyNegotiation
  private var stage: LoginStage
  private var offered: Set<String> = []
  private var answered: Set<String> = []
  private var assembly = TextAssembly()
  private var requests = 0
  private var authentication: Authentication

  package init(configuration: InitiatorConfiguration) {
    self.configuration = configuration
    authentication = .offered(configuration.proof)
    negotiation = KeyNegotiation(wanted: configuration.wanted, type: configuration.type)
    stage = configuration.skipsSecurityStage ? .operational : .security
    session.type = configuration.type
    session.initiatorName = configuration.initiatorName
    session.targetName = configuration.targetName
    session.isid = configuration.isid
  }

  /// The first request.
  package mutating func begin() -> PDU {
    var keys = TextKeys([
      .init(KeyName.initiatorName, configuration.initiatorName),
      .init(KeyName.sessionType, configuration.type.rawValue),
    ])
    if let target = configuration.targetName { keys.append(KeyName.targetName, target) }
    if stage == .security { keys.append(KeyName.authMethod, methods) }
    if stage == .operational { keys.pairs += offer().pairs }
    return request(keys, isTransit: isReadyForTransit)
  }

  package mutating func handle(_ pdu: PDU) throws(LoginFailure) -> Outcome {
    let header = pdu.header
    guard header.opcode == .loginResponse else { throw .badAnswer("opcode") }
    guard pdu.additional.isEmpty else { throw .badAnswer("TotalAHSLength") }
    do { try assembly.append(pdu.data) } catch { throw .badAnswer("text") }
    guard header.loginStatusCode >> 8 == 0 else { throw refusal(header.loginStatusCode) }
    guard header.initiatorTaskTag == Self.taskTag else { throw .badAnswer("InitiatorTaskTag") }
    guard header.byte3 == 0 else { throw .badAnswer("Version-active") }
    guard header.currentStage == stage else { throw .badAnswer("CSG") }
    guard requests < Self.requestsMax else { throw .badAnswer("endless login") }
    if header.isContinued {
      guard !header.isTransit else { throw .badAnswer("C bit") }
      return .send(request(TextKeys(), isTransit: false))
    }
    let keys: TextKeys
    do { keys = try TextKeys(strict: assembly.take()) } catch { throw .badAnswer("text") }
    var answers = try settle(keys)
    if stage == .security { answers.pairs += try prove(keys) }
    guard header.isTransit else {
      return .send(request(answers, isTransit: isReadyForTransit))
    }
    return try transit(header)
  }

  // MARK: Security

  private var methods: String {
    guard let proof = configuration.proof else { return "None" }
    return proof.target == nil && !configuration.mustProve ? "CHAP,None" : "CHAP"
  }

  /// Whether nothing of ours is left to be said in this stage.
  private var isReadyForTransit: Bool {
    switch authentication {
    case .offered(let proof): stage != .security || proof == nil
    case .proving(let chap): chap.isLast
    case .settled: true
    }
  }

  private mutating func conclude(method: String) throws(LoginFailure) {
    switch (method, authentication) {
    case ("None", .offered(let proof))
    where proof == nil || proof?.target == nil && !configuration.mustProve:
      authentication = .settled
    case ("CHAP", .offered(let proof?)): authentication = .proving(CHAPInitiator(proof))
    default: throw .badAnswer(KeyName.authMethod)
    }
  }

  private mutating func prove(_ keys: TextKeys) throws(LoginFailure) -> [TextKeys.Pair] {
    guard case .proving(var chap) = authentication else { return [] }
    let answers = try chap.handle(TextKeys(keys.pairs.filter { CHAPKey.all.contains($0.key) }))
    authentication = .proving(chap)
    session.provedSecret = chap.isProved ? ProvedSecret(bytes: chap.secret) : nil
    return answers
  }

  private func requireProof() throws(LoginFailure) {
    switch authentication {
    case .offered(nil), .settled: return
    case .proving(let chap) where chap.isProved: return
    case .offered, .proving: throw .badAnswer(KeyName.authMethod)
    }
  }

  // MARK: Stages

  private mutating func transit(_ header: BasicHeaderSegment) throws(LoginFailure) -> Outcome {
    switch (stage, header.nextStage) {
    case (.security, .operational):
      try requireProof()
      stage = .operational
      return .send(request(offer()))
    case (_, .fullFeature):
      guard stage == .operational else { throw .badAnswer("NSG") }
      // RFC 7143 §11.13.3: the last response tells the session's handle.
      guard header.tsih != 0 else { throw .badAnswer("TSIH") }
      session.tsih = header.tsih
      session.parameters = negotiation.settled
      return .loggedIn
    default:
      throw .badAnswer("NSG")
    }
  }

  private mutating func offer() -> TextKeys {
    let keys = negotiation.offers()
    offered.formUnion(keys.pairs.map(\.key))
    return keys
  }

  private mutating func request(_ keys: TextKeys, isTransit: Bool = true) -> PDU {
    requests += 1
    var header = BasicHeaderSegment(opcode: .loginRequest, isImmediate: true)
    let next: LoginStage = stage == .security ? .operational : .fullFeature
    header.setStages(current: stage, next: isTransit ? next : nil)
    header.isid = configuration.isid
    header.initiatorTaskTag = Self.taskTag
    return PDU(header: header, data: keys.encoded)
  }

  // MARK: Keys

  /// Takes the target's answers; what is to be answered to offers of its own.
  private mutating func settle(_ keys: TextKeys) throws(LoginFailure) -> TextKeys {
    var answers = TextKeys()
    for pair in keys.pairs {
      guard answered.insert(pair.key).inserted else { throw .badAnswer(pair.key) }
      guard pair.key != KeyName.authMethod else {
        try conclude(method: pair.value)
        continue
      }
      if stage == .security, CHAPKey.all.contains(pair.key) { continue }
      if offered.contains(pair.key), pair.key != KeyName.receiveLength {
        guard negotiation.conclude(pair) else { throw .badAnswer(pair.key) }
      } else if let answer = negotiation.answer(pair) {
        answers.append(pair.key, answer)
      }
    }
    return answers
  }

  private mutating func refusal(_ code: UInt16) -> LoginFailure {
    let keys = try? TextKeys(strict: assembly.take())
    return .refused(code: code, movedTo: code >> 8 == 1 ? keys?[KeyName.targetAddress] : nil)
  }
}
