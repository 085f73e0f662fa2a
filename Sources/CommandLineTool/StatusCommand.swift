import ArgumentParser
import Mirrorcast

/// `mirrorcast status`: what legs remember of their mirror.
struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show how kept mirrors stand, by their disks.",
    discussion: """
        mirrorcast status iscsi://10.0.0.1/iqn.2026-01.org.example:a/0 iscsi://…

      Where a process has the mirror open, that one says how all of its legs stand, and what is \
      left to be copied: any one leg is enough to ask. Else each disk says what it remembers: the \
      mirror's name, generation and time, its own state, how many regions may differ, and the \
      members. Nothing is changed. Exit status 1 when a disk could not be asked.
      """)

  @Argument(
    help: "Disks: iscsi://HOST[:PORT]/IQN/LUN.",
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var urls: [LogicalUnitURL]

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @OptionGroup(title: "Login")
  var login: IdentityArguments

  @OptionGroup
  var log: LogArguments

  func run() async throws {
    let steersman = MirrorOperator(identity: try login.identity(), logger: log.logger)
    var sights = MirrorSights()
    for url in urls {
      do throws(MirrorcastError) {
        sights.add(try await steersman.look(through: url), url)
      } catch {
        Console.shared.complain(error.what, advice: error.advice)
        sights.addFailure(url, error.what)
      }
    }
    let result = json ? sights.json.description : sights.text
    if !result.isEmpty { Console.shared.result(result) }
    guard !sights.hasFailures else { throw ExitCode(1) }
  }
}

/// `mirrorcast release`: disks that belong to no mirror any more.
struct ReleaseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "release",
    abstract: "Take the record of a kept mirror away from iSCSI disks.",
    discussion: """
      The disks are ordinary ones again, their bytes as they are, and know nothing of what they \
      may lack. The mirror must not be open; as long as other legs name a disk as a member, they \
      wait for it where it is needed.
        mirrorcast release iscsi://10.0.0.3/iqn.2026-01.org.example:c/0
      """)

  @Argument(
    help: "Disks: iscsi://HOST[:PORT]/IQN/LUN.",
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var urls: [LogicalUnitURL]

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @OptionGroup(title: "Login")
  var login: IdentityArguments

  @OptionGroup
  var log: LogArguments

  func run() async throws {
    let identity = try login.identity()
    var released: [LegSelfDescription] = []
    var failure: MirrorcastError?
    for url in urls {
      do throws(MirrorcastError) {
        released.append(
          try await LegSelfDescription.release(url, identity: identity, logger: log.logger))
      } catch {
        // Those before it are released, and are told.
        failure = error
        break
      }
    }
    if json {
      Console.shared.result(
        JSONValue.object([("legs", .array(released.map(\.releasedJSON)))]).description)
    } else {
      for leg in released {
        let name = leg.record.map { "no member of '\($0.mirrorName)' any more" }
        Console.shared.result("\(leg.url): \(name ?? "belonged to no mirror")")
      }
    }
    for record in released.compactMap(\.record) { warn(record) }
    if let failure { throw failure }
  }

  /// The other members don't hear of it.
  private func warn(_ record: RecordedLeg) {
    let others = record.members.map(\.label).filter { label in
      !urls.contains { "\($0)" == label } && label != "\(record.url)"
    }
    guard !others.isEmpty else { return }
    Console.shared.say(
      "note: \(others.joined(separator: ", ")) still call it a member of '\(record.mirrorName)':"
        + " bring it in anew by mirrorcast add, or take it out by mirrorcast resync --forget"
        + " \(record.url)")
  }
}

extension LegSelfDescription {
  fileprivate var releasedJSON: JSONValue {
    let mirror: [(String, JSONValue)] = record.map { [("mirror", .string($0.mirrorName))] } ?? []
    return .object(
      [("url", .string("\(url)")), ("wasMember", .bool(record != nil))] + mirror)
  }
}

/// What was seen through several disks: each mirror that is open once, and each disk by itself.
private struct MirrorSights {
  private(set) var hasFailures = false
  private var mirrors: [OpenMirror] = []
  private var legs: [JSONValue] = []
  private var lines: [String] = []

