// The target's half of login, RFC 7143 §6.3.
//
//     security ──T──▶ operational ──T──▶ full feature
//         └────────────────T─────────────────▲
//
// The first request chooses the stage to begin in; every later one must be of the stage that was
// agreed on. Who has something to prove begins with security, and stays there until it is proved.
// A request whose C bit is set is answered empty until its text is whole. Anything wrong ends the
// login with a status that says what; nothing is stored beyond one text of 64 KiB. How long a login
// may take is the owner's business: no clock here.
import Bytes

/// Leads one connection from its first request to full feature phase, or refuses it.
package struct TargetLogin: Sendable {
  /// What to do after a request was taken.
  package enum Outcome: Sendable {
    /// Send it, wait for the next request.
    case answer(PDU)
    /// Send it: the session is in full feature phase.
    case loggedIn(PDU)
    /// Send it and close.
    case refused(PDU, LoginStatus)
    /// Close without a word.
    case terminated
  }

  // A login needs two to six requests; continued texts some more.
  static let requestsMax = 64
  // All keys that there are would be some forty.
  static let keysMax = 512
  // RFC 7143 §13.12: login PDUs keep to the default length.
  static let pieceLengthMax = 8192

  package private(set) var session = SessionDescription()

  private let configuration: TargetConfiguration
  private var negotiation: KeyNegotiation?
  private var stage: LoginStage?
  private var taskTag: UInt32 = 0
  private var requests = 0
  private var assembly: TextAssembly
  private var pieces = TextPieces()
  private var answeredKeys: Set<String> = []
  private var requirement: CHAPRequirement?
  private var chap: CHAPTarget?
  private var hasDeclared = false

  package init(configuration: TargetConfiguration) {
    self.configuration = configuration
    assembly = TextAssembly(byteCountMax: configuration.textBytesMax)
  }

  /// Whether a request has come.
  package var hasBegun: Bool { requests > 0 }
  /// The account that refused this login, since it is not for the initiator that came by it.
  package var foreignAccount: String? { chap?.foreignAccount }
  /// Memory taken for texts that are not whole, or not all sent, and for keys, in bytes.
  package var heldByteCount: Int { assembly.byteCount + pieces.byteCount + keyBytes }
  // A key is at most 63 bytes long; with what a set needs for it.
  private var keyBytes: Int { answeredKeys.count > 64 ? answeredKeys.count * 128 : 0 }

  /// The login is over: what only it needed is given back.
  mutating func forget() {
    (assembly, pieces, answeredKeys) = (TextAssembly(), TextPieces(), [])
  }

  package mutating func handle(_ pdu: PDU) -> Outcome {
    // RFC 7143 §6.3: anything but a login request ends a connection that isn't logged in.
    guard pdu.header.opcode == .loginRequest else { return .terminated }
    do throws(LoginStatus) {
      return try take(pdu)
    } catch {
      return .refused(refusal(of: pdu.header, error), error)
    }
  }

  /// The answer to a request that ends the login with a status.
  package func refusal(of request: BasicHeaderSegment, _ status: LoginStatus) -> PDU {
    var header = responseHeader(to: request)
    header.tsih = 0
    header.setStages(current: request.currentStage ?? .security, next: nil)
    header.loginStatusCode = status.rawValue
    return PDU(header: header)
  }

  private mutating func take(_ pdu: PDU) throws(LoginStatus) -> Outcome {
    let header = pdu.header
    requests += 1
    guard requests <= Self.requestsMax else { throw .initiatorError }
    try check(header)
    guard pdu.additional.isEmpty else { throw .initiatorError }
    do { try assembly.append(pdu.data) } catch { throw .initiatorError }
    if header.isContinued {
      return .answer(response(to: header, text: [], next: nil, isContinued: false))
    }
    let keys: TextKeys
    do { keys = try TextKeys(strict: assembly.take()) } catch { throw .initiatorError }
    if negotiation == nil { try identify(keys, header) }
    try negotiate(keys, stage ?? .security)
    return proceed(header)
  }

  // MARK: Checks

  private mutating func check(_ header: BasicHeaderSegment) throws(LoginStatus) {
    // RFC 7143 §11.12.4: version 0 is the only one there is.
    guard header.byte3 == 0 else { throw .unsupportedVersion }
    guard let current = header.currentStage, current != .fullFeature else {
      throw .initiatorError
    }
    if header.isTransit {
      guard !header.isContinued, let next = header.nextStage, next.rawValue > current.rawValue
      else { throw .initiatorError }
    }
    if let stage {
      guard stage == current, header.initiatorTaskTag == taskTag, header.isid == session.isid,
        header.connectionID == session.connectionID
      else { throw .initiatorError }
    } else {
      // RFC 7143 §11.12.6: a handle that isn't zero names a session to join; ours have one
      // connection each, so there is none to join.
      guard header.tsih == 0 else { throw .sessionDoesNotExist }
      stage = current
      taskTag = header.initiatorTaskTag
      session.isid = header.isid
      session.connectionID = header.connectionID
    }
  }

  // RFC 7143 §6.3: the first text names the initiator, the kind of session and the target.
  private mutating func identify(
    _ keys: TextKeys, _ header: BasicHeaderSegment
  ) throws(LoginStatus) {
    guard let initiator = keys[KeyName.initiatorName] else { throw .missingParameter }
    guard NodeName.isValid(initiator) else { throw .initiatorError }
    let typeName = keys[KeyName.sessionType] ?? SessionType.normal.rawValue
    guard let type = SessionType(rawValue: typeName) else { throw .sessionTypeNotSupported }
    let target = keys[KeyName.targetName]
    session.initiatorName = initiator
    session.type = type
    session.targetName = target
    if type == .normal {
      guard let target else { throw .missingParameter }
      guard let listing = configuration.targets.first(where: { $0.name == target }) else {
        throw .targetNotFound
      }
      guard listing.isVisible(to: initiator) else { throw .authorizationFailure }
      requirement = listing.authentication
    } else {
      requirement = configuration.discoveryAuthentication
    }
    guard requirement == nil || stage == .security else { throw .authenticationFailure }
    negotiation = KeyNegotiation(wanted: configuration.wanted, type: type)
    // RFC 7143 §13.9: told in the first response of a Normal session.
    if type == .normal { pieces.append(TextKeys([.init(KeyName.portalGroupTag, "1")]).encoded) }
  }

  // MARK: Keys

  private mutating func negotiate(_ keys: TextKeys, _ stage: LoginStage) throws(LoginStatus) {
    var answers = TextKeys()
    for pair in keys.pairs {
      // RFC 7143 §6.3: no key is negotiated twice.
      guard answeredKeys.insert(pair.key).inserted, answeredKeys.count <= Self.keysMax else {
        throw .initiatorError
      }
      if stage == .security {
        if chap != nil, CHAPKey.all.contains(pair.key) { continue }
        guard let answer = try answerInSecurity(pair) else { continue }
        answers.append(pair.key, answer)
      } else if let answer = negotiation?.answer(pair) {
        answers.append(pair.key, answer)
      }
    }
    if stage == .security { answers.pairs += try prove(keys) }
    // Where the initiator's own declaration was rejected, ours waits: no key twice in one text.
    if stage == .operational, !hasDeclared, answers[KeyName.receiveLength] == nil,
      let pair = negotiation?.declareReceiveLength()
    {
      hasDeclared = true
      answers.pairs.append(pair)
    }
    pieces.append(answers.encoded)
  }

  private mutating func answerInSecurity(_ pair: TextKeys.Pair) throws(LoginStatus) -> String? {
    if pair.key == KeyName.authMethod {
      // RFC 7143 §12.1: an initiator that won't do what is wanted, or wants more, isn't served.
      let method = requirement == nil ? "None" : "CHAP"
      guard pair.value.listContains(method) else { throw .authenticationFailure }
      chap = requirement.map { CHAPTarget($0, of: session.initiatorName) }
      return method
    }
    switch pair.key {
    case KeyName.initiatorName, KeyName.targetName, KeyName.sessionType, KeyName.targetAddress,
      "InitiatorAlias":
      return nil
    default:
      // RFC 7143 §13: operational keys have no place in this stage.
      let isKnown = KeyNegotiation.isKnown(pair.key)
      return isKnown ? KeyNegotiation.reject : KeyNegotiation.notUnderstood
    }
  }

  private mutating func prove(_ keys: TextKeys) throws(LoginStatus) -> [TextKeys.Pair] {
    let proofs = keys.pairs.filter { CHAPKey.all.contains($0.key) }
    guard !proofs.isEmpty else { return [] }
    let answers = try chap?.handle(TextKeys(proofs)) ?? []
    session.provedSecret = chap?.provedSecret
    return answers
  }

  /// Whether nothing that is wanted of the initiator is left to be proved.
  private var isAuthenticated: Bool { requirement == nil || chap?.isProved == true }

  // MARK: Answers

  private mutating func proceed(_ header: BasicHeaderSegment) -> Outcome {
    let current = stage ?? .security
    let piece = pieces.next(lengthMax: Self.pieceLengthMax)
    guard pieces.isEmpty else {
      return .answer(response(to: header, text: piece, next: nil, isContinued: true))
    }
    guard header.isTransit, isAuthenticated, let next = header.nextStage else {
      return .answer(response(to: header, text: piece, next: nil, isContinued: false))
    }
    stage = next
    guard next == .fullFeature else {
      return .answer(
        response(to: header, text: piece, next: next, current: current, isContinued: false))
    }
    session.tsih = configuration.tsih
    session.parameters = negotiation?.settled ?? OperationalParameters()
    return .loggedIn(
      response(to: header, text: piece, next: next, current: current, isContinued: false))
  }

  private func response(
    to request: BasicHeaderSegment, text: ArraySlice<UInt8>, next: LoginStage?,
    current: LoginStage? = nil, isContinued: Bool
  ) -> PDU {
    var header = responseHeader(to: request)
    header.setStages(
      current: current ?? stage ?? .security, next: next, isContinued: isContinued)
    return PDU(header: header, data: text)
  }

  private func responseHeader(to request: BasicHeaderSegment) -> BasicHeaderSegment {
    var header = BasicHeaderSegment(opcode: .loginResponse, flags: 0)
    header.isid = request.isid
    header.tsih = session.tsih
    header.initiatorTaskTag = request.initiatorTaskTag
    return header
  }
}
