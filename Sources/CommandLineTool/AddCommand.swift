import ArgumentParser
import Mirrorcast

/// `mirrorcast add`: one more leg for a kept mirror.
struct AddCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add",
    abstract: "Add a leg to a kept mirror, and copy to it what the mirror holds.",
    discussion: """
      OVERWRITES the new leg's disk with the mirror's bytes. All of the disk is compared with a \
      leg that is in sync, and copied where it differs:
        mirrorcast add iscsi://10.0.0.3/iqn.2026-01.org.example:c/0 --name disk \\
          --group 239.1.2.3 --to … --to …

      Where another process has the mirror open, that one is asked to take the leg; else the \
      mirror is opened for it. Ends when the new leg is in sync; exit status 1 when any leg isn't. \
      How many legs a write needs stays as it is, until --require says otherwise at an opening.
      """)

  @Argument(
    help: "The new leg, iscsi://HOST[:PORT]/IQN/LUN.",
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var url: LogicalUnitURL

  @OptionGroup
  var arguments: KeptCommandArguments

  func validate() throws {
    guard !arguments.mirror.legs.contains(url) else {
      throw usageError(
        "\(url) is a leg by --to already", advice: "Name the legs that it has by --to alone.")
    }
  }

  func run() async throws {
    let steersman = try arguments.operate()
    if let open = await arguments.findOpen(steersman) {
      try await steersman.order(.add(url), of: open)
      let watch = OpenMirrorWatch(steersman, isQuiet: arguments.quiet)
      return try arguments.end(try await watch.waitInSync([url], of: open).legs.map(LegEnd.init))
    }
    var options = try arguments.options()
    // One that isn't there is told at once: the mirror would wait for it.
    _ = try await LegSelfDescription.read(
      url, identity: options.identity, logger: arguments.logger)
    options.legs.append(url)
    options.keeping.added = [url]
    let legs = try await KeptRun.perform(
      options, logger: arguments.logger, isQuiet: arguments.quiet, wait: 0)
    try arguments.end(legs.map(LegEnd.init))
  }
}

/// `mirrorcast resync`: legs that were away get what they missed.
struct ResyncCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resync",
    abstract: "Wait until all legs of a kept mirror are in sync.",
    discussion: """
      For a leg that was repaired, or after the initiator has died: what may differ is compared, \
      and copied where it does.
        mirrorcast resync --name disk --group 239.1.2.3 --to … --to …

      Where another process has the mirror open, that one is asked to try its absent legs at once; \
      else the mirror is opened for it. Exit status 1 when a leg is not in sync at the end, with \
      its reason. A leg that is gone for good is taken out of a mirror that nobody has open by \
      --forget, with the others by --to.
      """)

  @OptionGroup
  var arguments: KeptCommandArguments

  @Option(
    help: ArgumentHelp("How long to wait for legs that are not here.", valueName: "seconds"))
  var wait: Double = 10

  @Option(
    help: ArgumentHelp(
      "A leg that is to be no member any more, whether it lives or not; may be given again.",
      valueName: "url"),
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var forget: [LogicalUnitURL] = []

  func validate() throws {
    guard wait >= 0, wait <= 86400 else {
      throw usageError("--wait \(wait) is no time", advice: "Give seconds, from 0 to 86400.")
    }
    if let both = forget.first(where: arguments.mirror.legs.contains) {
      throw usageError(
        "\(both) is to be forgotten, and is a leg by --to", advice: "Name it by one of the two.")
    }
  }

  func run() async throws {
    let steersman = try arguments.operate()
    if let open = await arguments.findOpen(steersman) {
      for url in forget { try await steersman.order(.forget(url), of: open) }
      let watch = OpenMirrorWatch(steersman, isQuiet: arguments.quiet)
      let absent = arguments.mirror.legs.filter { open.leg($0)?.isHere == false }
      let end = try await watch.attachAll(absent, of: open, wait: wait)
      return try arguments.end(end.legs.map(LegEnd.init))
    }
    var options = try arguments.options()
    options.legs += forget
    let legs = try await KeptRun.perform(
      options, logger: arguments.logger, isQuiet: arguments.quiet, wait: wait
    ) { mirror in
      for url in forget {
        // It is the operator's word that it is to go, whether it lives or not.
        if mirror.keptLegs.contains(where: { $0.url == url && $0.isHere }) {
          try await mirror.detach(url)
        }
        try await mirror.forget(url)
      }
    }
    try arguments.end(legs.map(LegEnd.init))
  }
}
