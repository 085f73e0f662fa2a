// One key at a time: what to answer to an offer, what to make of an answer.

/// Settles keys between what this side wants and what the other side says.
package struct KeyNegotiation: Sendable {
  package let wanted: OperationalParameters
  package let type: SessionType
  package private(set) var settled = OperationalParameters()

  package init(wanted: OperationalParameters, type: SessionType) {
    self.wanted = wanted
    self.type = type
  }

  static let reject = "Reject"
  static let irrelevant = "Irrelevant"
  static let notUnderstood = "NotUnderstood"

  // MARK: The side that is offered something

  /// The answer to an offer; nil where a declaration needs none.
  package mutating func answer(_ pair: TextKeys.Pair) -> String? {
    if let rule = NumericRule.all.first(where: { $0.key == pair.key }) {
      return answer(rule, pair.value)
    }
    if let rule = BooleanRule.all.first(where: { $0.key == pair.key }) {
      return answer(rule, pair.value)
    }
    switch pair.key {
    case DigestKey.header, DigestKey.data: return answerDigest(pair)
    case KeyName.receiveLength:
      return receiveDeclaration(pair.value) ? nil : Self.reject
    case "TaskReporting":
      return pair.value.listContains("RFC3720") ? "RFC3720" : Self.reject
    case "IFMarker", "OFMarker":
      // RFC 7143 §13.25: obsolete; a peer of RFC 3720 may still ask.
      return "No"
    case "IFMarkInt", "OFMarkInt", KeyName.authMethod:
      return Self.reject
    case KeyName.mirrorVersion:
      return answerMirrorVersion(pair.value)
    case KeyName.initiatorName, KeyName.targetName, KeyName.sessionType, KeyName.targetAddress,
      KeyName.portalGroupTag, "InitiatorAlias", "TargetAlias":
      return nil
    default:
      // RFC 7143 §6.2: an unknown key is answered so, and negotiation goes on.
      return Self.notUnderstood
    }
  }

  // RFC 7143 §13.1: the first of the list that is supported, and both are.
  private mutating func answerDigest(_ pair: TextKeys.Pair) -> String {
    let values = [DigestKey.crc32c, "None"]
    guard
      let chosen = pair.value.split(separator: ",").lazy.map(String.init)
        .first(where: values.contains)
    else { return Self.reject }
    settle(pair.key, chosen)
    return chosen
  }

  private mutating func settle(_ key: String, _ digest: String) {
    let kind: Digests = key == DigestKey.header ? .header : .data
    if digest == DigestKey.crc32c {
      settled.digests.insert(kind)
    } else {
      settled.digests.remove(kind)
    }
  }

  private mutating func answer(_ rule: NumericRule, _ value: String) -> String {
    guard let offered = value.number, rule.range.contains(offered) else { return Self.reject }
    var ours = wanted[keyPath: rule.path]
    // RFC 7143 §13.14: the first burst is not longer than any.
    if rule.key == "FirstBurstLength" { ours = min(ours, settled.maxBurstLength) }
    // RFC 7143 §7.4.1: 0 in Discovery sessions, whatever is offered.
    if rule.key == "ErrorRecoveryLevel", type == .discovery { ours = 0 }
    let result = rule.takesLarger ? max(ours, offered) : min(ours, offered)
    settled[keyPath: rule.path] = result
    return String(result)
  }

  private mutating func answer(_ rule: BooleanRule, _ value: String) -> String {
    guard value == "Yes" || value == "No" else { return Self.reject }
    let offered = value == "Yes"
    let ours = wanted[keyPath: rule.path]
    let result = rule.needsBoth ? ours && offered : ours || offered
    settled[keyPath: rule.path] = result
    return result ? "Yes" : "No"
  }

  private mutating func answerMirrorVersion(_ value: String) -> String {
    // RFC 7143 §13.22: private keys belong to Normal sessions only.
    guard type == .normal, let ours = wanted.mirrorVersion else { return Self.notUnderstood }
    guard let offered = value.number, offered >= 1 else { return Self.reject }
    let version = min(ours, offered)
    settled.mirrorVersion = version
    return String(version)
  }

  private mutating func receiveDeclaration(_ value: String) -> Bool {
    // RFC 7143 §13.12: 512 to 2^24 - 1, declared by each side for itself.
    guard let length = value.number, (512...16_777_215).contains(length) else { return false }
    settled.sendDataSegmentLengthMax = length
    return true
  }

  /// Our own declaration of what we take, once it has been sent.
  package mutating func declareReceiveLength() -> TextKeys.Pair {
    settled.receiveDataSegmentLengthMax = wanted.receiveDataSegmentLengthMax
    return .init(KeyName.receiveLength, String(wanted.receiveDataSegmentLengthMax))
  }

  /// Whether the standard knows an operational key of this name.
  static func isKnown(_ key: String) -> Bool {
    NumericRule.all.contains { $0.key == key } || BooleanRule.all.contains { $0.key == key }
      || [DigestKey.header, DigestKey.data, KeyName.receiveLength, "TaskReporting"].contains(key)
  }

  // MARK: The side that offers

  /// What this side offers in the operational stage.
  package mutating func offers() -> TextKeys {
    var keys = TextKeys([
      .init(DigestKey.header, digestWish(.header)), .init(DigestKey.data, digestWish(.data)),
    ])
    let isNormal = type == .normal
    for rule in BooleanRule.all where isNormal {
      keys.append(rule.key, wanted[keyPath: rule.path] ? "Yes" : "No")
    }
    for rule in NumericRule.all where isNormal || rule.key.hasPrefix("Default") {
      keys.append(rule.key, String(wanted[keyPath: rule.path]))
    }
    keys.pairs.append(declareReceiveLength())
    if isNormal, let version = wanted.mirrorVersion {
      keys.append(KeyName.mirrorVersion, String(version))
    }
    return keys
  }

  private func digestWish(_ kind: Digests) -> String {
    wanted.digests.contains(kind) ? "\(DigestKey.crc32c),None" : "None"
  }

  /// Takes the answer to one of our offers; false when the standard doesn't allow it.
  package mutating func conclude(_ pair: TextKeys.Pair) -> Bool {
    if [Self.reject, Self.irrelevant, Self.notUnderstood].contains(pair.value) { return true }
    if let rule = NumericRule.all.first(where: { $0.key == pair.key }) {
      guard let result = pair.value.number, rule.range.contains(result) else { return false }
      let ours = wanted[keyPath: rule.path]
      guard rule.takesLarger ? result >= ours : result <= ours else { return false }
      settled[keyPath: rule.path] = result
      return true
    }
    if let rule = BooleanRule.all.first(where: { $0.key == pair.key }) {
      guard pair.value == "Yes" || pair.value == "No" else { return false }
      let result = pair.value == "Yes"
      let ours = wanted[keyPath: rule.path]
      guard result == ours || result != rule.needsBoth else { return false }
      settled[keyPath: rule.path] = result
      return true
    }
    switch pair.key {
    case DigestKey.header, DigestKey.data:
      let kind: Digests = pair.key == DigestKey.header ? .header : .data
      let isOffered = pair.value == DigestKey.crc32c && wanted.digests.contains(kind)
      guard pair.value == "None" || isOffered else { return false }
      settle(pair.key, pair.value)
      return true
    case KeyName.mirrorVersion:
      guard let version = pair.value.number, let ours = wanted.mirrorVersion,
        (1...ours).contains(version)
      else { return false }
      settled.mirrorVersion = version
      return true
    default: return true
    }
  }
}

extension String {
  // RFC 7143 §6.1: decimal or hexadecimal constants.
  var number: Int? {
    if hasPrefix("0x") || hasPrefix("0X") {
      let digits = dropFirst(2)
      return digits.allSatisfy(\.isHexDigit) ? Int(digits, radix: 16) : nil
    }
    return !isEmpty && utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(self) : nil
  }

  func listContains(_ value: String) -> Bool {
    split(separator: ",").contains { $0 == value }
  }
}
