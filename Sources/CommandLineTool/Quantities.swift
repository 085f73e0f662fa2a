// Numbers as people read them; no Foundation for so little.

/// Words for bytes, rates and times.
enum Quantity {
  /// `1.25 GiB`: three digits that count, binary units.
  static func bytes(_ count: Double) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = count
    var unit = 0
    while value >= 1023.5 && unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return unit == 0 ? "\(Int(value)) B" : "\(threeDigits(value)) \(units[unit])"
  }

  static func bytes(_ count: UInt64) -> String { bytes(Double(count)) }

  /// `812 MiB/s`.
  static func rate(_ bytesPerSecond: Double) -> String { "\(bytes(bytesPerSecond))/s" }

  /// `0:07`, `12:34`, `1:02:03`.
  static func time(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 360_000 else { return "-:--" }
    let whole = Int(seconds.rounded(.up))
    let (hours, minutes) = (whole / 3600, whole / 60 % 60)
    return hours > 0
      ? "\(hours):\(twoDigits(minutes)):\(twoDigits(whole % 60))"
      : "\(minutes):\(twoDigits(whole % 60))"
  }

  /// `value` with `places` decimals, without an exponent.
  static func decimal(_ value: Double, places: Int) -> String {
    let scale = places == 0 ? 1 : places == 1 ? 10 : places == 2 ? 100 : 1000
    let digits = min(places, 3)
    guard value.isFinite, abs(value) < 1e15 else { return "-" }
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % scale)
    let zeros = String(repeating: "0", count: digits - fraction.count)
    return "\(sign)\(scaled / scale).\(zeros)\(fraction)"
  }

  private static func threeDigits(_ value: Double) -> String {
    decimal(value, places: value < 9.995 ? 2 : value < 99.95 ? 1 : 0)
  }

  private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
