// The initiator's half of CHAP, RFC 7143 §12.1.3.
//
//     begin ──▶ challenge ──▶ proof ──▶ proved
//     CHAP_A    CHAP_N, CHAP_R, and a challenge where the target is to prove itself

/// How an initiator proves itself, and what it wants proved.
package struct CHAPProof: Sendable {
  package let own: CHAPCredential
  /// What the target must prove; nil: it may be anybody.
  package let target: CHAPCredential?
  package let functions: CHAPFunctions

  package init(own: CHAPCredential, target: CHAPCredential?, functions: CHAPFunctions) {
    self.own = own
    self.target = target
    self.functions = functions
  }
}

/// Proves an initiator's secret to a target.
struct CHAPInitiator: Sendable {
  private enum State {
    case begin
    case challenge
    case proof(CHAPAlgorithm, CHAPChallenge)
    case proved
  }

  private let proof: CHAPProof
  private var state = State.begin

  init(_ proof: CHAPProof) {
    self.proof = proof
  }

  var isProved: Bool {
    if case .proved = state { true } else { false }
  }

  /// What is proved.
  var secret: [UInt8] { proof.own.secret }

  /// Whether the next text that `handle` returns is the last of ours.
  var isLast: Bool {
    switch state {
    case .begin: false
    case .challenge, .proof, .proved: true
    }
  }

  /// Takes a target's keys in the security stage; what to send, none when all is proved.
  mutating func handle(_ keys: TextKeys) throws(LoginFailure) -> [TextKeys.Pair] {
    switch state {
    case .begin:
      state = .challenge
      let list = CHAPAlgorithm.preferred.map { "\($0.rawValue)" }.joined(separator: ",")
      return [.init(CHAPKey.algorithm, list)]
    case .challenge: return try answer(keys)
    case .proof(let algorithm, let challenge):
      try check(keys, algorithm, challenge)
      state = .proved
      return []
    case .proved: return []
    }
  }

  private mutating func answer(_ keys: TextKeys) throws(LoginFailure) -> [TextKeys.Pair] {
    guard let algorithm = keys[CHAPKey.algorithm]?.number.flatMap(CHAPAlgorithm.init(rawValue:))
    else { throw .badAnswer(CHAPKey.algorithm) }
    guard let identifier = keys[CHAPKey.identifier], let text = keys[CHAPKey.challenge],
      let challenge = CHAPChallenge(identifier: identifier, challenge: text)
    else { throw .badAnswer(CHAPKey.challenge) }
    let response = proof.functions.response(
      algorithm, challenge.identifier, proof.own.secret, challenge.bytes)
    var pairs: [TextKeys.Pair] = [
      .init(CHAPKey.name, proof.own.name), .init(CHAPKey.response, BinaryValue.text(response)),
    ]
    guard proof.target != nil else {
      state = .proved
      return pairs
    }
    let ours = CHAPChallenge(proof.functions, algorithm)
    guard ours.bytes != challenge.bytes else { throw .badAnswer(CHAPKey.challenge) }
    pairs += ours.pairs
    state = .proof(algorithm, ours)
    return pairs
  }

  private func check(
    _ keys: TextKeys, _ algorithm: CHAPAlgorithm, _ challenge: CHAPChallenge
  ) throws(LoginFailure) {
    guard let target = proof.target else { return }
    guard keys[CHAPKey.name] == target.name, let text = keys[CHAPKey.response],
      let response = BinaryValue.bytes(text, countMax: algorithm.responseByteCount),
      proof.functions.response(
        algorithm, challenge.identifier, target.secret, challenge.bytes
      ).isEqualInConstantTime(to: response),
      // RFC 7143 §9.2.1: a proof that we could have made ourselves proves nothing.
      target.secret != proof.own.secret
    else { throw .unprovedTarget }
  }
}
