import ArgumentParser
import Mirrorcast

/// `mirrorcast add`: one more leg for a kept mirror.
struct AddCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add",
    abstract: "Add a leg to a kept mirror, and copy to it what the mirror holds.",
    discussion: """
      OVERWRITES the new leg's disk with the mirror's bytes. The mirror must not be open \
      elsewhere. All of the disk is compared with a leg that is in sync, and copied where it \
      differs:
        mirrorcast add iscsi://10.0.0.3/iqn.2026-01.org.example:c/0 --name disk \\
          --group 239.1.2.3 --to … --to …

      Ends when the new leg is in sync; exit status 1 when any leg isn't.
      """)

  @Argument(
    help: "The new leg, iscsi://HOST[:PORT]/IQN/LUN.",
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var url: LogicalUnitURL

  @OptionGroup
  var arguments: MirrorArguments

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @Flag(help: "Say nothing but errors.")
  var quiet = false

  func validate() throws {
    try arguments.kept.needName()
    guard !arguments.legs.contains(url) else {
      throw usageError(
        "\(url) is a leg by --to already", advice: "Name the legs that it has by --to alone.")
    }
  }

  func run() async throws {
    let legs = try await KeptRun.perform(
      try arguments.options(), logger: arguments.log.logger, isQuiet: quiet, wait: 0
    ) { mirror in
      try await mirror.addLeg(url)
    }
    let name = arguments.kept.name ?? ""
    guard KeptRun.report(legs, name: name, json: json, isQuiet: quiet) else { throw ExitCode(1) }
  }
}

/// `mirrorcast resync`: legs that were away get what they missed.
struct ResyncCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resync",
    abstract: "Open a kept mirror and wait until all of its legs are in sync.",
    discussion: """
      For a leg that was repaired, or after the initiator has died: what may differ is compared, \
      and copied where it does.
        mirrorcast resync --name disk --group 239.1.2.3 --to … --to …

      Exit status 1 when a leg is not in sync at the end, with its reason.
      """)

  @OptionGroup
  var arguments: MirrorArguments

  @Option(
    help: ArgumentHelp("How long to wait for legs that are not here.", valueName: "seconds"))
  var wait: Double = 10

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @Flag(help: "Say nothing but errors.")
  var quiet = false

  func validate() throws {
    try arguments.kept.needName()
    guard wait >= 0, wait <= 86400 else {
      throw usageError("--wait \(wait) is no time", advice: "Give seconds, from 0 to 86400.")
    }
  }

  func run() async throws {
    let legs = try await KeptRun.perform(
      try arguments.options(), logger: arguments.log.logger, isQuiet: quiet, wait: wait)
    let name = arguments.kept.name ?? ""
    guard KeptRun.report(legs, name: name, json: json, isQuiet: quiet) else { throw ExitCode(1) }
  }
}
