// What happened, as numbers: words are made of them only where somebody reads them.

/// The last things that happened in a run.
struct Trace {
  /// One of them.
  struct Entry {
    var time: UInt64
    var event: UInt32
    var what: StaticString
    var node: Int
    var numbers: (Int, Int, Int)
  }

  private static let keptMax = 64
  private var kept: [Entry] = []
  private var next = 0
  /// All is printed at once.
  var printsAll = false

  mutating func note(_ entry: Entry) {
    if printsAll { print(Self.words(entry)) }
    if kept.count < Self.keptMax {
      kept.append(entry)
    } else {
      kept[next] = entry
    }
    next = (next + 1) % Self.keptMax
  }

  /// In order, the last `count` of them.
  func last(_ count: Int) -> [String] {
    let ordered = kept.count < Self.keptMax ? kept : Array(kept[next...] + kept[..<next])
    return ordered.suffix(count).map(Self.words)
  }

  /// `what` has the numbers' names: `a %` and so on, by place.
  private static func words(_ entry: Entry) -> String {
    var numbers = [entry.numbers.0, entry.numbers.1, entry.numbers.2][...]
    var words = ""
    for character in "\(entry.what)" {
      if character == "%", let number = numbers.popFirst() {
        words += "\(number)"
      } else {
        words.append(character)
      }
    }
    let micros = "\(entry.time / 1000)"
    let thousandths = "\(entry.time % 1000 + 1000)".dropFirst()
    let node =
      entry.node < 0
      ? "world"
      : entry.node < World.targetsAt
        ? "I\(entry.node)"
        : "T\(entry.node - World.targetsAt)"
    return "#\(entry.event) \(micros).\(thousandths) us  \(node): \(words)"
  }
}
