// The one place that knows the YAML parser: from its tree to ours, which has what a configuration
// needs and a place for everything.

import Yams

/// A value in a configuration file.
struct ConfigurationNode: Sendable {
  /// What it is.
  enum Content: Sendable {
    case nothing
    case text(String)
    case list([ConfigurationNode])
    case table([Entry])
  }

  /// A key and its value.
  struct Entry: Sendable {
    let key: String
    let place: ConfigurationPlace
    let value: ConfigurationNode
  }

  let content: Content
  let place: ConfigurationPlace

  /// What it is, for people.
  var kind: String {
    switch content {
    case .nothing: "nothing"
    case .text(let text): "'\(text.prefix(64))'"
    case .list: "a list"
    case .table: "a table of keys"
    }
  }
}

extension ConfigurationNode {
  /// Reads a whole text; adds what is wrong with it as YAML to `findings`. Nil where it can't be
  /// read at all.
  static func parse(_ text: String, _ findings: inout [ConfigurationScan.Finding])
    -> ConfigurationNode?
  {
    let scan = ConfigurationScan(text)
    findings += scan.duplicates
    guard scan.refusals.isEmpty else {
      findings += scan.refusals
      return nil
    }
    do {
      guard let node = try Parser(yaml: scan.text, encoding: .utf8).singleRoot() else {
        return ConfigurationNode(content: .nothing, place: .start)
      }
      return try ConfigurationNode(node, without: scan.masked)
    } catch let error as YamlError {
      findings.append(ConfigurationScan.Finding(error))
    } catch let finding as NodeFinding {
      findings.append(finding.finding)
    } catch {
      findings.append(.init(place: .start, what: "\(error)", advice: "Write it as YAML."))
    }
    return nil
  }

  /// Recursive, as deep as the scan has let it be.
  private init(_ node: Node, without masked: Set<String>) throws(NodeFinding) {
    place = ConfigurationPlace(node.mark)
    // The scan lets none pass.
    guard node.anchor == nil else {
      throw NodeFinding(
        finding: .init(place: place, what: "an anchor or alias", advice: "Write it out."))
    }
    switch node {
    case .scalar(let scalar):
      let isNothing = scalar.style == .plain && ["", "~", "null"].contains(scalar.string)
      content = isNothing ? .nothing : .text(scalar.string)
    case .sequence(let sequence):
      var list: [ConfigurationNode] = []
      for item in sequence { list.append(try ConfigurationNode(item, without: masked)) }
      content = .list(list)
    case .mapping(let mapping):
      var entries: [Entry] = []
      for (key, value) in mapping {
        guard case .scalar(let scalar) = key else {
          throw NodeFinding(
            finding: .init(
              place: ConfigurationPlace(key.mark), what: "a key that is no text",
              advice: "Write KEY: VALUE, and put a text that begins with a bracket into quotes."))
        }
        guard !masked.contains(scalar.string) else { continue }
        entries.append(
          Entry(
            key: scalar.string, place: ConfigurationPlace(key.mark),
            value: try ConfigurationNode(value, without: masked)))
      }
      content = .table(entries)
    case .alias:
      throw NodeFinding(finding: .init(place: place, what: "an alias", advice: "Write it out."))
    }
  }
}

private struct NodeFinding: Error {
  let finding: ConfigurationScan.Finding
}

extension ConfigurationPlace {
  fileprivate init(_ mark: Mark?) {
    self.init(line: mark?.line ?? 1, column: mark?.column ?? 1)
  }
}

extension ConfigurationScan.Finding {
  fileprivate init(_ error: YamlError) {
    let advice = "Look at the indentation, colons, brackets and quotes here."
    switch error {
    case .scanner(let context, let problem, let mark, _),
      .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let around = context.map { "\($0.text) of line \($0.mark.line), " } ?? ""
      self.init(
        place: ConfigurationPlace(mark), what: "no YAML: \(around)\(problem)", advice: advice)
    case .duplicatedKeysInMapping(let keys, let context):
      self.init(
        place: ConfigurationPlace(context.mark),
        what: "the key '\(keys.first ?? "")' is there twice", advice: "Keep one of them.")
    case .reader(let problem, _, _, _):
      self.init(place: .start, what: "no YAML: \(problem)", advice: advice)
    default: self.init(place: .start, what: "no YAML", advice: advice)
    }
  }
}
