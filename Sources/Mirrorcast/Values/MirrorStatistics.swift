/// What a mirror has done since it was established.
public struct MirrorStatistics: Sendable {
  /// What one leg has done, and what it cost.
  public struct Leg: Sendable {
    public var url: LogicalUnitURL
    public var status: LegStatus
    /// The mirror's `transport`; `tcp` where its datagrams don't reach the leg; `iscsi` for a
    /// target of another make.
    public var servedBy: String
    /// Blocks that the leg reported as missing.
    public var lostBlocks: UInt64
    /// Blocks that were sent again for it.
    public var repairedBlocks: UInt64
    /// Reports that it has sent.
    public var reports: UInt64
    /// Writes of which it had other bytes than were given, by its proof; they were done again.
    public var unproven: UInt64

    public init(
      url: LogicalUnitURL, status: LegStatus, servedBy: String, lostBlocks: UInt64 = 0,
      repairedBlocks: UInt64 = 0, reports: UInt64 = 0, unproven: UInt64 = 0
    ) {
      self.url = url
      self.status = status
      self.servedBy = servedBy
      self.lostBlocks = lostBlocks
      self.repairedBlocks = repairedBlocks
      self.reports = reports
      self.unproven = unproven
    }
  }

  /// What one lane got of what was asked for it.
  public struct Lane: Sendable, Equatable {
    /// `any`, `node:N` or `core:N`, as it was asked.
    public var placement: String
    /// How many cores it may run on.
    public var coreCount: Int
    /// The NUMA node that it is pinned to; nil when it is not.
    public var node: Int?
    /// What its buffers are made of.
    public var pages: String
    /// Whether datagrams leave in trains: `on`, `off`, or why not.
    public var segmentation: String
  }

  /// How losses that a slower pace saves have held the sender back.
  public struct Pacing: Sendable, Equatable {
    /// The pace that was found, in bytes a second, of all lanes together; nil where at least one
    /// lane is held back no more.
    public var bytesPerSecond: UInt64?
    /// Times that a lane's pace was lowered.
    public var cuts: UInt64
    /// Times that a lane tried a slower one, to tell what a path loses at any pace.
    public var tests: UInt64

    public init(bytesPerSecond: UInt64?, cuts: UInt64, tests: UInt64) {
      self.bytesPerSecond = bytesPerSecond
      self.cuts = cuts
      self.tests = tests
    }
  }

  /// Writes that have ended.
  public var writes: UInt64 = 0
  /// Their data in bytes, counted once however many legs there are.
  public var bytes: UInt64 = 0
  /// Datagrams of first sendings.
  public var dataDatagrams: UInt64 = 0
  /// Datagrams sent again.
  public var repairDatagrams: UInt64 = 0
  /// Of these, to the group.
  public var groupRepairDatagrams: UInt64 = 0
  /// Times that a leg was asked what it lacks, since it had said nothing for long.
  public var questions: UInt64 = 0
  /// Bytes of all datagrams with the headers of what carries them, and of all TCP payload sent.
  public var wireBytes: UInt64 = 0
  /// What carries the datagrams: `udp` or `rdma`.
  public var transport = "udp"
  /// Bytes of data in a full datagram.
  public var blockLength = 0
  /// Nil when nothing but legs, path and the cap that was asked for held the sender back.
  public var pacing: Pacing?
  public var legs: [Leg]
  public var lanes: [Lane] = []

  public init(legs: [Leg] = []) {
    self.legs = legs
  }
}
