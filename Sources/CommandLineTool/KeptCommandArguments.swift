// What the commands that open a kept mirror, or find it open, have in common: their options, and
// how they end.
import ArgumentParser
import Logging
import Mirrorcast

/// A kept mirror that a command is about, and how the command speaks.
struct KeptCommandArguments: ParsableArguments {
  @OptionGroup(title: "Mirror")
  var mirror: MirrorArguments

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @Flag(help: "Say nothing but errors.")
  var quiet = false

  func validate() throws { try mirror.kept.needName() }

  var name: String { mirror.kept.name ?? "" }
  var logger: Logger { mirror.log.logger }

  func options() throws -> MirrorOptions { try mirror.options(isQuiet: quiet) }

  func operate() throws -> MirrorOperator {
    MirrorOperator(identity: try mirror.login.identity(), logger: logger)
  }

  /// The mirror where another process has it open.
  func findOpen(_ steersman: MirrorOperator) async -> OpenMirror? {
    await steersman.find(named: name, throughAnyOf: mirror.legs)
  }

  /// Says how the legs stand; exit status 1 when any is not in sync.
  func end(_ legs: [LegEnd]) throws {
    guard KeptRun.report(legs, name: name, json: json, isQuiet: quiet) else { throw ExitCode(1) }
  }
}
