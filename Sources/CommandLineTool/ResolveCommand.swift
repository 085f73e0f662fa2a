import ArgumentParser
import Glibc
import Mirrorcast

/// `mirrorcast resolve`: people decide which leg is right.
struct ResolveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resolve",
    abstract: "Choose the leg that is right, after legs went on without each other.",
    discussion: """
      For a kept mirror that is not opened: its legs fell into parts that each went on alone (a \
      split brain), or those that had everything are gone for good. The leg that is kept is the \
      source of all others: what they have beyond it is LOST.
        mirrorcast resolve --keep iscsi://10.0.0.1/iqn.2026-01.org.example:a/0 \\
          --name disk --group 239.1.2.3 --to … --to …

      Says what would be discarded and asks; with --yes it doesn't. Ends when the legs that are \
      here are in sync; exit status 1 when any leg isn't.
      """)

  @Option(
    help: ArgumentHelp("The leg that is right; one of those by --to.", valueName: "url"),
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var keep: LogicalUnitURL

  @OptionGroup
  var arguments: KeptCommandArguments

  @Flag(help: "Don't ask.")
  var yes = false

  func validate() throws {
    guard arguments.mirror.legs.contains(keep) else {
      throw usageError("\(keep) is no leg by --to", advice: "Name all legs by --to, it, too.")
    }
  }

  func run() async throws {
    var options = try arguments.options()
    let blank = await say(options)
    try confirm()
    options.keeping.kept = keep
    options.keeping.added = blank
    let legs = try await KeptRun.perform(
      options, logger: arguments.logger, isQuiet: arguments.quiet, wait: 0)
    try arguments.end(legs.map(LegEnd.init))
  }

  /// Says what there is, and what will be discarded. Returns the legs that belong to no mirror.
  private func say(_ options: MirrorOptions) async -> Set<LogicalUnitURL> {
    let console = Console.shared
    var blank: Set<LogicalUnitURL> = []
    for url in arguments.mirror.legs {
      do {
        let leg = try await LegSelfDescription.read(
          url, identity: options.identity, logger: arguments.logger)
        if leg.record == nil { blank.insert(url) }
        let fate = url == keep ? "KEPT" : leg.record == nil ? "overwritten" : "discarded"
        console.say("\(fate): \(leg.line)")
      } catch {
        console.say("not reached: \(url): \(error)")
      }
    }
    return blank
  }

  private func confirm() throws {
    guard !yes else { return }
    guard isatty(STDIN_FILENO) == 1 else {
      throw MirrorcastError(
        "nobody can be asked whether the other legs' bytes may go",
        advice: "Look at what was said above, and give --yes.")
    }
    Console.shared.say(
      "What the other legs have beyond \(keep) is lost then. Write 'yes' to go on:")
    guard readLine() == "yes" else {
      throw MirrorcastError("nothing was changed", advice: "Write yes to go on, or give --yes.")
    }
  }
}
