/// How a write ended: good when every leg has stored it.
public struct WriteResult: Sendable {
  public var isGood: Bool
  /// The legs that have not stored it; the others have.
  public var failures: [LegStatus]

  public init(isGood: Bool, failures: [LegStatus]) {
    self.isGood = isGood
    self.failures = failures
  }
}

/// What one leg says, in words for people.
public struct LegStatus: Sendable, Equatable {
  public var url: LogicalUnitURL
  public var isGood: Bool
  /// `GOOD`, a SCSI status with its sense, or what happened to the connection.
  public var text: String

  public init(url: LogicalUnitURL, isGood: Bool, text: String) {
    self.url = url
    self.isGood = isGood
    self.text = text
  }
}
