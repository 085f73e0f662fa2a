import Storage

/// A limit of the daemon as a configuration file names it: as its property in `TargetLimits`.
struct LimitKey: Sendable {
  /// What its number counts.
  enum Unit: String, Sendable {
    case count = "a number"
    case bytes = "a number of bytes, or one with K, M, G or T"
    case milliseconds = "a number of milliseconds"
  }

  let name: String
  let unit: Unit
  let range: ClosedRange<UInt64>
  /// Nil where it is negative, which no limit may be.
  let value: @Sendable (TargetLimits) -> UInt64?
  let text: @Sendable (TargetLimits) -> String
  let set: @Sendable (inout TargetLimits, UInt64) -> Void

  private init<Value: FixedWidthInteger & Sendable>(
    _ name: String, _ field: any WritableKeyPath<TargetLimits, Value> & Sendable, _ unit: Unit,
    _ range: ClosedRange<UInt64>
  ) {
    self.name = name
    self.unit = unit
    self.range = range
    value = { UInt64(exactly: $0[keyPath: field]) }
    text = { "\($0[keyPath: field])" }
    set = { $0[keyPath: field] = Value($1) }
  }

  /// One line for each property.
  static let all: [LimitKey] = [
    LimitKey("sessionsMax", \.sessionsMax, .count, 1...32_768),
    LimitKey("loginsMax", \.loginsMax, .count, 1...16_384),
    LimitKey("loginsOfAddressMax", \.loginsOfAddressMax, .count, 1...16_384),
    LimitKey("connectionsOfAddressMax", \.connectionsOfAddressMax, .count, 1...65_535),
    LimitKey("loginBytesMax", \.loginBytesMax, .bytes, 65_536...1 << 40),
    LimitKey("loginMilliseconds", \.loginMilliseconds, .milliseconds, 10...3_600_000),
    LimitKey("discoveryMilliseconds", \.discoveryMilliseconds, .milliseconds, 10...3_600_000),
    LimitKey("backlog", \.backlog, .count, 1...65_535),
    LimitKey("acceptsAtOnce", \.acceptsAtOnce, .count, 1...1024),
    LimitKey("textBytesMax", \.textBytesMax, .bytes, 8192...65_536),
    LimitKey("commandsMax", \.commandsMax, .count, 1...4096),
    LimitKey("immediateCommandsMax", \.immediateCommandsMax, .count, 1...4096),
    LimitKey("diskCommandsMax", \.diskCommandsMax, .count, 1...4096),
    LimitKey("readAtHandBytesMax", \.readAtHandBytesMax, .bytes, 0...1 << 24),
    LimitKey("trainWriteBytesMax", \.trainWriteBytesMax, .bytes, 0...1 << 20),
    LimitKey("dataOutMilliseconds", \.dataOutMilliseconds, .milliseconds, 10...3_600_000),
    LimitKey("recoveryBytesMax", \.recoveryBytesMax, .bytes, 65_536...1 << 40),
    LimitKey("recoveryBytesInAllMax", \.recoveryBytesInAllMax, .bytes, 0...1 << 40),
    LimitKey("transferBytesMax", \.transferBytesMax, .bytes, 65_536...1 << 40),
    LimitKey("readBytesInAllMax", \.readBytesInAllMax, .bytes, 65_536...1 << 40),
    LimitKey("writeBytesInAllMax", \.writeBytesInAllMax, .bytes, 65_536...1 << 40),
    LimitKey("outputBytesMax", \.outputBytesMax, .bytes, 4096...1 << 40),
    LimitKey("answerBytesMax", \.answerBytesMax, .bytes, 65_536...1 << 40),
    LimitKey("reservedBytes", \.reservedBytes, .bytes, 0...1 << 30),
    LimitKey(
      "contendedMilliseconds", \.contendedMilliseconds, .milliseconds, 10...3_600_000),
    LimitKey("contendedBytes", \.contendedBytes, .bytes, 1...1 << 30),
    LimitKey("outputMilliseconds", \.outputMilliseconds, .milliseconds, 10...3_600_000),
    LimitKey("idleMilliseconds", \.idleMilliseconds, .milliseconds, 10...3_600_000),
    LimitKey("pingMilliseconds", \.pingMilliseconds, .milliseconds, 10...3_600_000),
    LimitKey("lingerMilliseconds", \.lingerMilliseconds, .milliseconds, 1...3_600_000),
    LimitKey("logoutMilliseconds", \.logoutMilliseconds, .milliseconds, 1...3_600_000),
    LimitKey("drainMilliseconds", \.drainMilliseconds, .milliseconds, 1...3_600_000),
    LimitKey("sanitizeBytesPerSecondMax", \.sanitizeBytesPerSecondMax, .bytes, 65_536...1 << 40),
  ]

  /// Whether a daemon can work with what the limits have there.
  func isGood(in limits: TargetLimits) -> Bool { value(limits).map(range.contains) ?? false }

  /// Reads a value; nil where it is none.
  func number(_ text: String) -> UInt64? {
    let number = unit == .bytes ? (try? ByteSize(text))?.bytes : decimal(text[...]).map(UInt64.init)
    return number.flatMap { range.contains($0) ? $0 : nil }
  }
}
