// How a kept mirror and its legs stand, as its holder says it to others: a line for the mirror, one
// for each leg, each of fields `key=value` with tabs in between. Text rather than a record's bytes,
// since it is for looking, and a reader of another version skips the fields that it doesn't know.

/// A kept mirror that is open, as its holder sees it.
package struct MirrorStanding: Sendable, Equatable {
  /// Bytes of a reason that are told.
  package static let reasonMax = 200

  package var name: String
  package var generation: UInt64
  /// How many legs that have everything it needs to take a write.
  package var requiredCount: Int
  /// It is ending.
  package var isClosing = false
  /// Too few legs are here: writes wait.
  package var isSuspended = false
  package var legs: [LegStanding] = []

  package init(name: String, generation: UInt64, requiredCount: Int) {
    self.name = name
    self.generation = generation
    self.requiredCount = requiredCount
  }

  func words(reasonMax: Int) -> String {
    var line = StandingLine("mirror")
    line.append("name", name)
    line.append("generation", "\(generation)")
    line.append("required", "\(requiredCount)")
    line.append("closing", isClosing)
    line.append("suspended", isSuspended)
    return ([line] + legs.map { $0.line(reasonMax: reasonMax) }).map(\.text)
      .joined(separator: "\n")
  }

  init(words: String) throws(OrderFault) {
    let lines = words.split(separator: "\n", omittingEmptySubsequences: false)
    // The first line and no more legs than there may be, before any is read.
    guard (1...Limits.legsMax + 1).contains(lines.count) else {
      throw OrderFault("an answer of \(lines.count) lines")
    }
    let first = try StandingLine(parsing: lines[0], "mirror")
    self.init(
      name: try first.text("name"), generation: try first.number("generation"),
      requiredCount: try first.number("required"))
    isClosing = try first.isYes("closing")
    isSuspended = try first.isYes("suspended")
    for line in lines.dropFirst() { legs.append(try LegStanding(parsing: line)) }
  }
}

/// One leg of a kept mirror, or a member that is none here, as the holder sees it.
package struct LegStanding: Sendable, Equatable {
  package var label: String
  package var state: MemberState
  /// The generation that calls it so.
  package var generation: UInt64
  /// Mirrored writes reach it.
  package var isHere = false
  /// It is not tried again by itself.
  package var isDetached = false
  /// It can't be taken back as it is.
  package var isGivenUp = false
  /// Regions that are still to be compared; nil while that isn't known.
  package var remaining: Int?
  package var total: Int?
  package var copiedBytes: UInt64 = 0
  /// How its data gets there: `udp`, `rdma`, `tcp`; empty where none does.
  package var servedBy = ""
  package var reason: String

  package init(label: String, state: MemberState, generation: UInt64, reason: String) {
    self.label = label
    self.state = state
    self.generation = generation
    self.reason = reason
  }

  fileprivate func line(reasonMax: Int) -> StandingLine {
    var line = StandingLine("leg")
    line.append("url", label)
    line.append("state", state.word)
    line.append("generation", "\(generation)")
    line.append("here", isHere)
    line.append("detached", isDetached)
    line.append("given-up", isGivenUp)
    if let remaining { line.append("remaining", "\(remaining)") }
    if let total { line.append("total", "\(total)") }
    line.append("copied", "\(copiedBytes)")
    line.append("served-by", servedBy)
    line.append("reason", StandingLine.plain(reason, max: reasonMax))
    return line
  }

  fileprivate init(parsing text: Substring) throws(OrderFault) {
    let line = try StandingLine(parsing: text, "leg")
    let word = try line.text("state")
    guard let state = MemberState.allCases.first(where: { $0.word == word }) else {
      throw OrderFault("a leg's state is '\(word)'")
    }
    self.init(
      label: try line.text("url"), state: state, generation: try line.number("generation"),
      reason: try line.text("reason"))
    isHere = try line.isYes("here")
    isDetached = try line.isYes("detached")
    isGivenUp = try line.isYes("given-up")
    remaining = try line.numberIfAny("remaining")
    total = try line.numberIfAny("total")
    copiedBytes = try line.number("copied")
    servedBy = try line.text("served-by")
  }
}

/// One line of a standing.
struct StandingLine {
  /// Fields of one line.
  private static let fieldsMax = 32

  private let kind: String
  private var fields: [(key: Substring, value: Substring)] = []

  init(_ kind: String) { self.kind = kind }

  var text: String {
    ([kind] + fields.map { "\($0.key)=\($0.value)" }).joined(separator: "\t")
  }

  mutating func append(_ key: String, _ value: String) {
    fields.append((Substring(key), Substring(Self.plain(value, max: MirrorMember.labelMax))))
  }

  mutating func append(_ key: String, _ isYes: Bool) { append(key, isYes ? "yes" : "no") }

  /// Without what separates lines and fields, and short enough.
  static func plain(_ text: String, max: Int) -> String {
    var plain = ""
    for scalar in text.unicodeScalars {
      let isControl = scalar.properties.generalCategory == .control
      plain.unicodeScalars.append(isControl ? " " : scalar)
      guard plain.utf8.count <= max else {
        plain.unicodeScalars.removeLast()
        break
      }
    }
    return plain
  }

  // MARK: Reading

  init(parsing text: Substring, _ kind: String) throws(OrderFault) {
    self.kind = kind
    let parts = text.split(separator: "\t", omittingEmptySubsequences: false)
    guard parts[0] == kind, parts.count <= Self.fieldsMax else {
      throw OrderFault("a line of an answer is no \(kind)")
    }
    for part in parts.dropFirst() {
      guard let sign = part.firstIndex(of: "=") else {
        throw OrderFault("a field of an answer has no value")
      }
      let key = part[..<sign]
      guard !fields.contains(where: { $0.key == key }) else {
        throw OrderFault("an answer says \(key) twice")
      }
      fields.append((key, part[part.index(after: sign)...]))
    }
  }

  private func value(_ key: String) -> Substring? { fields.first { $0.key == key }?.value }

  func text(_ key: String) throws(OrderFault) -> String {
    guard let value = value(key) else { throw OrderFault("an answer says nothing of \(key)") }
    guard value.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
      throw OrderFault("\(key) in an answer is no plain text")
    }
    return String(value)
  }

  func number<N: FixedWidthInteger>(_ key: String) throws(OrderFault) -> N {
    guard let number: N = try numberIfAny(key) else {
      throw OrderFault("an answer says nothing of \(key)")
    }
    return number
  }

  func numberIfAny<N: FixedWidthInteger>(_ key: String) throws(OrderFault) -> N? {
    guard let value = value(key) else { return nil }
    guard value.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = N(value) else {
      throw OrderFault("\(key) in an answer is no number")
    }
    return number
  }

  func isYes(_ key: String) throws(OrderFault) -> Bool {
    switch value(key) {
    case "yes": return true
    case "no": return false
    default: throw OrderFault("\(key) in an answer is neither yes nor no")
    }
  }
}
