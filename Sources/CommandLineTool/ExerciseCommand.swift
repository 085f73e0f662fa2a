import ArgumentParser
import Glibc
import Mirrorcast

/// `mirrorcast exercise`: whether a kept mirror loses anything, whatever happens to its legs.
struct ExerciseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exercise",
    abstract: "Write, read back and judge, while legs come and go. OVERWRITES the disks.",
    discussion: """
      Writes of many lengths go to random places, and each sector says where it belongs and which \
      write it is of. Legs that are in sync are read meanwhile, and wholly at the end: each sector \
      has to be of the last write that was acknowledged there, or of a later one. End a leg's \
      target, cut its network, start it again, as you like:
        mirrorcast exercise --name disk --seconds 60 --state /tmp/exercise.state \\
          --group 239.1.2.3 --to … --to … --to …

      With --state an exercise that was killed is gone on with by the next one, which first \
      verifies what the killed one had acknowledged. Exit status 0 only when nothing was lost and \
      all legs that are in sync are equal.
      """)

  @OptionGroup(title: "Mirror")
  var arguments: MirrorArguments

  @Option(help: ArgumentHelp("How long to write; 0 verifies alone.", valueName: "seconds"))
  var seconds: Double = 10

  @Option(
    help: ArgumentHelp(
      "How much of the disks to use, from their beginning, 1G at most. (default: all of that)",
      valueName: "size"),
    transform: ByteSize.init(parsing:))
  var size: ByteSize?

  @Option(
    help: ArgumentHelp(
      "The file in which acknowledged writes are stored before they count.", valueName: "file"))
  var state: String?

  @Option(
    help: ArgumentHelp(
      """
      Send this part of the writes with FUA, 0.1 is 10 %, and store none but those in the state \
      file: they have to be there even when all legs lose their power at once.
      """, valueName: "part"))
  var fua = 0.0

  @Option(name: .customLong("exercise-seed"), help: "The choice of places and lengths.")
  var exerciseSeed: UInt64?

  @Option(
    help: ArgumentHelp(
      """
      The part of the disk that is this exercise's, where several run at once on a --shared \
      mirror: 1/2 and 2/2. Some places are everybody's.
      """, valueName: "I/N"),
    transform: parsing(ExerciseShare.init(parsing:)))
  var share: ExerciseShare?

  @Flag(help: "Only read at the end, not while it writes.")
  var quietReads = false

  @Flag(
    help: """
      Also compare the legs by checksums, again and again while it writes; any difference is an \
      error.
      """)
  var verify = false

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @Flag(help: "Say nothing but errors and the result.")
  var quiet = false

  private static let byteCountMax: UInt64 = 1 << 30
  private static let readersCount = 2
  private static let verifyTriesMax = 5
  /// Numbers that a killed run may have given out without storing them.
  private static let gap: UInt64 = 1 << 32

  func validate() throws {
    try arguments.kept.needName()
    guard seconds >= 0, seconds <= 7 * 86400 else {
      throw usageError("--seconds \(seconds) is no time", advice: "Give 0 to 604800 seconds.")
    }
    guard (0...1).contains(fua) else {
      throw usageError("--fua \(fua) is no part of the writes", advice: "Give 0 to 1.")
    }
    if let size, !(65536...Self.byteCountMax).contains(size.byteCount) {
      throw usageError("--size \(size) is not possible", advice: "Give 64K to 1G.")
    }
  }

  func run() async throws {
    let options = try arguments.options(isQuiet: quiet)
    // Before anything is opened: it may be none.
    let entries = try state.map { (path) throws(MirrorcastError) in
      try ExerciseRecord(path).entries
    }
    let mirror = try await Mirror.establish(options, logger: arguments.log.logger)
    if !quiet { Console.shared.note(mirror.notices) }
    do {
      let result = try await exercise(mirror, entries ?? [])
      // Whoever led a shared mirror may have left since.
      await KeptRun.waitInSync(mirror, wait: 0, isQuiet: quiet)
      let legs = mirror.keptLegs
      try report(result, legs, await mirror.terminate())
    } catch {
      _ = await mirror.terminate()
      throw error
    }
  }

  /// What came of it.
  private struct Result {
    var writes = ExerciseWriter.Outcome()
    var reads: ExerciseReads.Outcome
    var checks = ExerciseVerify.Outcome()
    var words: String {
      guard !hasLost else { return "LOST: see what was said above" }
      return reads.isWhole ? "nothing was lost" : "not verified: no leg could be read to its end"
    }
    var checkWords: String {
      guard checks.whole + checks.partial > 0 else { return "" }
      return "\n\(checks.whole) verifications while it wrote, \(checks.partial) cut short, "
        + "\(Quantity.bytes(checks.bytes)): \(checks.differingRegions) regions that differ"
    }
    var hasLost: Bool { reads.faultCount > 0 || reads.differing > 0 || checks.differingRegions > 0 }
    var isVerified: Bool { !hasLost && reads.isWhole }
  }

  private func exercise(
    _ mirror: Mirror, _ entries: [ExerciseRecord.Entry]
  ) async throws -> Result {
    let byteCount = min(size?.byteCount ?? Self.byteCountMax, mirror.byteCount)
    let sectorCount = Int(byteCount) / mirror.blockSize
    var acknowledged = [UInt64](repeating: 0, count: sectorCount)
    var last: UInt64 = 0
    for entry in entries {
      guard entry.sectors.upperBound <= sectorCount else {
        throw MirrorcastError(
          "\(state ?? "") is of a larger disk", advice: "Give the same --size as before.")
      }
      for sector in entry.sectors { acknowledged[sector] = max(acknowledged[sector], entry.write) }
      last = max(last, entry.write)
    }
    // Higher than any of an earlier run, known or not.
    let firstWrite = max(last + Self.gap, UInt64(max(time(nil), 0)) << 24)
    let model = ExerciseModel(
      sectorSize: mirror.blockSize, acknowledged: acknowledged, firstWrite: firstWrite,
      share: share ?? .whole)
    let reads = ExerciseReads(model, through: mirror)
    if last > 0 {
      try await readAll(reads, mirror, "verifying", byteCount)
    }
    var writes = ExerciseWriter.Outcome()
    let checks = ExerciseVerify(mirror)
    if seconds > 0 {
      async let isVerified: Void = verify ? checks.perform() : ()
      do {
        writes = try await write(model, reads, mirror, firstWrite)
      } catch {
        checks.end()
        throw error
      }
      checks.end()
      await isVerified
      try await readAll(reads, mirror, "verifying", byteCount)
    }
    return Result(writes: writes, reads: reads.result, checks: checks.result)
  }

  private func readAll(
    _ reads: ExerciseReads, _ mirror: Mirror, _ verb: String, _ byteCount: UInt64
  ) async throws {
    // The initiator that leads a shared mirror may leave it in the midst.
    var isWhole = false
    for _ in 0..<Self.verifyTriesMax where !isWhole {
      // Legs that had to be made equal are verified, too.
      await KeptRun.waitInSync(mirror, wait: 0, isQuiet: quiet)
      let legCount = UInt64(try await legsInSync(reads))
      let progress = Progress(verb: verb, total: byteCount * legCount, isQuiet: quiet)
      await progress.during { await reads.readAll(progress) }
      isWhole = reads.result.isWhole || !arguments.kept.shared
    }
  }

  /// How many there are, once there is any.
  private func legsInSync(_ reads: ExerciseReads) async throws -> Int {
    let start = ContinuousClock.now
    while reads.inSync.isEmpty {
      guard arguments.kept.shared,
        start.duration(to: .now) < .seconds(arguments.kept.patience)
      else { throw MirrorcastError("no leg is in sync: nothing can be verified") }
      try await Task.sleep(for: .milliseconds(100))
    }
    return reads.inSync.count
  }

  private func write(
    _ model: ExerciseModel, _ reads: ExerciseReads, _ mirror: Mirror, _ firstWrite: UInt64
  ) async throws -> ExerciseWriter.Outcome {
    let seed = exerciseSeed ?? UInt64.random(in: 0...UInt64.max)
    let writer = ExerciseWriter(
      ExerciseWriter.Plan(
        seconds: seconds, depth: max(1, min(arguments.depth, mirror.depthMax)),
        lengthMax: min(mirror.writeLengthMax, 256 << 10) / mirror.blockSize * mirror.blockSize,
        seed: seed, firstWrite: firstWrite, forcedPart: fua),
      model, through: mirror)
    let readers = (0..<(quietReads ? 0 : Self.readersCount)).map { index in
      Task { await reads.roam(seed: seed &+ UInt64(index) &+ 1) }
    }
    defer { for reader in readers { reader.cancel() } }
    let path = state
    return try await onOwnThread {
      // Opened again on this thread: the file is appended to by nobody else.
      let record = try path.map { (path) throws(MirrorcastError) in try ExerciseRecord(path) }
      // What this run begins has higher numbers than what any before it had, ended or not.
      try record?.append([ExerciseRecord.Entry(sectors: 0..<0, write: firstWrite)])
      return try writer.perform { entries in
        if !entries.isEmpty { try record?.append(entries) }
      }
    }
  }

  // MARK: The result

  private func report(_ result: Result, _ legs: [KeptLeg], _ statuses: [LegStatus]) throws {
    let (writes, reads) = (result.writes, result.reads)
    if json {
      Console.shared.result(
        JSONValue.object([
          ("lost", .bool(result.hasLost)), ("verified", .bool(result.isVerified)),
          ("acknowledged", .integer(writes.acknowledged)),
          ("failed", .integer(writes.failed)), ("bytes", .integer(writes.bytes)),
          (
            "longestPauseMicroseconds", .number(Double(writes.pauseNanosecondsMax) / 1000)
          ),
          ("reads", .integer(reads.reads)), ("readBytes", .integer(reads.bytes)),
          ("readsFailed", .integer(reads.failed)), ("faults", .integer(reads.faultCount)),
          ("differingRanges", .integer(reads.differing)),
          ("verifications", .integer(result.checks.whole)),
          ("verificationsPartial", .integer(result.checks.partial)),
          ("verifiedBytes", .integer(result.checks.bytes)),
          ("differingRegions", .integer(result.checks.differingRegions)),
          ("generation", .integer(legs.map(\.generation).max() ?? 0)),
          ("legs", .array(legs.map { LegEnd($0).json })),
        ]).description)
    } else {
      let pause = Quantity.decimal(Double(writes.pauseNanosecondsMax) / 1e6, places: 1)
      Console.shared.result(
        """
        \(writes.acknowledged) writes acknowledged, \(writes.failed) failed, \
        \(Quantity.bytes(writes.bytes)); longest pause \(pause) ms
        \(reads.reads) reads, \(Quantity.bytes(reads.bytes)): \(reads.faultCount) faults, \
        \(reads.differing) ranges that differ\(result.checkWords)
        \(result.words)
        """)
    }
    if let failure = writes.firstFailure {
      Console.shared.complain("a write failed: \(failure)", advice: nil)
    }
    guard result.isVerified else { throw ExitCode(1) }
  }
}
