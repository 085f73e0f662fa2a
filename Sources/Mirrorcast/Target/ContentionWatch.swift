// Memory that others wait for: who has some must get on.
//
// A peer may be slow, and what it has of the daemon's memory is held that long. While there is
// enough for all, that is its own affair. While there isn't, all sessions are looked at every
// `contendedMilliseconds`: one that has owed data at two looks, and all the time between, and has
// moved less than `contendedBytes`, is cut. Without contention nobody looks, and nothing is counted
// but bytes.

import ISCSI
import NIOCore
import Synchronization

/// Whether one session's data moves, one way; a value.
struct HoldingWatch: Sendable {
  private struct Mark {
    let look: UInt64
    let moved: UInt64
  }

  /// Where it stood at the last look; nil where it has owed nothing since.
  private var mark: Mark?

  var isMarked: Bool { mark != nil }

  /// The peer owes nothing, or its data is not read.
  mutating func excuse() { mark = nil }

  /// Notes where the session stands at a look; whether it has not got on since the one before.
  mutating func isStill(look: UInt64, moved: UInt64, least: Int) -> Bool {
    defer { mark = Mark(look: look, moved: moved) }
    guard let mark, mark.look &+ 1 == look else { return false }
    return moved &- mark.moved < UInt64(least)
  }
}

/// Looks at all sessions as long as there is too little memory for them.
final class ContentionWatch: Sendable {
  private struct State {
    var isLooking = false
    var look: UInt64 = 0
  }

  private let state = Mutex(State())

  /// Somebody waits for memory.
  func begin(_ serving: Serving, on loop: any EventLoop) {
    let isFirst = state.withLock { state in
      defer { state.isLooking = true }
      return !state.isLooking
    }
    if isFirst { look(serving, on: loop) }
  }

  private func look(_ serving: Serving, on loop: any EventLoop) {
    let look = state.withLock { state -> UInt64? in
      // Two looks that don't follow one another are of two contentions.
      state.look &+= serving.isContended ? 1 : 2
      state.isLooking = serving.isContended
      return state.isLooking ? state.look : nil
    }
    guard let look else { return }
    for entry in serving.register.everybody where entry.nexus != nil {
      entry.port.post { $0.lookAtHoldings(look) }
    }
    loop.scheduleTask(in: .milliseconds(serving.limits.contendedMilliseconds)) {
      self.look(serving, on: loop)
    }
  }
}

extension Serving {
  var isContended: Bool { reads.isFull || writes.isFull }
}

extension TargetConnection {
  /// Ends the session where it has memory that others wait for, and its peer does not get on.
  func lookAtHoldings(_ look: UInt64) {
    guard stage == .open, watch != nil else { return }
    let least = serving.limits.contendedBytes
    if serving.writes.isFull, isReading, session.awaitsPromisedData,
      writeAccount.watch.isStill(look: look, moved: session.dataOutByteCount, least: least)
    {
      return cutContended("it sends its data too slowly while others wait for memory")
    }
    if serving.reads.isFull, outputBytes > 0,
      readAccount.watch.isStill(look: look, moved: outputTaken, least: least)
    {
      cutContended("it takes its data too slowly while others wait for memory")
    }
  }

  private func cutContended(_ reason: String) {
    serving.register.count(\.contended)
    cut(reason)
  }

  /// Whoever owes nothing now has got on.
  func excuseHoldings() {
    if readAccount.watch.isMarked, outputBytes == 0 { readAccount.watch.excuse() }
    if writeAccount.watch.isMarked, !isReading || !session.awaitsPromisedData {
      writeAccount.watch.excuse()
    }
  }
}
