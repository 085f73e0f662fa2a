/// The named maxima of the mirror protocol. What is full is back-pressure or a counted drop, never
/// growth.
package enum Limits {
  /// Legs of one mirror; a set of legs is one machine word.
  package static let legsMax = 64
  /// Parts of one mirror, each carried by a lane of its own.
  package static let stripesMax = 16
  /// Writes open at once in one registration.
  package static let openWritesMax = 64
  /// How far the highest write number may run ahead of the lowest one still open.
  package static let writeWindowMax = 1024
  /// Bytes of one mirrored write.
  package static let writeLengthMax = 16 << 20
  /// Bytes of data in one datagram: room for jumbo frames, below what UDP carries.
  package static let blockLengthMax = 9216
  package static let blockLengthMin = 512
  /// Epochs that a leg keeps while writes of the older ones are open.
  package static let epochsMax = 16
  /// LUNs of one target under one vLUN.
  package static let unitsMax = 16
  /// Reports of a write at one leg that name blocks repaired before, until its repairs go over TCP.
  package static let datagramRoundsMax: UInt8 = 8
  /// The same for a lost command: each costs a question on the connection, and until it has come
  /// the data of all legs waits.
  package static let commandRoundsMax: UInt8 = 3
  /// How long a leg's repairs are carried at once when nothing comes at its own address.
  package static let carriedNanoseconds: UInt64 = 1_000_000_000
  /// Blocks that a leg gets none of by the group, though it heard it before, until it is served
  /// over its connection.
  package static let unheardBlocksMax = 4096
  /// A lane that is late by so much was held up itself (stopped, or its machine was).
  package static let heldUpNanoseconds: UInt64 = 500_000_000
  /// How long the first report of a write waits for those of other legs, at most.
  package static let gatherMaxNanoseconds: UInt64 = 2_000_000
  /// A block goes to the group again when one leg in this many lacks it, and two at least.
  package static let groupRepairShare = 8
  /// Times a write is done again because a leg had news: more than a nexus can have waiting.
  package static let repetitionsMax = 16
  /// How long a write waits before it is sent to a leg that failed it again; each time twice that.
  package static let retryPauseNanoseconds: UInt64 = 20_000_000
  package static let retryPauseMaxNanoseconds: UInt64 = 1_000_000_000
  /// Times that it is, at most.
  package static let retriesMax = 16
  /// Holds of ranges that stand or wait.
  package static let holdsMax = 16
  /// Writes that wait for the end of a hold beside the queue; more wait in it, and all behind them.
  package static let parkedMax = 256
  /// Copies that wait for their turn.
  package static let copiesMax = 64
  /// Repairs that wait before those of writes that have ended are dropped.
  package static let repairsMax = openWritesMax * (legsMax + 1)
  /// Times a write starts anew because its caller changed the buffer, before it fails.
  package static let restartsMax = 4
  /// Times that it starts anew since a leg has something else of it, before that leg leaves.
  package static let unprovenRestartsMax = 2

  /// Blocks of the longest write of a registration.
  package static func blocks(of length: Int, blockLength: Int) -> Int {
    (length + blockLength - 1) / blockLength
  }
}
