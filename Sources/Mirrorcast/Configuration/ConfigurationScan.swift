// A look over a configuration before its YAML is parsed. The parser would follow aliases and nest
// for as long as a text wants it to, and it stops at the first key that is there twice. So here the
// text is kept to what configurations need: no anchors, aliases, tags, directives and block texts,
// no deep nesting, quotes that end on their line. What is refused is told by its place, and keys
// that are there twice are told, all of them, and masked, so that the rest can be read as well.

/// Looks over the text of a configuration file.
struct ConfigurationScan {
  /// Brackets within brackets.
  static let bracketsMax = 8
  /// Columns before the first word of a line.
  static let indentationMax = 64

  /// A complaint without its file.
  struct Finding: Equatable {
    var place: ConfigurationPlace
    var what: String
    var advice: String
  }

  private struct Keys {
    let column: Int
    var lines: [String: Int] = [:]
  }

  /// What must not reach the parser.
  private(set) var refusals: [Finding] = []
  private(set) var duplicates: [Finding] = []
  /// Keys that stand for the second and later ones of a name.
  private(set) var masked: Set<String> = []

  private var lines: [[Unicode.Scalar]]
  private var line = 0
  private var at = 0
  /// Of tables by indentation, and of those in brackets, from the outside in.
  private var tables: [Keys] = []
  private var brackets: [Keys] = []
  private var isBegun = false
  /// An item in brackets that has not ended on its line.
  private var unended: ConfigurationPlace?

  init(_ text: String) {
    lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map {
      Array($0.last == "\r" ? $0.dropLast() : $0)
    }
    for index in lines.indices where refusals.isEmpty {
      line = index
      at = 0
      scanLine()
    }
  }

  /// The text for the parser.
  var text: String {
    var text = String.UnicodeScalarView()
    for line in lines {
      text.append(contentsOf: line)
      text.append("\n")
    }
    return String(text)
  }

  private var scalars: [Unicode.Scalar] { lines[line] }
  private var here: ConfigurationPlace { ConfigurationPlace(line: line + 1, column: at + 1) }

  private func scalar(_ index: Int) -> Unicode.Scalar? {
    index < lines[line].count ? lines[line][index] : nil
  }

  /// Whether a blank, or the end of the line, is there.
  private func isBlank(_ index: Int) -> Bool { scalar(index) ?? " " == " " }

  private mutating func refuse(_ what: String, _ advice: String) {
    refusals.append(Finding(place: here, what: what, advice: advice))
  }

  // MARK: Lines

  private mutating func scanLine() {
    if let bad = scalars.firstIndex(where: \.isForbidden) {
      at = bad
      let code = String(scalars[bad].value, radix: 16)
      return scalars[bad] == "\t"
        ? refuse("a tab", "Use blanks.")
        : refuse("a character that is no text, U+\(code)", "Take it out.")
    }
    skipBlanks()
    guard let first = scalar(at), first != "#" else { return }
    if brackets.isEmpty {
      guard scanStart(first) else { return }
    } else if let place = unended {
      unended = nil
      // A longer item could hide what it says.
      guard [",", "]", "}"].contains(first) else {
        refusals.append(
          Finding(
            place: place, what: "an item in brackets that goes on in the next line",
            advice: "End it by a comma, or put it into quotes."))
        return
      }
    }
    scanTokens()
    isBegun = true
  }

  /// Document marks and dashes; false when nothing is left of the line.
  private mutating func scanStart(_ first: Unicode.Scalar) -> Bool {
    if at == 0, first == "%" {
      refuse("a directive", "Take it out: what is here needs none.")
      return false
    }
    let mark = String(String.UnicodeScalarView(scalars.prefix(3)))
    if mark == "---" || mark == "...", isBlank(3) {
      guard !isBegun, mark == "---" else {
        refuse("a second document", "Put all into one: take this line out.")
        return false
      }
      isBegun = true
      at = 3
      skipBlanks()
    }
    while scalar(at) == "-", isBlank(at + 1) {
      tables.removeAll { $0.column > at }
      at += 1
      skipBlanks()
    }
    guard at <= Self.indentationMax else {
      refuse("more than \(Self.indentationMax) columns in", "Nest less: a few levels suffice.")
      return false
    }
    return at < scalars.count
  }

