/// A drop-tail queue in front of something that carries so many bytes a second.
struct VirtualQueue {
  var rate: Double
  var capacity: Double
  private var backlog = 0.0
  private var updatedAt: UInt64 = 0
  private(set) var accepted = 0
  private(set) var dropped = 0

  init(rate: Double, capacity: Int) {
    self.rate = rate
    self.capacity = Double(capacity)
  }

  /// When the datagram leaves it; nil when it was dropped.
  mutating func enter(bytes: Int, at time: UInt64) -> UInt64? {
    if time > updatedAt {
      backlog = max(0, backlog - rate * Double(time - updatedAt) / 1e9)
      updatedAt = time
    }
    guard backlog + Double(bytes) <= capacity else {
      dropped += bytes
      return nil
    }
    backlog += Double(bytes)
    accepted += bytes
    return max(time, updatedAt) + UInt64(backlog / rate * 1e9)
  }
}

/// The way to one leg behind the shared part of the path.
struct VirtualBranch {
  var loss = 0.0
  /// Whole trains are lost by that chance, too.
  var trainLoss = 0.0
  var branch: VirtualQueue?
  /// The leg's own socket: what it drops, it tells.
  var socket: VirtualQueue?
  var storageNanoseconds: UInt64 = 200_000
}

/// Local link, shared bottleneck, branches: bytes and times only.
struct VirtualPath {
  static let overhead = 72
  var localRate = 1.0e9
  var localBuffer = 256 << 10
  var bottleneck: VirtualQueue
  /// The bottleneck's rate from a time on.
  var changes: [(at: UInt64, rate: Double)] = []
  var legs: [VirtualBranch]
  var delayNanoseconds: UInt64 = 50_000
  private(set) var localFreeAt: UInt64 = 0
  private var lostTrain: [Bool]

  init(bottleneck: VirtualQueue, legs: [VirtualBranch]) {
    self.bottleneck = bottleneck
    self.legs = legs
    lostTrain = legs.map { _ in false }
  }

  /// When the socket takes a datagram again.
  func writable(at now: UInt64) -> UInt64 {
    let hold = UInt64(Double(localBuffer) / localRate * 1e9)
    return max(now, localFreeAt > hold ? localFreeAt - hold : 0)
  }

  mutating func beginTrain(_ random: inout SeededRandom) {
    for leg in legs.indices { lostTrain[leg] = random.chance(legs[leg].trainLoss) }
  }

  /// Through the local link and the shared queue.
  mutating func enterShared(bytes: Int, now: UInt64) -> UInt64? {
    localFreeAt = max(localFreeAt, now) + UInt64(Double(bytes) / localRate * 1e9)
    while let change = changes.first, change.at <= localFreeAt {
      bottleneck.rate = change.rate
      changes.removeFirst()
    }
    return bottleneck.enter(bytes: bytes, at: localFreeAt)
  }

  /// From the shared queue to a leg; nil when lost.
  mutating func enterBranch(
    _ leg: Int, bytes: Int, at time: UInt64, _ random: inout SeededRandom
  ) -> (time: UInt64, isSocketDrop: Bool)? {
    guard !lostTrain[leg], !random.chance(legs[leg].loss) else { return nil }
    var time = time
    if legs[leg].branch != nil {
      guard let left = legs[leg].branch?.enter(bytes: bytes, at: time) else { return nil }
      time = left
    }
    if legs[leg].socket != nil {
      guard let left = legs[leg].socket?.enter(bytes: bytes, at: time) else {
        return (time, true)
      }
      time = left
    }
    return (time + delayNanoseconds, false)
  }
}
