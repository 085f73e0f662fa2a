// What the tests of kept mirrors have in common: what a mirror tells, and wires that are mended.

import Foundation
import Synchronization
import Testing

@testable import Mirrorcast

/// All that a kept mirror has told.
final class ToldEvents: Sendable {
  private let events = Mutex<[KeptMirrorEvent]>([])

  var all: [KeptMirrorEvent] { events.withLock { $0 } }

  func take(_ event: KeptMirrorEvent) { events.withLock { $0.append(event) } }

  /// Why a leg was called so, the last time.
  func reason(_ url: LogicalUnitURL, _ state: LegState) -> String? {
    for case .leg(url, state, _, let reason) in all.reversed() { return reason }
    return nil
  }
}

extension MirrorScene {
  /// Options of a kept mirror over these legs.
  func keptOptions(
    _ legs: [LogicalUnitURL]? = nil, told: ToldEvents = ToldEvents()
  ) throws -> MirrorOptions {
    var options = try options(legs)
    options.name = "vault"
    // Long: a test that isn't about silence must not meet it on a busy machine.
    options.keeping.silenceSeconds = 30
    options.keeping.onEvent = { told.take($0) }
    return options
  }

  /// A wire to each target, and the legs at their ends.
  func wires() throws -> (wires: [Wire], legs: [LogicalUnitURL]) {
    let wires = try targets.map { try wire(to: $0) }
    let legs = try zip(targets, wires).map { try $0.url(0, through: $1.portal) }
    return (wires, legs)
  }
}

extension Mirrorcast.Mirror {
  /// Waits until a leg has that state, or five minutes.
  func wait(_ url: LogicalUnitURL, is state: LegState) async throws {
    for _ in 0..<6000 {
      if keptLegs.first(where: { $0.url == url })?.state == state { return }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw Failure("\(url) never was \(state.rawValue): \(keptLegs)")
  }
}