  private mutating func skipBlanks() {
    while scalar(at) == " " { at += 1 }
  }

  // MARK: Words

  private mutating func scanTokens() {
    while refusals.isEmpty {
      skipBlanks()
      guard let first = scalar(at), first != "#" || at > 0 && scalar(at - 1) != " " else { return }
      switch first {
      case "'", "\"": scanQuoted(first)
      case "[", "{": open()
      case "]" where !brackets.isEmpty, "}" where !brackets.isEmpty:
        brackets.removeLast()
        at += 1
      case "," where !brackets.isEmpty: at += 1
      case "&", "*": refuse("an anchor or alias", "Write it out, or put it into quotes.")
      case "!": refuse("a tag", "Put it into quotes, if it is a text.")
      case "|", ">": refuse("a block text", "Write it on one line.")
      case "?" where isBlank(at + 1): refuse("a key by '?'", "Write KEY: VALUE.")
      default: scanPlain()
      }
    }
  }

  private mutating func open() {
    guard brackets.count < Self.bracketsMax else {
      return refuse("more than \(Self.bracketsMax) brackets", "Nest less: a few levels suffice.")
    }
    brackets.append(Keys(column: at))
    at += 1
  }

  private mutating func scanQuoted(_ quote: Unicode.Scalar) {
    let start = at
    var end = at + 1
    while let next = scalar(end), next != quote {
      end += next == "\\" && quote == "\"" ? 2 : 1
    }
    guard end < scalars.count else {
      return refuse("a quote that does not end on its line", "Close it.")
    }
    at = end + 1
    skipBlanks()
    guard scalar(at) == ":", isBlank(at + 1) || !brackets.isEmpty else { return }
    note(start + 1..<end, at: start)
    at += 1
  }

  private mutating func scanPlain() {
    let start = at
    while let next = scalar(at), !isEnd(next, from: start) { at += 1 }
    guard scalar(at) == ":" else {
      if at == scalars.count, !brackets.isEmpty {
        unended = ConfigurationPlace(line: line + 1, column: start + 1)
      }
      return
    }
    var end = at
    while end > start, scalar(end - 1) == " " { end -= 1 }
    note(start..<end, at: start)
    at += 1
  }

  private func isEnd(_ scalar: Unicode.Scalar, from start: Int) -> Bool {
    switch scalar {
    case ":": isBlank(at + 1) || !brackets.isEmpty && isBracket(at + 1)
    case "#": at > start && self.scalar(at - 1) == " "
    default: !brackets.isEmpty && isBracket(at)
    }
  }

  private func isBracket(_ index: Int) -> Bool {
    scalar(index).map { [",", "[", "]", "{", "}"].contains($0) } ?? false
  }

  // MARK: Keys

  /// A key; the second of its name in its table is told, and masked by one of no meaning.
  private mutating func note(_ range: Range<Int>, at column: Int) {
    let key = String(String.UnicodeScalarView(scalars[range]))
    let first: Int?
    if brackets.isEmpty {
      tables.removeAll { $0.column > column }
      if tables.last?.column != column { tables.append(Keys(column: column)) }
      first = tables[tables.count - 1].lines.updateValue(line + 1, forKey: key)
    } else {
      first = brackets[brackets.count - 1].lines.updateValue(line + 1, forKey: key)
    }
    guard let first, !range.isEmpty,
      let stand = Unicode.Scalar(0xe000 + UInt32(masked.count % 6400))
    else { return }
    duplicates.append(
      Finding(
        place: ConfigurationPlace(line: line + 1, column: column + 1),
        what: "the key '\(key)' is there twice",
        advice: "Keep one of them: the other is on line \(first)."))
    lines[line][range.lowerBound] = stand
    masked.insert(String(String.UnicodeScalarView(scalars[range])))
  }
}

extension Unicode.Scalar {
  /// Control characters, and the line breaks that only YAML knows.
  fileprivate var isForbidden: Bool {
    switch value {
    case 0..<0x20, 0x7f..<0xa0, 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff: true
    default: false
    }
  }
}
