// Latencies in a table of fixed size, so that a long run takes no more memory than a short one.
// Buckets are log-linear, as in HdrHistogram: each power of two is cut into 128 equal parts, and a
// value is told as the middle of its bucket, which is wrong by less than 0.4 %.

/// Counts of latencies in nanoseconds, for percentiles; memory is taken at start.
struct LatencyHistogram: Sendable {
  private static let partBits = 7
  private static let parts = 1 << partBits
  /// Everything above 2^42 ns, over an hour, counts in the last bucket.
  private static let highestBitMax = 41

  private var counts: [UInt64]
  private(set) var total: UInt64 = 0
  private(set) var maximum: UInt64 = 0

  init() {
    counts = Array(
      repeating: 0, count: (Self.highestBitMax - Self.partBits + 2) * Self.parts)
  }

  mutating func record(nanoseconds: UInt64) {
    counts[Self.bucket(nanoseconds)] += 1
    total += 1
    maximum = max(maximum, nanoseconds)
  }

  /// The latency that `fraction` of all are not above, in nanoseconds; 0 when none was recorded.
  func percentile(_ fraction: Double) -> UInt64 {
    guard total > 0 else { return 0 }
    let rank = min(total, max(1, UInt64((fraction * Double(total)).rounded(.up))))
    var seen: UInt64 = 0
    for (bucket, count) in counts.enumerated() where count > 0 {
      seen += count
      if seen >= rank { return min(Self.middle(of: bucket), maximum) }
    }
    return maximum
  }

  private static func bucket(_ value: UInt64) -> Int {
    // Values below 128 have a bucket each; above, the seven bits after the highest choose one.
    guard value >= UInt64(parts) else { return Int(value) }
    let highestBit = 63 - value.leadingZeroBitCount
    guard highestBit <= highestBitMax else {
      return (highestBitMax - partBits + 2) * parts - 1
    }
    let shift = highestBit - partBits
    return (shift + 1) * parts + Int(value >> UInt64(shift)) - parts
  }

  private static func middle(of bucket: Int) -> UInt64 {
    guard bucket >= parts else { return UInt64(bucket) }
    let shift = bucket / parts - 1
    let low = UInt64(bucket % parts + parts) << UInt64(shift)
    return low + (UInt64(1) << UInt64(shift)) / 2
  }
}
