// The ring between threads, here on one, and the bitmap of a write's missing blocks.
import Benchmark
import Lanes
import Replication

func benchmarkRing() {
  Benchmark("ring-push-pop") { benchmark in
    let ring = Ring<Int>(capacity: 1024)
    var sum = 0
    benchmark.startMeasurement()
    for index in benchmark.scaledIterations {
      _ = ring.push(index)
      sum &+= ring.pop() ?? 0
    }
    benchmark.stopMeasurement()
    blackHole(sum)
  }
}

func benchmarkBitmap() {
  let blocks = 745  // of 1408 bytes in 1 MiB
  Benchmark("bitmap-mark-a-block") { benchmark in
    var bitmap = BlockBitmap(capacity: blocks)
    var next = blocks
    benchmark.startMeasurement()
    for _ in benchmark.scaledIterations {
      if next == blocks {
        bitmap.restart(blockCount: blocks)
        next = 0
      }
      blackHole(bitmap.markPresent(next))
      next += 1
    }
    benchmark.stopMeasurement()
  }
  Benchmark("bitmap-find-37-gaps-of-745") { benchmark in
    var bitmap = BlockBitmap(capacity: blocks)
    bitmap.restart(blockCount: blocks, allMissing: false)
    for block in stride(from: 0, to: blocks, by: 20) { bitmap.markMissing(block) }
    var sum = 0
    benchmark.startMeasurement()
    for _ in benchmark.scaledIterations {
      var next = bitmap.firstMissing()
      while let block = next {
        sum &+= block
        next = bitmap.firstMissing(from: block + 1)
      }
    }
    benchmark.stopMeasurement()
    blackHole(sum)
  }
  Benchmark("bitmap-report-of-745") { benchmark in
    var bitmap = BlockBitmap(capacity: blocks)
    bitmap.restart(blockCount: blocks, allMissing: false)
    for block in stride(from: 0, to: blocks, by: 20) { bitmap.markMissing(block) }
    benchmark.startMeasurement()
    for _ in benchmark.scaledIterations { blackHole(bitmap.serialize()) }
    benchmark.stopMeasurement()
  }
}
