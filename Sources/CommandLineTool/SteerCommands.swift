// Orders to a kept mirror that another process has open, given through one of its legs. Each leg's
// record names the others, so nearly always the leg that the order is about is enough to name.
import ArgumentParser
import Mirrorcast

/// The leg that an order is about, and the way to whoever has its mirror open.
struct SteerArguments: ParsableArguments {
  @Argument(
    help: "The leg, iscsi://HOST[:PORT]/IQN/LUN.",
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var url: LogicalUnitURL

  @Option(
    help: ArgumentHelp(
      "Another leg of the mirror, to ask through. (default: the leg itself)", valueName: "url"),
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var through: LogicalUnitURL?

  @Flag(help: "Print the mirror as it stands then as one JSON object on standard output.")
  var json = false

  @Flag(help: "Say nothing but errors.")
  var quiet = false

  @OptionGroup(title: "Login")
  var login: IdentityArguments

  @OptionGroup
  var log: LogArguments

  func operate() throws -> MirrorOperator {
    MirrorOperator(identity: try login.identity(), logger: log.logger)
  }

  /// Finds the mirror, and orders that of it. Returns it as it was before.
  func order(
    _ steering: MirrorSteering, _ steersman: MirrorOperator
  ) async throws -> OpenMirror {
    let sight: MirrorOperator.Sight
    do throws(MirrorcastError) {
      sight = try await steersman.look(through: through ?? url)
    } catch {
      guard through == nil else { throw error }
      let other = "Another leg of the mirror can be asked, by: --through URL."
      let advice = error.advice.map { "\($0) \(other)" } ?? other
      throw MirrorcastError(error.what, advice: advice, details: error.details)
    }
    let mirror = try sight.open(for: steering)
    try await steersman.order(steering, of: mirror)
    return mirror
  }

  func report(_ mirror: OpenMirror) {
    if json {
      Console.shared.result(mirror.json.description)
    } else if !quiet {
      Console.shared.result(mirror.text)
    }
  }
}

/// `mirrorcast detach`: a leg is let go.
struct DetachCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detach",
    abstract: "Let a leg of a kept mirror go that another process has open.",
    discussion: """
      For work at one leg: the others go on, and remember what it misses. Ends when they have \
      stored that it is gone. It is not tried again before it is attached, or the mirror is opened \
      anew:
        mirrorcast detach iscsi://10.0.0.2/iqn.2026-01.org.example:b/0

      Refused where too few legs would be left that have everything.
      """)

  @OptionGroup
  var arguments: SteerArguments

  func run() async throws {
    let steersman = try arguments.operate()
    let mirror = try await arguments.order(.detach(arguments.url), steersman)
    arguments.report(try await steersman.look(at: mirror))
  }
}

/// `mirrorcast attach`: a leg is taken back.
struct AttachCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attach",
    abstract: "Bring a leg back into a kept mirror that another process has open.",
    discussion: """
      The leg is tried at once, whether it was detached, lost or given up, and gets what it missed \
      while writes go on:
        mirrorcast attach iscsi://10.0.0.2/iqn.2026-01.org.example:b/0

      Ends when it is in sync, exit status 1 when it leaves before; with --no-wait when writes \
      reach it.
      """)

  @OptionGroup
  var arguments: SteerArguments

  @Flag(help: "Don't wait until the leg is in sync.")
  var noWait = false

  func run() async throws {
    let steersman = try arguments.operate()
    var mirror = try await arguments.order(.attach(arguments.url), steersman)
    if noWait {
      mirror = try await steersman.look(at: mirror)
    } else {
      let watch = OpenMirrorWatch(steersman, isQuiet: arguments.quiet)
      mirror = try await watch.waitInSync([arguments.url], of: mirror)
    }
    arguments.report(mirror)
    let leg = mirror.leg(arguments.url)
    guard leg?.isHere == true, noWait || leg?.state == .inSync else {
      throw MirrorcastError(
        "\(arguments.url) is \(leg?.state.rawValue ?? "no leg"): \(leg?.reason ?? "forgotten")",
        advice: "See to its target; it is tried again by itself.")
    }
  }
}

/// `mirrorcast forget`: a member that is gone for good is none any more.
struct ForgetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forget",
    abstract: "Take a leg that is gone for good out of a kept mirror that is open elsewhere.",
    discussion: """
      From then on nothing is remembered for it. It must not be here (detach it first), and enough \
      of the others have to be:
        mirrorcast forget iscsi://10.0.0.3/iqn.2026-01.org.example:c/0 \\
          --through iscsi://10.0.0.1/iqn.2026-01.org.example:a/0

      Should it come back after all, it is a stranger to the mirror, and refused: release it, then \
      add it as a new leg.
      """)

  @OptionGroup
  var arguments: SteerArguments

  func run() async throws {
    let steersman = try arguments.operate()
    let mirror = try await arguments.order(.forget(arguments.url), steersman)
    arguments.report(try await steersman.look(at: mirror))
  }
}
