// What the commands about kept mirrors have in common: open, wait until legs are in sync, end; and
// how the legs stand, as a table and as JSON.

import Logging
import Mirrorcast

/// A kept mirror under a command.
enum KeptRun {
  /// Opens the mirror, lets `body` work, waits for the legs, and ends it. Returns the legs as they
  /// stood at the end.
  static func perform(
    _ options: MirrorOptions, logger: Logger, isQuiet: Bool, wait: Double,
    _ body: (Mirror) async throws -> Void = { _ in }
  ) async throws -> [KeptLeg] {
    let mirror = try await Mirror.establish(options, logger: logger)
    if !isQuiet { Console.shared.note(mirror.notices) }
    do {
      try await body(mirror)
    } catch {
      _ = await mirror.terminate()
      throw error
    }
    await waitInSync(mirror, wait: wait, isQuiet: isQuiet)
    let legs = mirror.keptLegs
    for status in await mirror.terminate()
    where !status.isGood && legs.contains(where: { $0.url == status.url && $0.state == .inSync }) {
      throw MirrorcastError(
        "\(status.url), terminating: \(status.text)", advice: "Run it again, and see its log.")
    }
    return legs
  }

  /// Waits until every leg is in sync; for legs that are not here so many seconds.
  static func waitInSync(_ mirror: Mirror, wait: Double, isQuiet: Bool) async {
    let bar = isQuiet ? nil : Task { await draw(mirror) }
    defer {
      bar?.cancel()
      Console.shared.showBar("")
    }
    let start = ContinuousClock.now
    while true {
      await mirror.whenInSync()
      let legs = mirror.keptLegs
      guard legs.contains(where: { $0.state != .inSync }) else { return }
      // Who is here and not in sync by now can't become it.
      let isHopeless = legs.contains { $0.isHere && $0.state != .inSync }
      let isLate = seconds(start.duration(to: .now)) >= wait
      if isHopeless || isLate || !legs.contains(where: \.isAwaited) { return }
      try? await Task.sleep(for: .milliseconds(100))
    }
  }

  private static func draw(_ mirror: Mirror) async {
    let console = Console.shared
    while (try? await Task.sleep(for: .milliseconds(console.isTerminal ? 100 : 2000))) != nil {
      let legs = mirror.keptLegs.filter { $0.isHere && $0.state != .inSync }
      let left = legs.reduce(0) { $0 + ($1.remainingRegions ?? 0) }
      let all = legs.reduce(0) { $0 + ($1.totalRegions ?? 0) }
      guard all > 0 else { continue }
      var meter = ProgressMeter(verb: "comparing", total: UInt64(all))
      meter.observe(UInt64(max(all - left, 0)), atSeconds: 1)
      let copied = Quantity.bytes(legs.reduce(UInt64(0)) { $0 + $1.copiedBytes })
      let words = "comparing \(Int(meter.fraction * 100)) %, \(left) regions left, \(copied) copied"
      if console.isTerminal { console.showBar(words) } else { console.say(words) }
    }
  }

  /// Tells how it ended, and whether all are in sync.
  static func report(_ legs: [LegEnd], name: String, json: Bool, isQuiet: Bool) -> Bool {
    let isGood = legs.allSatisfy { $0.state == .inSync }
    if json {
      Console.shared.result(
        JSONValue.object([
          ("mirror", .string(name)), ("inSync", .bool(isGood)),
          ("generation", .integer(legs.map(\.generation).max() ?? 0)),
          ("legs", .array(legs.map(\.json))),
        ]).description)
    } else if !isQuiet {
      Console.shared.result(table(legs))
    }
    for leg in legs where leg.state != .inSync {
      Console.shared.complain(
        "\(leg.url) is \(leg.state.rawValue): \(leg.reason)",
        advice: leg.advice)
    }
    return isGood
  }

  private static func table(_ legs: [LegEnd]) -> String {
    textTable(
      [["leg", "state", "generation", "why"]]
        + legs.map { [$0.url, $0.state.rawValue, "\($0.generation)", $0.reason] },
      rightAligned: [2])
  }
}

extension KeptLeg {
  /// It may still come.
  fileprivate var isAwaited: Bool { state != .inSync && !isGivenUp && !isDetached }
}

/// How a leg stands at the end of a command.
struct LegEnd {
  var url: String
  var state: LegState
  var reason: String
  var generation: UInt64
  var copiedBytes: UInt64

  init(_ leg: KeptLeg) {
    url = leg.url.description
    state = leg.state
    reason = leg.reason
    generation = leg.generation
    copiedBytes = leg.copiedBytes
  }

  init(_ leg: OpenMirror.Leg) {
    url = leg.label
    state = leg.state
    reason = leg.reason
    generation = leg.generation
    copiedBytes = leg.copiedBytes
  }

  /// What to do where it is not in sync.
  var advice: String {
    guard state == .absent else { return "Look at the targets' logs, then run: mirrorcast resync." }
    return reason.contains("has to be added")
      ? "Bring it in as a new leg by: mirrorcast add \(url), with the others by --to."
      : "See to its target, then bring it up to date by: mirrorcast resync."
  }

  var json: JSONValue {
    .object([
      ("url", .string(url)), ("state", .string(state.rawValue)),
      ("reason", .string(reason)), ("generation", .integer(generation)),
      ("copiedBytes", .integer(copiedBytes)),
    ])
  }
}
