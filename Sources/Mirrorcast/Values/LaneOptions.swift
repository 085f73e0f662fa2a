import Datagrams
import Lanes

/// Where the lanes of a mirror or a target run, and what they ask of the kernel; what they got
/// stands in the log and in `MirrorStatistics.lanes`.
public struct LaneOptions: Sendable, Equatable {
  /// The most lanes of one mirror or target.
  public static let lanesMax = 16
  /// The longest time that a lane may be told to spin.
  public static let spinMicrosecondsMax = 1_000_000

  /// One for each lane: `any`, `node:N` (a NUMA node) or `core:N`. None: one lane near the
  /// interface.
  public var placements: [String] = []
  /// How long a lane that finds nothing to do looks again before it sleeps, in microseconds.
  public var spinMicroseconds = 0
  /// Datagrams leave in trains that are cut up late (UDP_SEGMENT), where the kernel can.
  public var segmentation = true
  /// Datagrams that came together are received together (UDP_GRO), where the kernel can.
  public var coalescing = true
  /// Buffers lie in huge pages, where there are any.
  public var hugePages = true
  /// Trains are refused when the first one is sent, as some drivers do: to see what then happens.
  package var failsSegmentation = false

  public init() {}

  /// Throws what can't be meant; whether this machine has it turns out when the lane starts.
  package func check() throws(MirrorcastError) { _ = try LaneSettings(self) }
}

/// The options of lanes, as the lower rooms take them.
struct LaneSettings: Sendable {
  /// None: one lane near the interface.
  private let placements: [LanePlacement]
  let idle: LaneIdle
  let segmentation: OffloadPolicy
  let coalescing: OffloadPolicy
  let pages: PagePolicy

  init(_ options: LaneOptions) throws(MirrorcastError) {
    guard options.placements.count <= LaneOptions.lanesMax else {
      throw MirrorcastError(
        "\(options.placements.count) lanes are more than \(LaneOptions.lanesMax)",
        advice: "Name a place for each core that lanes may have.")
    }
    guard (0...LaneOptions.spinMicrosecondsMax).contains(options.spinMicroseconds) else {
      throw MirrorcastError(
        "a lane can't spin for \(options.spinMicroseconds) µs",
        advice: "Give microseconds, from 0 to \(LaneOptions.spinMicrosecondsMax).")
    }
    var placements: [LanePlacement] = []
    for text in options.placements {
      let placement: LanePlacement
      do throws(PlacementError) {
        placement = try LanePlacement(text)
      } catch {
        throw MirrorcastError(
          "'\(text)' is no place for a lane", advice: "Write any, node:N or core:N.")
      }
      if case .core(let core) = placement, placements.contains(placement) {
        throw MirrorcastError(
          "core \(core) is named for two lanes",
          advice: "Two lanes on one core are slower than one: name each core once.")
      }
      placements.append(placement)
    }
    self.placements = placements
    idle = LaneIdle(spinNanoseconds: UInt64(options.spinMicroseconds) * 1000)
    segmentation =
      options.failsSegmentation ? .failsAtFirstUse : options.segmentation ? .automatic : .off
    coalescing = options.coalescing ? .automatic : .off
    pages = options.hugePages ? .automatic : .off
  }

  var laneCount: Int { max(1, placements.count) }

  /// A place for each lane.
  func placements(near interface: String) -> [LanePlacement] {
    placements.isEmpty ? [.near(interface: interface)] : placements
  }

  /// The first of several lanes has the name that a single one has.
  static func name(ofLane index: Int) -> String {
    index == 0 ? "mirror-lane" : "mirror-lane-\(index)"
  }
}

extension MirrorcastError {
  /// A placement that this machine doesn't have.
  init(_ error: PlacementError) {
    switch error {
    case .noSuchCore(let core):
      self.init(
        "a lane can't have core \(core)",
        advice: "This process may not run there: see `lscpu -e` and `taskset -p`, or say any.")
    case .noSuchNode(let node, let count):
      self.init(
        "a lane can't have NUMA node \(node): this machine has \(count)",
        advice: "See `numactl -H`, or say any.")
    case .noCoreOfNode(let node):
      self.init(
        "a lane can't have a core of NUMA node \(node)",
        advice: "This process may not run on any of them: see `taskset -p`, or say any.")
    case .notAPlacement, .system: self.init("\(error)")
    }
  }
}
