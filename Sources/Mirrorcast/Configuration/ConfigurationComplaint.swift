/// One thing that is wrong with a configuration file, and where: `FILE:LINE:COLUMN: what. Advice.`
public struct ConfigurationComplaint: Error, Sendable, Equatable, CustomStringConvertible {
  public var file: String
  /// From 1.
  public var line: Int
  /// From 1, in characters.
  public var column: Int
  public var what: String
  /// What to do about it, as a sentence.
  public var advice: String

  public init(file: String, line: Int, column: Int, what: String, advice: String) {
    self.file = file
    self.line = line
    self.column = column
    self.what = what
    self.advice = advice
  }

  public var description: String { "\(file):\(line):\(column): \(what). \(advice)" }
}

/// Why a configuration file can't be used: everything that is wrong with it, in its order.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
  public static let complaintsMax = 100

  /// At least one, and no more than the limit.
  public let complaints: [ConfigurationComplaint]

  init(_ complaints: [ConfigurationComplaint]) {
    precondition(!complaints.isEmpty, "an error without a complaint")
    let sorted = complaints.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
    self.complaints = Array(sorted.prefix(Self.complaintsMax))
  }

  public var description: String {
    complaints.map(\.description).joined(separator: "\n")
  }
}

/// A place in a configuration file.
struct ConfigurationPlace: Sendable, Equatable {
  var line: Int
  var column: Int

  static let start = ConfigurationPlace(line: 1, column: 1)
}
