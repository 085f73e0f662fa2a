// From the tree of a configuration file to its values. Nothing here ends at the first thing that is
// wrong: it is noted by its place, and reading goes on.

/// Reads parts of a configuration file, and gathers what is wrong with them.
struct ConfigurationReader {
  private(set) var findings: [ConfigurationScan.Finding] = []

  mutating func note(_ place: ConfigurationPlace, _ what: String, _ advice: String) {
    findings.append(.init(place: place, what: what, advice: advice))
  }

  mutating func note(_ place: ConfigurationPlace, _ error: MirrorcastError, else advice: String) {
    note(place, error.what, error.advice ?? advice)
  }

  // MARK: Kinds

  /// The values of a table by their keys; a key that isn't known here is noted, with the nearest.
  mutating func table(
    _ node: ConfigurationNode, _ name: String, known: [String]
  ) -> [String: ConfigurationNode] {
    guard let entries = entries(node, name) else { return [:] }
    var values: [String: ConfigurationNode] = [:]
    for entry in entries {
      if known.contains(entry.key) {
        values[entry.key] = entry.value
      } else {
        let near = Spelling.nearest(to: entry.key, of: known)
        note(
          entry.place, "\(name) has no key '\(entry.key.prefix(64))'",
          near.map { "Did you mean '\($0)'?" } ?? "It has \(known.joined(separator: ", ")).")
      }
    }
    return values
  }

  /// The entries of a table with any keys; nil where it is none, which is noted.
  mutating func entries(
    _ node: ConfigurationNode, _ name: String
  ) -> [ConfigurationNode.Entry]? {
    if case .table(let entries) = node.content { return entries }
    note(node.place, "\(name) is \(node.kind), not a table of keys", "Write KEY: VALUE lines.")
    return nil
  }

  /// The items of a list; nil where it is none, which is noted.
  mutating func list(
    _ node: ConfigurationNode, _ name: String, example: String
  ) -> [ConfigurationNode]? {
    if case .list(let items) = node.content { return items }
    note(
      node.place, "\(name) is \(node.kind), not a list", "Write it as [\(example)], or a line each."
    )
    return nil
  }

  /// A text; nil where it is none, which is noted.
  mutating func text(
    _ node: ConfigurationNode, _ name: String, example: String
  ) -> String? {
    if case .text(let text) = node.content, !text.isEmpty { return text }
    note(
      node.place, "\(name) is \(node.kind), not a text", "Write it like \(example), or in quotes.")
    return nil
  }

  /// What a parser of ours makes of a text; nil where it is none or is refused, which is noted.
  mutating func value<Value>(
    _ node: ConfigurationNode, _ name: String, example: String,
    _ parse: (String) throws(MirrorcastError) -> Value
  ) -> Value? {
    guard let text = text(node, name, example: example) else { return nil }
    do throws(MirrorcastError) {
      return try parse(text)
    } catch {
      note(node.place, error, else: "Write it like \(example).")
      return nil
    }
  }

  // MARK: Sections

  mutating func limits(_ node: ConfigurationNode) -> TargetLimits {
    var limits = TargetLimits()
    let values = table(node, "limits", known: LimitKey.all.map(\.name))
    for key in LimitKey.all {
      guard let node = values[key.name],
        let text = text(node, key.name, example: key.text(limits))
      else { continue }
      if let number = key.number(text) {
        key.set(&limits, number)
      } else {
        note(
          node.place, "\(key.name) is '\(text.prefix(64))'",
          "Write \(key.unit.rawValue), from \(key.range.lowerBound) to \(key.range.upperBound).")
      }
    }
    return limits
  }

  mutating func faults(_ node: ConfigurationNode) -> Faults {
    var faults = Faults.none
    let values = table(node, "faults", known: ["drop", "duplicate", "reorder", "seed"])
    let parts: [(String, WritableKeyPath<Faults, Double>)] = [
      ("drop", \.drop), ("duplicate", \.duplicate), ("reorder", \.reorder),
    ]
    for (name, field) in parts {
      guard let node = values[name], let text = text(node, name, example: "0.05") else { continue }
      if let part = Double(text), part >= 0, part < 1 {
        faults[keyPath: field] = part
      } else {
        note(node.place, "\(name) is '\(text.prefix(64))'", "Write a part of 1: 0.05 is 5 %.")
      }
    }
    if let node = values["seed"], let text = text(node, "seed", example: "1") {
      if let seed = UInt64(text) {
        faults.seed = seed
      } else {
        note(node.place, "seed is '\(text.prefix(64))'", "Write a number.")
      }
    }
    do throws(MirrorcastError) {
      _ = try faults.injector()
    } catch {
      note(node.place, error, else: "Let them add up to 1 or less.")
    }
    return faults
  }

  mutating func lanes(_ node: ConfigurationNode) -> LaneOptions {
    var lanes = LaneOptions()
    let values = table(node, "lanes", known: ["places", "spinMicroseconds", "offload"])
    if let node = values["places"], let items = list(node, "places", example: "any, node:0") {
      lanes.placements = items.compactMap { text($0, "a lane's place", example: "node:0") }
    }
    if let node = values["spinMicroseconds"],
      let text = text(node, "spinMicroseconds", example: "50")
    {
      // What is no number is out of range, too.
      lanes.spinMicroseconds = decimal(text[...]) ?? -1
    }
    if let node = values["offload"], let items = list(node, "offload", example: "no-gso") {
      for item in items { offload(item, &lanes) }
    }
    do throws(MirrorcastError) {
      try lanes.check()
    } catch {
      note(values["places"]?.place ?? node.place, error, else: "Write it as --help shows.")
    }
    return lanes
  }

  private mutating func offload(_ node: ConfigurationNode, _ lanes: inout LaneOptions) {
    let known = ["no-gso", "no-gro", "no-hugepages", "fail-gso"]
    switch text(node, "what lanes go without", example: "no-gso") {
    case nil: break
    case "no-gso": lanes.segmentation = false
    case "no-gro": lanes.coalescing = false
    case "no-hugepages": lanes.hugePages = false
    case "fail-gso": lanes.failsSegmentation = true
    case let text?:
      note(
        node.place, "lanes can't go without '\(text.prefix(64))'",
        "They can without \(known.joined(separator: ", ")).")
    }
  }
}

/// What somebody may have meant.
enum Spelling {
  /// The known word that is nearest, when it is near at all.
  static func nearest(to word: String, of known: [String]) -> String? {
    guard word.utf8.count <= 64 else { return nil }
    let plain = Array(word.lowercased().filter { $0 != "-" && $0 != "_" })
    let found = known.map { name -> (String, Int) in
      let letters = Array(name.lowercased())
      // The beginning of a long word is nearly as good as the whole.
      let start = distance(plain, Array(letters.prefix(plain.count))) + 1
      return (name, min(distance(plain, letters), plain.count < 4 ? .max : start))
    }.min { $0.1 < $1.1 }
    guard let (name, distance) = found, distance <= max(2, plain.count / 3) else { return nil }
    return distance < max(name.count, 3) - 1 ? name : nil
  }

  /// Levenshtein's: insertions, deletions and replacements.
  private static func distance(_ one: [Character], _ other: [Character]) -> Int {
    var row = Array(0...other.count)
    for (index, character) in one.enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for column in other.indices {
        let replaced = diagonal + (other[column] == character ? 0 : 1)
        diagonal = row[column + 1]
        row[column + 1] = min(replaced, min(row[column], diagonal) + 1)
      }
    }
    return row[other.count]
  }
}
