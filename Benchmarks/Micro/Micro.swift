// What one step of the data path costs, without a network: wall clock and operations a second.
//
// Each benchmark's inner loop runs a thousand times, and the figures shown are for one of them: one
// datagram, one push, one write's bitmap. Names have no spaces, so that `--filter` needs no quotes.
import Benchmark

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .throughput], timeUnits: .nanoseconds, warmupIterations: 5,
    scalingFactor: .kilo, maxDuration: .seconds(1), maxIterations: 100_000)
  benchmarkDigests()
  benchmarkDatagrams()
  benchmarkRing()
  benchmarkBitmap()
  benchmarkMachines()
}
