public import Logging

/// What `mirrorcast target --config` reads: a YAML file with all that a target daemon serves.
///
/// The keys are told in <doc:Configuration>. Everything that is wrong with a file is told at once,
/// each by its line and column.
public struct ConfigurationFile: Sendable {
  /// The longest file that is read.
  public static let byteCountMax = 1 << 18

  public let path: String
  public let configuration: TargetConfiguration
  /// The least severe log lines to show; nil where the file says nothing of it.
  public let logLevel: Logger.Level?

  /// Where the parts stand that `check` has something to say of.
  struct Places: Sendable {
    var portals: [ConfigurationPlace] = []
    var interface: ConfigurationPlace?
    var state: ConfigurationPlace?
    /// For each target, for each of its LUNs.
    var units: [[ConfigurationPlace]] = []
  }

  let places: Places

  /// Reads a file, and the files of secrets that it names; throws all that is wrong with them.
  public init(path: String) throws(ConfigurationError) {
    let file: SmallFile
    do throws(SmallFileError) {
      file = try SmallFile(path: path, byteCountMax: Self.byteCountMax)
    } catch {
      throw ConfigurationError([
        ConfigurationComplaint(
          file: path, line: 1, column: 1, what: error.words(path),
          advice: "Give a configuration file that you may read.")
      ])
    }
    guard let text = String(validating: file.bytes, as: UTF8.self) else {
      // The first line that is none.
      let lines = file.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      let bad = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
      throw ConfigurationError([
        ConfigurationComplaint(
          file: path, line: bad + 1, column: 1, what: "this line is no text in UTF-8",
          advice: "Save the file in UTF-8.")
      ])
    }
    try self.init(parsing: text, path: path)
  }

  /// As `init(path:)`, of a text that stands at that path.
  public init(parsing text: String, path: String) throws(ConfigurationError) {
    var findings: [ConfigurationScan.Finding] = []
    var reader = ConfigurationReader()
    var draft: Draft?
    // A mark of the byte order says nothing in UTF-8.
    let text = text.hasPrefix("\u{feff}") ? String(text.unicodeScalars.dropFirst()) : text
    if let root = ConfigurationNode.parse(text, &findings) { draft = Draft(root, &reader) }
    findings += reader.findings
    var configuration: TargetConfiguration?
    if let draft, findings.isEmpty {
      do throws(MirrorcastError) {
        configuration = try draft.configuration()
      } catch {
        findings.append(
          .init(place: .start, what: error.what, advice: error.advice ?? "Change it."))
      }
    }
    guard findings.isEmpty, let draft, let configuration else {
      throw ConfigurationError(
        findings.map {
          ConfigurationComplaint(
            file: path, line: $0.place.line, column: $0.place.column, what: $0.what,
            advice: $0.advice)
        })
    }
    self.path = path
    self.configuration = configuration
    logLevel = draft.logLevel
    places = draft.places
  }
}

/// What was read, before it is known to be whole.
private struct Draft {
  private static let known = [
    "portals", "targets", "interface", "state", "secrets", "secure", "logLevel", "lanes", "faults",
    "limits",
  ]

  private var portals: [PortalAddress] = []
  private var targets: [TargetDefinition] = []
  private var interface: String?
  private var state: String?
  private var secrets: CHAPSecrets?
  private var requiresSecurity = false
  private var lanes = LaneOptions()
  private var faults = Faults.none
  private var limits = TargetLimits()
  private(set) var logLevel: Logger.Level?
  private(set) var places = ConfigurationFile.Places()

  init?(_ root: ConfigurationNode, _ reader: inout ConfigurationReader) {
    guard case .table = root.content else {
      reader.note(
        root.place, "the file is \(root.kind), not a table of keys",
        "It wants portals: and targets:.")
      return nil
    }
    let values = reader.table(root, "the file", known: Self.known)
    for (key, example) in [
      ("portals", "portals: [10.0.0.1:3260]"), ("targets", "targets: with a name and luns each"),
    ] where values[key] == nil {
      reader.note(root.place, "the key '\(key)' is missing", "Add \(example).")
    }
    if let node = values["portals"] {
      let found = reader.portals(node)
      portals = found.map(\.0)
      places.portals = found.map(\.1)
    }
    readRest(values, &reader)
    if let node = values["targets"] {
      let found = reader.targets(node) { (path) throws(MirrorcastError) in try Self.secrets(path) }
      targets = found.map(\.definition)
      places.units = found.map(\.unitPlaces)
    }
  }

  private mutating func readRest(
    _ values: [String: ConfigurationNode], _ reader: inout ConfigurationReader
  ) {
    if let node = values["interface"] {
      interface = reader.text(node, "interface", example: "eth1")
      places.interface = node.place
    }
    if let node = values["state"] {
      state = reader.text(node, "state", example: "/var/lib/mirrorcast")
      places.state = node.place
    }
    if let node = values["secrets"] {
      secrets = reader.value(node, "secrets", example: "/etc/mirrorcast/secrets") {
        (path) throws(MirrorcastError) in try Self.secrets(path)
      }
    }
    if let node = values["secure"], let text = reader.text(node, "secure", example: "required") {
      requiresSecurity = text == "required"
      if !requiresSecurity, text != "optional" {
        reader.note(node.place, "secure is '\(text.prefix(64))'", "Write required or optional.")
      }
    }
    if let node = values["logLevel"], let text = reader.text(node, "logLevel", example: "info") {
      logLevel = Logger.Level(rawValue: text)
      if logLevel == nil {
        let all = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        reader.note(node.place, "logLevel is '\(text.prefix(64))'", "Write one of \(all).")
      }
    }
    if let node = values["lanes"] { lanes = reader.lanes(node) }
    if let node = values["faults"] { faults = reader.faults(node) }
    if let node = values["limits"] { limits = reader.limits(node) }
  }

  /// Secrets of a target, which are there for somebody.
  private static func secrets(_ path: String) throws(MirrorcastError) -> CHAPSecrets {
    let secrets = try CHAPSecrets(file: path)
    _ = try secrets.requirement()
    return secrets
  }

  func configuration() throws(MirrorcastError) -> TargetConfiguration {
    var configuration = try TargetConfiguration(portals: portals, targets: targets)
    configuration.interface = interface
    configuration.stateFolder = state
    configuration.secrets = secrets
    configuration.requiresSecurity = requiresSecurity
    configuration.lanes = lanes
    configuration.faults = faults
    configuration.limits = limits
    return configuration
  }
}
