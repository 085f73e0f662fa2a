// The target's half of CHAP, RFC 7143 §12.1.3.
//
//     algorithms ──▶ response ──▶ proved
//       CHAP_A         CHAP_N, CHAP_R, and a challenge of the initiator's own where it wants one
//
// Anything out of order, and every wrong proof alike, is an authentication failure: what exactly
// was wrong is nobody's business.

/// Somebody who may log in: what he proves, and which initiators he may say that he is.
package struct CHAPAccount: Equatable, Sendable {
  package let credential: CHAPCredential
  /// The InitiatorNames that he may come by; nil: all.
  package let initiators: Set<String>?

  /// Without any `initiators`, an account with an initiator's name is for that initiator alone.
  package init(_ credential: CHAPCredential, initiators: [String] = []) {
    self.credential = credential
    let isInitiator = NodeName.isValid(credential.name)
    let names = initiators.isEmpty && isInitiator ? [credential.name] : initiators
    self.initiators = names.isEmpty ? nil : Set(names)
  }

  func admits(_ initiator: String) -> Bool { initiators?.contains(initiator) ?? true }
}

/// Whom a target admits, and what it proves of itself.
package struct CHAPRequirement: Sendable {
  package let accounts: [CHAPAccount]
  /// What the target answers a challenge with; nil: a challenge is refused.
  package let own: CHAPCredential?
  package let functions: CHAPFunctions

  package init(accounts: [CHAPAccount], own: CHAPCredential?, functions: CHAPFunctions) {
    self.accounts = accounts
    self.own = own
    self.functions = functions
  }
}

/// Has an initiator prove that it knows a secret.
struct CHAPTarget: Sendable {
  private enum State {
    case algorithms
    case response(CHAPAlgorithm, CHAPChallenge)
    case proved
  }

  private let requirement: CHAPRequirement
  private let initiator: String
  private var state = State.algorithms
  /// An account whose secret was proved, by an initiator that it is not for.
  private(set) var foreignAccount: String?
  private(set) var provedSecret: ProvedSecret?

  init(_ requirement: CHAPRequirement, of initiator: String) {
    self.requirement = requirement
    self.initiator = initiator
  }

  var isProved: Bool {
    if case .proved = state { true } else { false }
  }

  /// Takes CHAP's keys of one text; what there is to answer.
  mutating func handle(_ keys: TextKeys) throws(LoginStatus) -> [TextKeys.Pair] {
    switch state {
    case .algorithms: return try choose(keys)
    case .response(let algorithm, let challenge): return try prove(keys, algorithm, challenge)
    case .proved: throw .authenticationFailure
    }
  }

  private mutating func choose(_ keys: TextKeys) throws(LoginStatus) -> [TextKeys.Pair] {
    guard keys.pairs.count == 1, let list = keys[CHAPKey.algorithm] else {
      throw .authenticationFailure
    }
    // RFC 7143 §12.1.3: the first of the list that is known.
    let algorithm = list.split(separator: ",").lazy
      .compactMap { String($0).number.flatMap(CHAPAlgorithm.init(rawValue:)) }.first
    guard let algorithm else { throw .authenticationFailure }
    let challenge = CHAPChallenge(requirement.functions, algorithm)
    state = .response(algorithm, challenge)
    return [.init(CHAPKey.algorithm, "\(algorithm.rawValue)")] + challenge.pairs
  }

  private mutating func prove(
    _ keys: TextKeys, _ algorithm: CHAPAlgorithm, _ challenge: CHAPChallenge
  ) throws(LoginStatus) -> [TextKeys.Pair] {
    guard let name = keys[CHAPKey.name], let text = keys[CHAPKey.response],
      let response = BinaryValue.bytes(text, countMax: algorithm.responseByteCount),
      let account = requirement.accounts.first(where: { $0.credential.name == name }),
      requirement.functions.response(
        algorithm, challenge.identifier, account.credential.secret, challenge.bytes
      ).isEqualInConstantTime(to: response),
      // RFC 7143 §9.2.1: a proof that we could have made ourselves proves nothing.
      account.credential.secret != requirement.own?.secret
    else { throw .authenticationFailure }
    // RFC 7143 §9.2.1: sessions, lists and reservations go by the InitiatorName, so who was proved
    // must be who may be that.
    guard account.admits(initiator) else {
      foreignAccount = name
      throw .authenticationFailure
    }
    let answer = try answer(keys, algorithm, challenge)
    state = .proved
    provedSecret = ProvedSecret(bytes: account.credential.secret)
    return answer
  }

  /// The target's own proof, where the initiator asks for one.
  private func answer(
    _ keys: TextKeys, _ algorithm: CHAPAlgorithm, _ ours: CHAPChallenge
  ) throws(LoginStatus) -> [TextKeys.Pair] {
    let asked = [keys[CHAPKey.identifier], keys[CHAPKey.challenge]].compactMap { $0 }
    guard keys.pairs.count == 2 + asked.count else { throw .authenticationFailure }
    guard !asked.isEmpty else { return [] }
    // RFC 7143 §12.1.3: our own challenge sent back would have us prove what others are to prove.
    guard asked.count == 2, let own = requirement.own,
      let theirs = CHAPChallenge(identifier: asked[0], challenge: asked[1]),
      theirs.bytes != ours.bytes
    else { throw .authenticationFailure }
    let response = requirement.functions.response(
      algorithm, theirs.identifier, own.secret, theirs.bytes)
    return [
      .init(CHAPKey.name, own.name), .init(CHAPKey.response, BinaryValue.text(response)),
    ]
  }
}

extension [UInt8] {
  /// Whether two proofs are equal, in a time that doesn't tell how far they are.
  func isEqualInConstantTime(to other: [UInt8]) -> Bool {
    guard count == other.count else { return false }
    return zip(self, other).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }
}
