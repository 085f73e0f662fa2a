import Datagrams
import Replication
import Synchronization

/// What a lane last told of its counters, for anybody to read.
final class MirrorBoard: Sendable {
  /// One reading.
  struct Reading: Sendable {
    var sender = SenderCounters()
    var legs: [LegCounters] = []
    var wireBytes: UInt64 = 0
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
      reading.segmentation = segmentation
      while reading.legs.count < legCount { reading.legs.append(LegCounters()) }
      for leg in 0..<legCount { reading.legs[leg] = sender.counters(ofLeg: leg) }
    }
  }

  var latest: Reading { reading.withLock { $0 } }
}
