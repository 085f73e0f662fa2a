// Watching a kept mirror that another process has open: how it stands, and until when it is waited
// for.

import Mirrorcast

/// Who waits for legs of a mirror that is open elsewhere.
struct OpenMirrorWatch {
  private static let lookMilliseconds = 250

  private let steersman: MirrorOperator
  private let isQuiet: Bool

  init(_ steersman: MirrorOperator, isQuiet: Bool) {
    self.steersman = steersman
    self.isQuiet = isQuiet
  }

  /// Waits until these legs are in sync, or one of them is here no more. Returns how the mirror
  /// stands then.
  func waitInSync(_ urls: [LogicalUnitURL], of open: OpenMirror) async throws -> OpenMirror {
    try await wait(open) { mirror in
      let legs = urls.map { mirror.leg($0) }
      return legs.allSatisfy { $0?.state == .inSync } || legs.contains { $0?.isHere != true }
    }
  }

  /// Has absent legs tried at once; waits for those that are here, and so many seconds for others.
  func attachAll(
    _ absent: [LogicalUnitURL], of open: OpenMirror, wait limit: Double
  ) async throws -> OpenMirror {
    for url in absent {
      do throws(MirrorcastError) {
        try await steersman.order(.attach(url), of: open)
      } catch {
        if !isQuiet { Console.shared.say("\(error.what)") }
      }
    }
    let start = ContinuousClock.now
    return try await wait(open) { mirror in
      let lacking = mirror.legs.filter { $0.state != .inSync }
      let isLate = seconds(start.duration(to: .now)) >= limit
      return lacking.isEmpty
        || !lacking.contains(where: \.isHere)
          && (isLate || lacking.allSatisfy { $0.isGivenUp || $0.isDetached })
    }
  }

  private func wait(
    _ open: OpenMirror, until isOver: (OpenMirror) -> Bool
  ) async throws -> OpenMirror {
    var mirror = try await steersman.look(at: open)
    var said = ""
    defer { Console.shared.showBar("") }
    while !isOver(mirror) {
      if !isQuiet { draw(mirror, after: &said) }
      try await Task.sleep(for: .milliseconds(Self.lookMilliseconds))
      mirror = try await steersman.look(at: mirror)
    }
    return mirror
  }

  /// Where nobody sees a bar, a line whenever something else is waited for.
  private func draw(_ mirror: OpenMirror, after said: inout String) {
    let lacking = mirror.legs.filter { $0.state != .inSync }
    let here = lacking.filter(\.isHere)
    let names = (here.isEmpty ? lacking : here).map(\.label).joined(separator: ", ")
    let words = here.isEmpty ? "waiting for \(names)" : "comparing \(names)"
    let left = here.reduce(0) { $0 + ($1.remainingRegions ?? 0) }
    if Console.shared.isTerminal {
      Console.shared.showBar(here.isEmpty ? words : "\(words): \(left) regions left")
    } else if words != said {
      Console.shared.say(words)
    }
    said = words
  }
}

extension OpenMirror {
  /// A line, and one for each leg.
  var text: String {
    let count = "\(legs.count) legs, \(requiredCount) needed"
    let phase = isClosing ? ", ending" : isSuspended ? ", WRITES WAIT" : ""
    let rows = legs.map { leg in
      [
        "  " + leg.label, leg.state.rawValue, leg.progress,
        leg.servedBy.isEmpty ? "-" : leg.servedBy, leg.reason,
      ]
    }
    return "'\(name)' is open, generation \(generation), \(count)\(phase)\n"
      + textTable([["  leg", "state", "left", "by", "why"]] + rows, rightAligned: [2])
  }

  var json: JSONValue {
    .object([
      ("mirror", .string(name)), ("open", .bool(true)), ("generation", .integer(generation)),
      ("required", .integer(UInt64(requiredCount))), ("closing", .bool(isClosing)),
      ("suspended", .bool(isSuspended)), ("inSync", .bool(isWhole)),
      ("through", .string("\(door)")), ("legs", .array(legs.map(\.json))),
    ])
  }

  /// The same for who has asked through different legs.
  var key: String { ([name] + legs.map(\.label)).joined(separator: "\n") }
}

extension OpenMirror.Leg {
  fileprivate var progress: String {
    guard let left = remainingRegions, state != .inSync else { return "-" }
    return totalRegions.map { "\(left)/\($0)" } ?? "\(left)"
  }

  fileprivate var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("url", .string(label)), ("state", .string(state.rawValue)), ("reason", .string(reason)),
      ("generation", .integer(generation)), ("here", .bool(isHere)),
      ("detached", .bool(isDetached)), ("givenUp", .bool(isGivenUp)),
      ("copiedBytes", .integer(copiedBytes)), ("servedBy", .string(servedBy)),
    ]
    if let remainingRegions { members.append(("remaining", .integer(UInt64(remainingRegions)))) }
    if let totalRegions { members.append(("total", .integer(UInt64(totalRegions)))) }
    return .object(members)
  }
}
