import ArgumentParser
import Glibc
import Mirrorcast

/// What `mirror` and `bench` need to know of the mirror they establish.
struct MirrorArguments: ParsableArguments {
  @Option(
    name: .customLong("to"),
    help: ArgumentHelp(
      "A leg, iscsi://HOST[:PORT]/IQN/LUN; give one for each target.", valueName: "url"),
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var legs: [LogicalUnitURL]

  @Option(
    help: ArgumentHelp(
      "The multicast group, 239.x.y.z[:PORT] or [ff15::1]:PORT; the port is 5000 unless told.",
      valueName: "address"),
    transform: parsing(GroupAddress.init(parsing:)))
  var group: GroupAddress

  @Option(
    help: ArgumentHelp(
      "The interface to multicast on. (default: the one that reaches the first leg)",
      valueName: "name"))
  var interface: String?

  @Option(
    help: """
      What carries datagrams: UDP, or RDMA (unreliable datagrams, RoCE v2). In an RDMA mirror a \
      target without a device is an error, or served over TCP with 'rdma,tcp', or by UDP with \
      'rdma,udp', for which the group's datagrams leave twice.
      """)
  var transport: Transport = .udp

  @Option(
    help: ArgumentHelp(
      "The virtual LUN that mirrored commands carry. (default: the highest that no leg has)",
      valueName: "number"))
  var vlun: Int?

  @Option(
    help: """
      What is sent again after a loss: each block the way that costs least (adaptive), the whole \
      write to the group, the whole write to the target that lacks something, or the missing \
      blocks alone.
      """)
  var recovery: RecoveryMode = .adaptive

  @Flag(
    name: .customLong("r2t"),
    help: "Send data only when every leg has asked for it, though all grant it unasked.")
  var isSolicited = false

  @Option(
    help: """
      Where legs answer writes: on streams of their own, which small writes are quicker by, or on \
      their iSCSI sessions alone.
      """)
  var answers: AnswerPath = .stream

  @Option(help: "CRC32C over data: on, or off (commands and headers are always digested).")
  var digests: DigestPolicy = .on

  @Option(
    name: .customLong("secure"), defaultAsFlag: MirrorSecurity.aes128GCM, parsing: .next,
    help: """
      Encrypt and sign datagrams by keys that only the legs get, or sign them alone \
      (authenticate). Without it anybody on the segment can write to the legs.
      """)
  var security: MirrorSecurity?

  @Option(
    help: ArgumentHelp(
      """
      Bytes a second that may leave for the legs, repairs and headers included. (default: as \
      fast as legs and path take them)
      """,
      valueName: "size"),
    transform: ByteSize.init(parsing:))
  var rate: ByteSize?

  @Option(
    help: """
      Whose status a write waits for: of all legs, or of none (a stream where no one asks; \
      failures are then seen at the flush).
      """)
  var status: StatusPolicy = .all

  @Option(
    help: ArgumentHelp(
      "How long one write may take until a silent leg counts as failed.", valueName: "seconds"))
  var deadline: Double = 10

  @Option(
    help: ArgumentHelp("The longest mirrored write. (default: 1M)", valueName: "size"),
    transform: ByteSize.init(parsing:))
  var writeSize: ByteSize = ByteSize(1 << 20)

  @Option(
    help: ArgumentHelp("Writes in flight; the legs may grant fewer.", valueName: "number"))
  var depth: Int = 16

  @OptionGroup(title: "Kept mirrors")
  var kept: KeptArguments

  @OptionGroup(title: "Login")
  var login: IdentityArguments

  @OptionGroup(title: "Lanes")
  var laneArguments: LaneArguments

  @OptionGroup(title: "Faults on purpose")
  var faultArguments: FaultArguments

  @OptionGroup
  var log: LogArguments

  /// Buffers are taken at start; this many bytes of them at most.
  private static let bufferBytesMax = 128 << 20
  /// In bytes a second: what is slower takes hours for a disk, what is faster is no link.
  private static let rates: ClosedRange<UInt64> = 64 << 10...1 << 40

  func validate() throws {
    let duplicates = legs.enumerated().filter { legs[..<$0.offset].contains($0.element) }
    if let (_, url) = duplicates.first {
      throw usageError(
        "the leg \(url) is given twice", advice: "A leg is one disk: give each URL once.")
    }
    if let vlun, !(0...16383).contains(vlun) {
      throw usageError("--vlun \(vlun) is no LUN", advice: "LUNs are numbers from 0 to 16383.")
    }
    guard deadline > 0, deadline <= 86400 else {
      throw usageError(
        "--deadline \(deadline) is no time to wait", advice: "Give seconds, above 0, up to 86400.")
    }
    guard (1...1024).contains(depth) else {
      throw usageError("--depth \(depth) is not possible", advice: "Give 1 to 1024 writes.")
    }
    let length = writeSize.byteCount
    guard length >= 512, length % 512 == 0, length <= 16 << 20 else {
      throw usageError(
        "--write-size \(writeSize) is not possible",
        advice: "Give whole blocks of the disk, from 512 to 16M.")
    }
    guard Int(length) * depth <= Self.bufferBytesMax else {
      throw usageError(
        "\(depth) writes of \(writeSize) in flight need more than 128 MiB of buffers",
        advice: "Lower --depth or --write-size.")
    }
    if let rate, !Self.rates.contains(rate.byteCount) {
      throw usageError(
        "--rate \(rate) is no pace for a mirror",
        advice: "Give bytes a second, from 64K to 1T, or leave it out.")
    }
    try validateInterface(interface)
  }

  /// - Parameter isQuiet: what happens to a kept mirror is told only where it is trouble.
  func options(isQuiet: Bool) throws -> MirrorOptions {
    var options = MirrorOptions(legs: legs, group: group)
    options.interface = interface
    options.transport = transport
    options.virtualLUN = vlun
    options.recovery = recovery
    options.status = status
    options.isSolicited = isSolicited
    options.answersByStream = answers == .stream
    options.digestsData = digests == .on
    options.security = security
    options.bytesPerSecondMax = rate?.byteCount
    options.deadlineSeconds = deadline
    options.depth = depth
    options.writeLength = Int(writeSize.byteCount)
    options.faults = faultArguments.faults
    options.lanes = laneArguments.lanes
    options.identity = try login.identity()
    kept.apply(to: &options, isQuiet: isQuiet)
    return options
  }
}

/// Refuses the name of an interface that this machine hasn't.
func validateInterface(_ name: String?) throws {
  guard let name else { return }
  // Safe: the string outlives the call that reads it.
  guard unsafe if_nametoindex(name) != 0 else {
    throw usageError(
      "there is no interface '\(name)' on this machine",
      advice: "List them with: mirrorcast doctor (or: ip link).")
  }
}
