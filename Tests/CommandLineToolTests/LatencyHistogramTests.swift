import Testing

@testable import mirrorcast

struct LatencyHistogramTests {
  @Test func `nothing recorded is zero`() {
    let histogram = LatencyHistogram()
    #expect(histogram.percentile(0.5) == 0)
    #expect(histogram.maximum == 0)
  }

  @Test func `percentiles are within one per cent of the exact ones`() {
    var random = SplitMix64(seed: 7)
    var histogram = LatencyHistogram()
    var values: [UInt64] = []
    for _ in 0..<20_000 {
      // From nanoseconds to minutes, evenly over the powers of two.
      let value = random.next() >> UInt64.random(in: 28...63, using: &random)
      values.append(value)
      histogram.record(nanoseconds: value)
    }
    values.sort()
    for fraction in [0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1] {
      let exact = Double(values[Int((fraction * Double(values.count)).rounded(.up)) - 1])
      let told = Double(histogram.percentile(fraction))
      #expect(abs(told - exact) <= exact * 0.01, "\(fraction): \(told) for \(exact)")
    }
    #expect(histogram.maximum == values.last)
  }

  @Test func `a percentile is never above the maximum`() {
    var histogram = LatencyHistogram()
    histogram.record(nanoseconds: 1_000_001)
    #expect(histogram.percentile(0.999) <= histogram.maximum)
  }

  @Test func `the longest times are counted, not lost`() {
    var histogram = LatencyHistogram()
    histogram.record(nanoseconds: .max)
    histogram.record(nanoseconds: 1 << 42)
    #expect(histogram.total == 2)
    #expect(histogram.maximum == .max)
  }
}