  mutating func add(_ sight: MirrorOperator.Sight, _ url: LogicalUnitURL) {
    switch sight {
    case .open(let mirror):
      let leg = mirror.leg(url)
      legs.append(
        .object([
          ("url", .string("\(url)")), ("mirror", .string(mirror.name)), ("open", .bool(true)),
          ("generation", .integer(leg?.generation ?? mirror.generation)),
          ("state", .string(leg?.state.rawValue ?? LegState.absent.rawValue)),
        ]))
      add(mirror)
    case .resting(let leg, let elsewhere):
      legs.append(leg.json)
      lines.append(leg.text)
      if let elsewhere { add(elsewhere) }
    }
  }

  private mutating func add(_ mirror: OpenMirror) {
    guard !mirrors.contains(where: { $0.key == mirror.key }) else { return }
    mirrors.append(mirror)
    lines.append(mirror.text)
  }

  mutating func addFailure(_ url: LogicalUnitURL, _ words: String) {
    hasFailures = true
    legs.append(.object([("url", .string("\(url)")), ("error", .string(words))]))
  }

  var text: String { lines.joined(separator: "\n") }

  var json: JSONValue {
    .object([("legs", .array(legs)), ("mirrors", .array(mirrors.map(\.json)))])
  }
}

extension LegSelfDescription {
  /// One line for people.
  var line: String {
    guard let record else { return "\(url) belongs to no mirror" }
    let marked = "\(markedRegions) of \(regionCount) regions may differ"
    let end = record.isClosed ? "closed" : "not closed"
    return "\(url): '\(record.mirrorName)', generation \(record.generation) of"
      + " \(LegTime.text(record.madeAt)), \(record.state.rawValue), \(end), \(marked)"
  }

  /// The line, and one for each member.
  var text: String {
    guard let record else { return line }
    let members = record.members.map {
      "  \($0.isOwn ? "*" : " ") \($0.label): \($0.state.rawValue)"
        + ($0.isRequired ? ", required" : "")
    }
    let heading = "  members as it remembers them, \(record.requiredCount) needed:"
    return ([line, heading] + members).joined(separator: "\n")
  }

  var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("url", .string("\(url)")), ("markedRegions", .integer(UInt64(markedRegions))),
      ("regions", .integer(UInt64(regionCount))), ("regionBytes", .integer(regionLength)),
      ("intact", .bool(isIntact)),
    ]
    if let record {
      members += [
        ("mirror", .string(record.mirrorName)), ("generation", .integer(record.generation)),
        ("generationID", .string(String(record.generationID, radix: 16))),
        ("madeAt", .integer(record.madeAt)), ("state", .string(record.state.rawValue)),
        ("closed", .bool(record.isClosed)),
        ("required", .integer(UInt64(record.requiredCount))),
        (
          "members",
          .array(
            record.members.map {
              .object([
                ("label", .string($0.label)), ("state", .string($0.state.rawValue)),
                ("required", .bool($0.isRequired)), ("own", .bool($0.isOwn)),
              ])
            })
        ),
      ]
    }
    return .object(members)
  }
}

/// Moments for people; no Foundation for so little.
enum LegTime {
  /// `2026-01-31 12:00:00 UTC`.
  static func text(_ seconds: UInt64) -> String {
    func two(_ value: UInt64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    guard seconds < 1 << 40 else { return "\(seconds) s after 1970" }
    // The proleptic Gregorian calendar in eras of 400 years that begin with March.
    let days = seconds / 86400 + 719_468
    let (era, day) = (days / 146_097, days % 146_097)
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
    let dayOfYear = day - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153
    let dayOfMonth = dayOfYear - (153 * month + 2) / 5 + 1
    let isNextYear: UInt64 = month >= 10 ? 1 : 0
    let calendarMonth = month < 10 ? month + 3 : month - 9
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    return "\(year + era * 400 + isNextYear)-\(two(calendarMonth))-\(two(dayOfMonth))"
      + " \(two(hour)):\(two(minute)):\(two(second)) UTC"
  }
}
