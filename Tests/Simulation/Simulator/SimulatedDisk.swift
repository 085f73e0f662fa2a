// A disk with a cache that it may lose. What it holds is stamps, one a sector: what is read now,
// and what is left when the power goes.
//
// Law: a write reaches the cache when its operation ends, or in parts when it fails or is cut off.
// A flush makes what had ended when it began durable, no more. When the power goes, each sector
// that is not durable is kept or not, by chance: torn.

/// How a disk behaves at present.
struct DiskBehaviour: Sendable {
  var nanoseconds: UInt64 = 20_000
  var jitterNanoseconds: UInt64 = 40_000
  /// Of operations; what fails may be done in part.
  var errorRate = 0.0
  /// Every write fails.
  var isFull = false
}

/// One disk under a LUN.
struct SimulatedDisk {
  /// What is done to it.
  enum Action: Sendable { case write(isForced: Bool), flush, read }

  /// One operation that runs.
  struct Operation {
    var action: Action
    var sectors: Range<Int>
    /// Where the bytes of a write are.
    var bytes: UnsafeRawPointer?
    /// Of an ordinary write, which has no bytes.
    var stamp: Stamp?
    /// Of its owner's, to be told at the end.
    var owner: Int
    var tag: Int
    var isRunning = true
    /// Of a flush: what it makes durable.
    var flushed: [(sector: Int32, stamp: Stamp, version: UInt32)] = []
  }

  private(set) var live: [Stamp]
  private(set) var durable: [Stamp]
  /// How often a sector was written, and as of which of these it is durable.
  private var versions: [UInt32]
  private var durableVersions: [UInt32]
  private var isDirty: [Bool]
  private var dirty: [Int32] = []
  private(set) var operations: [Operation] = []
  private var free: [Int] = []
  private(set) var runningCount = 0

  init(sectorCount: Int) {
    live = [Stamp](repeating: 0, count: sectorCount)
    durable = live
    versions = live
    durableVersions = live
    isDirty = [Bool](repeating: false, count: sectorCount)
  }

  // MARK: Operations

  mutating func begin(_ operation: Operation) -> Int {
    var operation = operation
    if case .flush = operation.action {
      operation.flushed = dirty.map { ($0, live[Int($0)], versions[Int($0)]) }
    }
    runningCount += 1
    if let slot = free.popLast() {
      operations[slot] = operation
      return slot
    }
    operations.append(operation)
    return operations.count - 1
  }

  /// Takes an operation out that has ended.
  mutating func take(_ slot: Int) -> Operation {
    let operation = operations[slot]
    precondition(operation.isRunning, "an operation ends once")
    operations[slot].isRunning = false
    operations[slot].flushed = []
    free.append(slot)
    runningCount -= 1
    return operation
  }

  /// Whether a write would overlap one that runs.
  func overlapsRunningWrite(_ sectors: Range<Int>) -> Bool {
    guard runningCount > 0 else { return false }
    return operations.contains {
      guard $0.isRunning, case .write = $0.action else { return false }
      return $0.sectors.overlaps(sectors)
    }
  }

  mutating func put(_ stamp: Stamp, at sector: Int) {
    live[sector] = stamp
    versions[sector] += 1
    guard !isDirty[sector] else { return }
    isDirty[sector] = true
    dirty.append(Int32(sector))
  }

  mutating func makeDurable(_ sectors: Range<Int>) {
    for sector in sectors {
      durable[sector] = live[sector]
      durableVersions[sector] = versions[sector]
    }
  }

  mutating func finishFlush(_ operation: Operation) {
    // A forced write may have come to the medium meanwhile.
    for (sector, stamp, version) in operation.flushed
    where version > durableVersions[Int(sector)] {
      durable[Int(sector)] = stamp
      durableVersions[Int(sector)] = version
    }
    settleDirty()
  }

  private mutating func settleDirty() {
    var left: [Int32] = []
    for sector in dirty {
      if versions[Int(sector)] == durableVersions[Int(sector)] {
        isDirty[Int(sector)] = false
      } else {
        left.append(sector)
      }
    }
    dirty = left
  }

  // MARK: Ends

  /// The power goes: what is not durable is kept or not. Returns the sectors that changed.
  mutating func losePower(keeping rate: Double, _ random: inout SeededRandom) -> [Int] {
    var lost: [Int] = []
    for sector in dirty {
      let at = Int(sector)
      isDirty[at] = false
      if random.chance(rate) {
        durable[at] = live[at]
      } else {
        if live[at] != durable[at] { lost.append(at) }
        live[at] = durable[at]
      }
      durableVersions[at] = versions[at]
    }
    dirty.removeAll(keepingCapacity: true)
    return lost
  }

  /// Nobody waits for what runs any more.
  mutating func forgetOperations() {
    for slot in operations.indices where operations[slot].isRunning { _ = take(slot) }
  }

  /// What runs, to be done in part by who ends it.
  var running: [Int] { operations.indices.filter { operations[$0].isRunning } }
}
