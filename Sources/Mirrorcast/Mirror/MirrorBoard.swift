import Datagrams
import Replication
import Synchronization

/// What a lane last told of its counters, for anybody to read.
final class MirrorBoard: Sendable {
  /// One reading.
  struct Reading: Sendable {
    var sender = SenderCounters()
    var legs: [LegCounters] = []
    /// Served over their connections.
    var carried: LegSet = []
    var wireBytes: UInt64 = 0
    /// The pace in bytes a second, nil while there is none; and how it was found.
    var pace: Int?
    var pacing = PacingCounters()
    /// What became of trains at the sender's socket; nil until the lane has told.
    var segmentation: Offload?
  }

  private let reading = Mutex(Reading())

  func publish(
    _ sender: borrowing Sender, legCount: Int, wireBytes: UInt64, segmentation: Offload
  ) {
    reading.withLock { reading in
      reading.sender = sender.counters
      reading.wireBytes = wireBytes
      reading.carried = sender.carriedLegs
      reading.pace = sender.pace
      reading.pacing = sender.pacing
      reading.segmentation = segmentation
      while reading.legs.count < legCount { reading.legs.append(LegCounters()) }
      for leg in 0..<legCount { reading.legs[leg] = sender.counters(ofLeg: leg) }
    }
  }

  var latest: Reading { reading.withLock { $0 } }
}

extension MirrorStatistics.Pacing {
  /// What the lanes tell, nil when none was held back.
  init?(_ readings: [MirrorBoard.Reading]) {
    let cuts = readings.reduce(0) { $0 + $1.pacing.cuts }
    let tests = readings.reduce(0) { $0 + $1.pacing.tests }
    guard cuts > 0 || tests > 0 else { return nil }
    let paces = readings.compactMap(\.pace)
    let isPaced = paces.count == readings.count
    self.init(
      bytesPerSecond: isPaced ? paces.reduce(0) { $0 + UInt64($1) } : nil, cuts: cuts, tests: tests)
  }
}
