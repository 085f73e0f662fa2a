// `mirrorcast verify --name`: the legs of a kept mirror, by digests that the targets make; and for
// disks that are compared by themselves, whether they may be.

import ArgumentParser
import Logging
import Mirrorcast

/// What `verify` needs beside its disks, where they are a kept mirror's.
struct KeptVerifyArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      The disks are legs of the mirror that is kept under this name: they are compared by \
      checksums made at the targets. (default: not kept)
      """, valueName: "name"))
  var name: String?

  @Option(
    help: ArgumentHelp(
      "The multicast group, 239.x.y.z[:PORT] or [ff15::1]:PORT; with --name.",
      valueName: "address"),
    transform: parsing(GroupAddress.init(parsing:)))
  var group: GroupAddress?

  @Option(
    help: ArgumentHelp(
      "The interface to multicast on. (default: the one that reaches the first leg)",
      valueName: "name"))
  var interface: String?

  @Flag(
    help: """
      Make legs that differ equal: to what most of them have, or, where as many have something \
      else, to the first in sync.
      """)
  var repair = false

  @Option(
    help: ArgumentHelp(
      "The leg that is right where legs differ; with --repair.", valueName: "url"),
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var source: LogicalUnitURL?

  func validate() throws {
    if name == nil, group != nil || interface != nil || repair || source != nil {
      throw usageError(
        "--group, --interface, --repair and --source are for kept mirrors",
        advice: "Give the --name that it is kept under, or leave them out.")
    }
    if name != nil, group == nil {
      throw usageError("a kept mirror has a group", advice: "Give --group 239.x.y.z.")
    }
    if source != nil, !repair {
      throw usageError("--source is for a repair", advice: "Give --repair, too.")
    }
    try validateInterface(interface)
  }

  var repairing: KeptRepair {
    guard repair else { return .none }
    return source.map { .from($0) } ?? .fromMost
  }
}

/// A verification of a kept mirror under a command.
enum KeptVerify {
  static func perform(
    _ options: MirrorOptions, repairing: KeptRepair, logger: Logger, isQuiet: Bool
  ) async throws -> KeptVerification {
    let mirror = try await Mirror.establish(options, logger: logger)
    do {
      // What is known to be unequal is no finding.
      await KeptRun.waitInSync(mirror, wait: 0, isQuiet: isQuiet)
      let progress = Progress(verb: "comparing", total: mirror.byteCount, isQuiet: isQuiet)
      let verification = try await progress.during {
        try await mirror.verify(repairing: repairing) { progress.reach($0.doneBytes) }
      }
      _ = await mirror.terminate()
      return verification
    } catch {
      _ = await mirror.terminate()
      throw error
    }
  }

  static func report(_ verification: KeptVerification, name: String, json: Bool, isQuiet: Bool) {
    if json {
      Console.shared.result(verification.json(name: name).description)
    } else if !isQuiet {
      Console.shared.result("\(verification)")
    }
    guard !verification.isEqual else { return }
    let isDifferent = verification.differingRegions > verification.repairedRegions
    Console.shared.complain(
      "'\(name)': \(verification.verdict)",
      advice: isDifferent
        ? "Decide which leg is right, then: mirrorcast verify --repair --source URL."
        : "Look at the legs' states and logs, bring them in sync by: mirrorcast resync.")
  }

  /// Throws where disks are a kept mirror's and can't be compared by themselves.
  static func check(
    _ legs: [LogicalUnitURL], identity: InitiatorIdentity, logger: Logger
  ) async throws {
    for leg in legs {
      switch await LegSelfDescription.occupation(of: leg, identity: identity, logger: logger) {
      case .free: break
      case .recorded(let record):
        guard !record.isClosed || record.state != .inSync else { continue }
        throw MirrorcastError(
          "\(leg) is a leg of the kept mirror '\(record.mirrorName)', and may lack something",
          advice: "Verify the mirror: mirrorcast verify --name '\(record.mirrorName)'"
            + " --group 239.x.y.z, with all of its legs by --to.")
      case .open:
        throw MirrorcastError(
          "\(leg) is a leg of a kept mirror that an initiator has open",
          advice: "What is being written would count as different. End that initiator first,"
            + " then: mirrorcast verify --name NAME --group 239.x.y.z, with all legs by --to.")
      }
    }
  }
}

extension KeptVerification {
  func json(name: String) -> JSONValue {
    func range(_ bytes: Range<UInt64>) -> [(String, JSONValue)] {
      [("offset", .integer(bytes.lowerBound)), ("length", .integer(UInt64(bytes.count)))]
    }
    var members: [(String, JSONValue)] = [
      ("mirror", .string(name)), ("identical", .bool(isEqual)),
      ("whole", .bool(isWhole)), ("bytes", .integer(UInt64(bytes.count))),
      ("differingPieces", .integer(UInt64(differingPieces))),
      ("differingRegions", .integer(UInt64(differingRegions))),
      ("repairedRegions", .integer(UInt64(repairedRegions))),
      ("unreadableRanges", .integer(UInt64(unreadableCount))),
    ]
    if let endReason { members.append(("endReason", .string(endReason))) }
    members += [
      (
        "differences",
        .array(
          differences.map { difference in
            let groups = difference.groups.map { group in
              JSONValue.array(group.map { .string("\($0)") })
            }
            return .object(
              range(difference.bytes) + [
                ("odd", .array(difference.odd.map { .string("\($0)") })),
                ("groups", .array(groups)), ("repaired", .bool(difference.isRepaired)),
              ])
          })
      ),
      (
        "unreadable",
        .array(
          unreadable.map {
            .object(
              range($0.bytes) + [("url", .string("\($0.url)")), ("reason", .string($0.reason))])
          })
      ),
      (
        "legs",
        .array(
          legs.map {
            .object([
              ("url", .string("\($0.url)")), ("comparedBytes", .integer($0.comparedBytes)),
            ])
          })
      ),
    ]
    return .object(members)
  }
}
