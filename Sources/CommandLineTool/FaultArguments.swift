import ArgumentParser
import Mirrorcast

/// Faults at the datagram boundary, on purpose: `--drop`, `--duplicate`, `--reorder`, `--seed`.
struct FaultArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Lose this part of the datagrams on purpose, to see recovery work: 0.05 is 5 %.",
      valueName: "part"))
  var drop: Double = 0

  @Option(
    help: ArgumentHelp("Deliver this part of the datagrams twice on purpose.", valueName: "part"))
  var duplicate: Double = 0

  @Option(
    help: ArgumentHelp("Deliver this part of the datagrams late on purpose.", valueName: "part"))
  var reorder: Double = 0

  @Option(help: "Which datagrams the faults meet: the same seed, the same choices. (default: 1)")
  var seed: UInt64?

  func validate() throws {
    for (name, part) in [("drop", drop), ("duplicate", duplicate), ("reorder", reorder)] {
      guard part >= 0, part < 1 else {
        throw usageError(
          "--\(name) \(part) is not a part of the whole",
          advice: "Write a number from 0 up to, not including, 1: 0.05 is 5 %.")
      }
    }
    guard drop + duplicate + reorder <= 1 else {
      throw usageError(
        "--drop, --duplicate and --reorder are more than the whole together",
        advice: "Each datagram meets one fault at most: let them add up to 1 or less.")
    }
    guard seed == nil || drop + duplicate + reorder > 0 else {
      throw usageError(
        "--seed has no meaning without a fault",
        advice: "Add --drop, --duplicate or --reorder, or leave --seed out.")
    }
  }

  var faults: Faults {
    Faults(drop: drop, duplicate: duplicate, reorder: reorder, seed: seed ?? 1)
  }
}
