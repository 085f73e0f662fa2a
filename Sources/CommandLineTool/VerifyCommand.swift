import ArgumentParser
import Mirrorcast

/// `mirrorcast verify`: whether legs hold the same bytes.
struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Compare iSCSI disks with each other, byte for byte.",
    discussion: """
      Reads all disks at once, by ranges of 1 MiB, and compares each with the first. Nothing is \
      written.
        mirrorcast verify \\
          --to iscsi://10.0.0.1/iqn.2026-01.org.example:a/0 \\
          --to iscsi://10.0.0.2/iqn.2026-01.org.example:b/0

      The first difference is told with its byte, and for each disk how many ranges differ. \
      Exit status 1 when there is any.
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

  @OptionGroup(title: "Login")
  var login: IdentityArguments

  @OptionGroup
  var log: LogArguments

  func validate() throws {
    guard legs.count > 1, Set(legs).count == legs.count else {
      throw usageError(
        "it takes two different disks to compare", advice: "Give --to twice or more, each once.")
    }
  }

  func run() async throws {
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
