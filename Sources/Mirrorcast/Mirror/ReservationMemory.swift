import SCSI
import Synchronization

/// What an initiator remembers of the reservations that it makes through a mirror: for legs that
/// come back, and for the mirrors by which a shared one is followed.
final class ReservationMemory: Sendable {
  /// What is made anew where a leg has forgotten it.
  struct Own: Sendable, Equatable {
    /// Zero: it is not registered.
    var key: UInt64 = 0
    /// What it holds.
    var type: ReservationType?
  }

  private struct State {
    var own = Own()
    var leaderKey: UInt64 = 0
    var gone: [UInt64] = []
  }

  /// Keys of initiators that are gone, the last ones.
  private static let goneMax = 64

  /// One change, and one leg that comes, at a time.
  let turns = Turns(isTaken: false)
  private let state = Mutex(State())

  var own: Own { state.withLock { $0.own } }
  func setOwn(_ own: Own) { state.withLock { $0.own = own } }
  func setType(_ type: ReservationType?) { state.withLock { $0.own.type = type } }

  /// By which the initiator that leads the mirror is registered.
  var leaderKey: UInt64 { state.withLock { $0.leaderKey } }
  func setLeaderKey(_ key: UInt64) { state.withLock { $0.leaderKey = key } }

  /// Keys that are nobody's: a leg that was away may have them yet.
  var gone: [UInt64] { state.withLock { $0.gone } }

  func noteGone(_ key: UInt64) {
    state.withLock { state in
      state.gone.removeAll { $0 == key }
      if state.gone.count >= Self.goneMax { state.gone.removeFirst() }
      state.gone.append(key)
    }
  }

  /// Somebody goes by it again.
  func noteUsed(_ key: UInt64) { state.withLock { $0.gone.removeAll { $0 == key } } }
}
