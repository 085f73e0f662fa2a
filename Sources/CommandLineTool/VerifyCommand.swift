import ArgumentParser
import Mirrorcast

/// `mirrorcast verify`: whether legs hold the same bytes.
struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Compare iSCSI disks, or the legs of a kept mirror, with each other.",
    discussion: """
      Reads all disks at once, by ranges of 1 MiB, and compares each with the first. Nothing is \
      written.
        mirrorcast verify \\
          --to iscsi://10.0.0.1/iqn.2026-01.org.example:a/0 \\
          --to iscsi://10.0.0.2/iqn.2026-01.org.example:b/0

      The first difference is told with its byte, and for each disk how many ranges differ. \
      Exit status 1 when there is any.

      With --name the mirror is opened, and its legs that are in sync are compared by checksums \
      (SHA-256) that their targets make: no data is read over the network. What differs is told \
      by ranges of 256 KiB, with the legs that have the same bytes, and is repaired when asked:
        mirrorcast verify --name disk --group 239.1.2.3 --to … --to … --to … --repair

      Exit status 0 only when every leg was compared wholly, and all are equal in the end.
      """)

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp(
      "A disk, iscsi://HOST[:PORT]/IQN/LUN; give two or more.", valueName: "url"),
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var legs: [LogicalUnitURL]

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @Flag(help: "Say nothing but errors.")
  var quiet = false

  @OptionGroup(title: "Kept mirrors")
  var kept: KeptVerifyArguments

  @OptionGroup(title: "Login")
  var login: IdentityArguments

  @OptionGroup
  var log: LogArguments

  func validate() throws {
    guard legs.count > 1, Set(legs).count == legs.count else {
      throw usageError(
        "it takes two different disks to compare", advice: "Give --to twice or more, each once.")
    }
    if let source = kept.source, !legs.contains(source) {
      throw usageError("\(source) is no leg by --to", advice: "Name one of the legs as --source.")
    }
  }

  func run() async throws {
    if let name = kept.name, let group = kept.group { return try await verifyKept(name, group) }
    try await KeptVerify.check(legs, identity: try login.identity(), logger: log.logger)
    var sessions: [LogicalUnitSession] = []
    do {
      for leg in legs {
        sessions.append(
          try await LogicalUnitSession.open(
            leg, identity: try login.identity(), logger: log.logger))
      }
      let comparison = try await compare(sessions)
      await close(sessions)
      report(comparison)
      guard comparison.isIdentical else { throw ExitCode(1) }
    } catch {
      await close(sessions)
      throw error
    }
  }

  private func verifyKept(_ name: String, _ group: GroupAddress) async throws {
    var options = MirrorOptions(legs: legs, group: group)
    options.interface = kept.interface
    options.identity = try login.identity()
    options.name = name
    options.keeping.onEvent = { [quiet] in KeptEvents.tell($0, isQuiet: quiet) }
    let verification = try await KeptVerify.perform(
      options, repairing: kept.repairing, logger: log.logger, isQuiet: quiet)
    KeptVerify.report(verification, name: name, json: json, isQuiet: quiet)
    guard verification.isEqual else { throw ExitCode(1) }
  }

  private func close(_ sessions: [LogicalUnitSession]) async {
    for session in sessions { await session.close() }
  }

  private func compare(_ sessions: [LogicalUnitSession]) async throws -> LegComparison {
    let byteCount = sessions[0].byteCount
    for (leg, session) in zip(legs, sessions) where session.byteCount != byteCount {
      throw MirrorcastError(
        "\(leg) has \(session.byteCount) bytes, \(legs[0]) has \(byteCount)",
        advice: "Disks of different sizes can't be the same; give legs of one mirror.")
    }
    var comparison = LegComparison(legs: legs, byteCount: byteCount)
    let progress = Progress(
      verb: "comparing", total: byteCount * UInt64(legs.count), isQuiet: quiet)
    try await progress.during {
      try await readInOrder(
        0..<byteCount, step: ReadShape.length, inFlight: ReadShape.inFlight
      ) { range in
        try await readFromAll(sessions, range, progress)
      } consume: { range, copies in
        comparison.take(copies, at: range.lowerBound)
      }
    }
    return comparison
  }

  private func report(_ comparison: LegComparison) {
    if let first = comparison.first {
      Console.shared.complain(
        "\(legs[first.leg]) differs from \(legs[0]) at byte \(first.offset), and "
          + "\(comparison.differingRanges) of \(comparison.ranges) ranges of 1 MiB differ",
        advice: "Decide which disk is right, then mirror its bytes onto the others.")
    }
    if json {
      Console.shared.result(comparison.json.description)
    } else if !quiet {
      Console.shared.result(comparison.table)
    }
  }
}

/// The same range of every session, all at once, in the sessions' order.
private func readFromAll(
  _ sessions: [LogicalUnitSession], _ range: Range<UInt64>, _ progress: Progress
) async throws -> [[UInt8]] {
  try await withThrowingTaskGroup(of: (Int, [UInt8]).self) { group in
    for (index, session) in sessions.enumerated() {
      group.addTask {
        let bytes = try await session.read(at: range.lowerBound, count: range.count)
        progress.advance(by: bytes.count)
        return (index, bytes)
      }
    }
    var copies = [[UInt8]](repeating: [], count: sessions.count)
    for try await (index, bytes) in group { copies[index] = bytes }
    return copies
  }
}
