/// A leg's first answer for a write, or for the part of it that its first report covers.
package struct Delivery: Sendable {
  package var leg: Int
  /// Blocks that the answer speaks of, lost ones included.
  package var blocks: Int
  package var lostBlocks: Int
  /// Datagrams dropped at the leg's own socket since its last answer.
  package var socketDrops: Int
  /// When the first and the last of these blocks were sent for the first time.
  package var firstSentAt: UInt64
  package var lastSentAt: UInt64

  package init(
    leg: Int, blocks: Int, lostBlocks: Int, socketDrops: Int = 0, firstSentAt: UInt64,
    lastSentAt: UInt64
  ) {
    self.leg = leg
    self.blocks = blocks
    self.lostBlocks = lostBlocks
    self.socketDrops = socketDrops
    self.firstSentAt = firstSentAt
    self.lastSentAt = lastSentAt
  }
}

/// What the user and the sending lane settle of the pacing.
package struct PacingConfiguration: Sendable {
  /// The user's cap on all datagrams, repairs included, in bytes per second.
  package var rateMax: Int?
  /// The part of what is sent that repairs may take while fresh data waits.
  package var repairShare = 0.5
  /// Bytes of the longest train that one system call sends.
  package var trainByteCount = 64 << 10
  package var legCount: Int

  package init(legCount: Int, rateMax: Int? = nil) {
    self.legCount = legCount
    self.rateMax = rateMax
  }
}

/// What the pacing did, for people and tests.
package struct PacingCounters: Sendable, Equatable {
  /// Times the rate was lowered because legs lost more than their paths do by themselves.
  package var cuts: UInt64 = 0
  /// Times a slower rate was tried to tell congestion from a path's own loss.
  package var tests: UInt64 = 0
  /// Tests that found the loss to be the path's own.
  package var floorsFound: UInt64 = 0
  /// Times the rate was raised to look for more.
  package var raises: UInt64 = 0
  /// Times a raise was taken back because answers came late: a queue was filling.
  package var queuesSeen: UInt64 = 0
  /// Answers of no leg, or that contradict themselves.
  package var invalidDeliveries: UInt64 = 0
  /// Answers about what was sent before the last cut had its effect.
  package var staleDeliveries: UInt64 = 0

  package init() {}
}

extension Sender {
  package var pacing: PacingCounters { flow.pacer.counters }
}

/// The numbers of the law; the head of RateFinder.swift says what they are for.
enum Law {
  /// Blocks of the longest write.
  static let deliveryBlocksMax = Limits.writeLengthMax / Limits.blockLengthMin
  /// The slowest pace that is tried, in bytes per second: what is lost at random may look like
  /// congestion for a while, and a mirror that crawls is worse than one that repeats itself.
  static let rateMin = 8_000_000.0
  /// No path is so fast, and a sum or product of it fits in any number here.
  static let rateMax = 1e15
  static let lossMin = 0.02
  /// Loss of a path that nothing paces yet: so much costs less to repair than to search.
  static let toleratedLoss = 0.4
  static let sigmas = 4.0
  /// Repairs' part of the bucket grows by so much a second, whatever goes.
  static let repairRateMin = 8_000_000.0
  static let dropsMax = 32
  static let floorMax = 0.5
  static let floorBlocksMin = 32
  static let floorBlocksMax = 4096.0
  static let sameLoss = 0.7
  static let surprisingFloor = 0.2
  static let margin = 0.98
  static let drainFactor = 0.9
  static let queueFactor = 0.93
  static let settleCutsMax = 2
  static let deepCut = 0.5
  static let cutsInRowMax = 3
  static let testFactor = 0.6
  static let testStepsMax = 6
  static let surprisesMax = 5
  static let testBlocksMin = 128
  static let lateNanoseconds: UInt64 = 100_000_000
  static let cutMax = 0.7
  static let stepMin = 0.04
  static let nearby = 1.12
  static let stepGrowth = 2.0
  static let stepDeep = 0.25
  static let stepMax = 1.0
  static let phaseMin: UInt64 = 5_000_000
  static let phaseMax: UInt64 = 50_000_000
  static let answerMax: UInt64 = 100_000_000
  static let manyLost = 512
  static let holdNanoseconds: UInt64 = 100_000_000
  static let recheckNanoseconds: UInt64 = 2_000_000_000
  static let gapMax: UInt64 = 500_000
  static let delayTolerance: UInt64 = 300_000
}

/// How much evidence a verdict needs at a rate: on slow paths less is sent, in smaller trains.
struct Scale: Sendable {
  let blocksMin: Int
  /// A train that was lost as a whole, and a little.
  let trainBlocks: Double
  /// Loss that is no reason to pace at all.
  let toleratedLoss: Double

  /// - Parameter rate: bytes per second.
  init(rate: Double, isPaced: Bool) {
    let blocks = rate / 1400
    blocksMin = Int(min(max(blocks * 3e-3, 64), 512))
    toleratedLoss = isPaced ? 0 : Law.toleratedLoss
    trainBlocks = 4 + (isPaced ? min(blocks * 200e-6, 44) : 44)
  }
}
