import ArgumentParser
import Mirrorcast

/// Something of the kernel's that lanes go without: `--offload`.
enum Offload: String, CaseIterable, ExpressibleByArgument {
  case noSegmentation = "no-gso"
  case noCoalescing = "no-gro"
  case noHugePages = "no-hugepages"
  case failingSegmentation = "fail-gso"
}

/// Where lanes run, and what they ask of the kernel: `--lane`, `--spin`, `--offload`.
struct LaneArguments: ParsableArguments {
  @Option(
    name: .customLong("lane"),
    help: ArgumentHelp(
      """
      Where a lane runs: any, node:N (a NUMA node) or core:N; give one for each lane. \
      (default: one lane near the interface)
      """, valueName: "place"))
  var places: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      How long a lane with nothing to do looks again before it sleeps: small writes end sooner, \
      for a core of its own.
      """, valueName: "microseconds"))
  var spin: Int = 0

  @Option(
    name: .customLong("offload"),
    help: ArgumentHelp(
      """
      Go without trains of datagrams out (no-gso), trains in (no-gro) or huge pages \
      (no-hugepages), or see them fail when first sent (fail-gso); may be given again.
      """))
  var offloads: [Offload] = []

  func validate() throws {
    do throws(MirrorcastError) {
      try lanes.check()
    } catch {
      throw usageError(error.what, advice: error.advice ?? "Write it as --help shows.")
    }
    guard !offloads.contains(.noSegmentation) || !offloads.contains(.failingSegmentation) else {
      throw usageError(
        "no-gso and fail-gso can't both be", advice: "What is not tried can't fail: take one.")
    }
  }

  var lanes: LaneOptions {
    var lanes = LaneOptions()
    lanes.placements = places
    lanes.spinMicroseconds = spin
    lanes.segmentation = !offloads.contains(.noSegmentation)
    lanes.coalescing = !offloads.contains(.noCoalescing)
    lanes.hugePages = !offloads.contains(.noHugePages)
    lanes.failsSegmentation = offloads.contains(.failingSegmentation)
    return lanes
  }
}
