// The initiator's half of login, RFC 7143 §6.3: say who we are, settle AuthMethod=None, offer all
// operational keys in one request, answer what the target offers of its own, be done.
import Bytes

/// Why a login came to nothing.
package enum LoginFailure: Error, Equatable, Sendable {
  /// The target's status class and detail, with where it points to when it has moved.
  case refused(code: UInt16, movedTo: String?)
  /// The target's answer can't be, by the standard: the key or field it is about.
  case badAnswer(String)
}

/// Leads one connection from the first login request to full feature phase.
package struct InitiatorLogin: Sendable {
  /// What to do after a response was taken.
  package enum Outcome: Sendable {
    case send(PDU)
    case loggedIn
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

  package init(configuration: InitiatorConfiguration) {
    self.configuration = configuration
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
    if stage == .security { keys.append(KeyName.authMethod, "None") }
    if stage == .operational { keys.pairs += offer().pairs }
    return request(keys)
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
    let answers = try settle(keys)
    guard header.isTransit else { return .send(request(answers)) }
    return try transit(header)
  }

  // MARK: Stages

  private mutating func transit(_ header: BasicHeaderSegment) throws(LoginFailure) -> Outcome {
    switch (stage, header.nextStage) {
    case (.security, .operational):
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
      let isAnswer = pair.key == KeyName.authMethod || offered.contains(pair.key)
      if isAnswer, pair.key != KeyName.receiveLength {
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
