import ArgumentParser
import Mirrorcast

/// `mirrorcast bench`: how fast a mirror takes writes.
struct BenchCommand: AsyncParsableCommand {
  /// Where the writes go.
  enum Pattern: String, CaseIterable, ExpressibleByArgument {
    case sequential, random
  }

  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure a mirror: goodput, latency, repairs. OVERWRITES the disks.",
    discussion: """
      Writes pseudo random bytes, prepared before the clock starts, onto the legs' disks and so \
      DESTROYS what is on them. With more --size than the disks have, sequential writes begin \
      again at the first byte. The clock stops when the last write has ended at every leg.

      Large writes, for goodput; then small ones anywhere, for latency:
        mirrorcast bench --size 4G --write-size 1M --depth 16 \\
          --group 239.1.2.3 --to … --to …
        mirrorcast bench --size 64M --write-size 4K --depth 1 \\
          --pattern random --json --group 239.1.2.3 --to … --to …

      You will see goodput, writes a second, latency percentiles from a write's beginning to \
      the last leg's status, datagrams and repairs, wire bytes for a payload byte (headers of \
      IP and UDP included), and what each leg lost. Exit status 1 when any leg failed.
      """)

  @OptionGroup(title: "Mirror")
  var arguments: MirrorArguments

  @Option(
    help: ArgumentHelp("How many bytes to write in all, in whole writes.", valueName: "size"),
    transform: ByteSize.init(parsing:))
  var size: ByteSize

  @Option(help: "Write places one after the other, or anywhere.")
  var pattern: Pattern = .sequential

  @Option(help: "Each write's task attribute; ordered ones are done one by one.")
  var attribute: TaskAttribute = .simple

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @Flag(help: "Say nothing but errors and the result.")
  var quiet = false

  func validate() throws {
    guard size.byteCount >= arguments.writeSize.byteCount else {
      throw usageError(
        "--size \(size) is less than one write of \(arguments.writeSize)",
        advice: "Raise --size, or lower --write-size.")
    }
  }

  func run() async throws {
    let payload = PayloadSlab(
      writeLength: Int(arguments.writeSize.byteCount), byteCountWanted: size.byteCount)
    let result = try await MirrorRun.perform(
      try arguments.options(isQuiet: quiet), legs: arguments.legs, logger: arguments.log.logger,
      isQuiet: quiet
    ) { run in
      let length = run.writeLength(wanted: payload.writeLength)
      guard length == payload.writeLength else {
        throw MirrorcastError(
          "these legs take writes of \(ByteSize(UInt64(length))) at most, in whole blocks of "
            + "\(run.mirror.blockSize)",
          advice: "Run it with --write-size \(ByteSize(UInt64(length))).")
      }
      guard run.mirror.byteCount >= UInt64(length) else {
        throw MirrorcastError(
          "the disks have \(run.mirror.byteCount) bytes, less than one write",
          advice: "Lower --write-size.")
      }
      let progress = Progress(verb: "writing", total: size.byteCount, isQuiet: quiet)
      try await progress.during(repaired: run.repaired) {
        try await onOwnThread { write(payload, through: run, progress) }
      }
    }
    if json {
      Console.shared.result(JSONValue.object(result.members).description)
    } else {
      Console.shared.result("\(result.table)\n\(result.summary)\n\(result.latencyLine)")
    }
    guard result.isGood else { throw ExitCode(1) }
  }

  private func write(_ payload: PayloadSlab, through run: MirrorRun, _ progress: Progress) {
    let length = UInt64(payload.writeLength)
    let plan = BenchLoop.Plan(
      depth: max(1, min(arguments.depth, run.mirror.depthMax)), count: size.byteCount / length,
      places: run.mirror.byteCount / length, isRandom: pattern == .random,
      attribute: attribute)
    BenchLoop(plan, payload: payload, through: run, progress).perform()
  }
}
