// What a kept mirror's sender has not told yet; the law stands in `SenderKeeping`.

/// Completions that may not be told yet, and why the lowest open number stands still.
struct Withheld: Sendable {
  /// An end of a write that waits to be told.
  struct Ending: Sendable {
    var token: UInt64
    var failures: [LegOutcome]
    /// Legs that have the write and were not confirmed to have left.
    var storing: LegSet
    var isCount: Bool

    var event: SenderEvent {
      isCount
        ? .counted(token: token, failures: failures) : .completed(token: token, failures: failures)
    }

    /// The others know that these legs have left. What nobody has who stays is no better for that.
    mutating func strip(_ legs: LegSet) {
      let left = failures.filter { !legs.contains(LegSet($0.leg)) }
      let stored = storing.subtracting(legs)
      if left.isEmpty, stored.isEmpty {
        for leg in 0..<Limits.legsMax where storing.contains(LegSet(leg)) {
          failures.append(LegOutcome(leg: leg, failure: .lost))
        }
      } else {
        failures = left
      }
      storing = stored
    }
  }

  /// Legs that left, of which not all survivors know yet.
  private(set) var unconfirmed: LegSet = []
  /// Ranges in which the legs may differ.
  var suspects = 0
  /// Writes that are done again.
  var repeats = 0
  private(set) var isStopped = false
  /// In the order in which they are told: not more than submissions may wait, twice.
  private var endings: [Ending] = []

  /// Too few legs are left: nothing is told as GOOD until the owner says so.
  var isSuspended = false

  /// Whether completions wait.
  var isHolding: Bool { (!unconfirmed.isEmpty || isSuspended) && !isStopped }
  /// Whether the lowest open number stands still. Not where too few legs are left: no leg takes a
  /// mark away while any lacks something, and copies, by which enough come back, want numbers.
  var isFrozen: Bool { !unconfirmed.isEmpty || suspects > 0 || repeats > 0 || isStopped }
  var isEmpty: Bool { endings.isEmpty }
  var count: Int { endings.count }

  mutating func leave(_ leg: Int) { unconfirmed.insert(LegSet(leg)) }

  mutating func append(_ ending: Ending) { endings.append(ending) }

  mutating func confirm(_ legs: LegSet) {
    unconfirmed.subtract(legs)
    for index in endings.indices { endings[index].strip(legs) }
  }

  /// - Parameter away: the legs that are not here.
  mutating func stop(away: LegSet) {
    isStopped = true
    for index in endings.indices where endings[index].failures.isEmpty {
      // A leg lacks it, and the others don't know; or too few have it.
      var lacking = unconfirmed.isEmpty ? away : unconfirmed
      if lacking.isEmpty { lacking = endings[index].storing }
      lacking.forEach {
        endings[index].failures.append(LegOutcome(leg: $0, failure: .lost))
      }
    }
  }

  /// What may be told now.
  mutating func release(into events: inout [SenderEvent]) {
    for ending in endings { events.append(ending.event) }
    endings.removeAll()
  }
}
