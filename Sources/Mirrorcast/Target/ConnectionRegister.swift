// Who is connected. Connections live on several event loops, so this one list is behind a lock; it
// is taken a few times in the life of a connection, never for a command.

import ISCSI
import NIOCore
import Synchronization

/// The daemon's connections: how many there may be, their handles, and whose session is whose.
final class ConnectionRegister: Sendable {
  /// A place in the register, from accept to end.
  struct Ticket {
    let id: UInt64
    /// The session's handle, RFC 7143 §11.13.3.
    let handle: UInt16
  }

  /// What makes two sessions the same, RFC 7143 §4.4.3.
  struct Nexus: Hashable {
    let initiatorName: String
    let isid: UInt64
    let targetName: String?
  }

  /// A connection as others see it.
  struct Entry: Sendable {
    let port: SessionPort
    /// The connection is closed and none of its commands is at a disk.
    let ended: EventLoopFuture<Void>
    var nexus: Nexus?
  }

  /// Why a connection gets no place, in words.
  enum Refusal: String, Error {
    case addressIsFull = "no more from its address"
    case daemonEnds = "the daemon ends"
    case noHandle = "no session handle is free"

    fileprivate var counter: WritableKeyPath<ConnectionStatistics, UInt64> {
      switch self {
      case .addressIsFull: \.refusedByAddress
      case .daemonEnds: \.refusedAtEnd
      case .noHandle: \.refusedByHandles
      }
    }
  }

  /// What becomes of a login that was all right.
  enum Login {
    /// Once these have ended, which it replaces.
    case admitted(replacing: [Entry])
    case refused
  }

  private struct State {
    var lastID: UInt64 = 0
    var lastHandle: UInt16 = 0
    var handles: [UInt64: UInt16] = [:]
    var usedHandles: Set<UInt16> = []
    var entries: [UInt64: Entry] = [:]
    var sessions: [Nexus: Set<UInt64>] = [:]
    var places: ConnectionPlaces
    var statistics = ConnectionStatistics()
    var isClosed = false

    /// The next that is free, of 1…65,535; nil where nearly all are held. They come in turn: one is
    /// not soon used again, and the search meets only those held since the last turn.
    func nextHandle() -> UInt16? {
      guard usedHandles.count < 60_000 else { return nil }
      var handle = lastHandle
      repeat {
        handle = handle == .max ? 1 : handle + 1
      } while usedHandles.contains(handle)
      return handle
    }

    /// A place, and who is to lose it.
    mutating func admit(from address: PeerAddress) -> Result<(Ticket, Entry?), Refusal> {
      guard !isClosed else { return .failure(.daemonEnds) }
      guard let handle = nextHandle() else { return .failure(.noHandle) }
      let id = lastID + 1
      var evicted: Entry?
      switch places.admit(id, from: address) {
      case .refused: return .failure(.addressIsFull)
      case .inPlace(let other):
        statistics.evictedForPlaces += 1
        evicted = entries[other]
      case .admitted: break
      }
      lastID = id
      lastHandle = handle
      handles[id] = handle
      usedHandles.insert(handle)
      statistics.accepted += 1
      return .success((Ticket(id: id, handle: handle), evicted))
    }
  }

  /// Connections without a place that may be open still, until others are accepted.
  private static let leavingMax = 128

  private let state: Mutex<State>
  private let open = Atomic(0)

  init(limits: TargetLimits) {
    state = Mutex(State(places: ConnectionPlaces(limits: limits)))
  }

  var statistics: ConnectionStatistics {
    state.withLock { state in
      var statistics = state.statistics
      statistics.loginsNow = state.places.lentCount
      statistics.sessionsNow = state.places.sessionCount
      statistics.loginBytesNow = state.places.byteCount
      return statistics
    }
  }

  /// Counts what only a connection itself can know.
  func count(_ counter: any WritableKeyPath<ConnectionStatistics, UInt64> & Sendable) {
    state.withLock { $0.statistics[keyPath: counter] += 1 }
  }

  /// A connection was accepted; whether it gets a place is said later.
  func opened() { open.add(1, ordering: .relaxed) }

  func closed() { open.subtract(1, ordering: .relaxed) }

  /// Whether many are open that have lost their places, or have none yet.
  var isCrowded: Bool {
    let places = state.withLock { $0.places.count }
    return open.load(ordering: .relaxed) > places + Self.leavingMax
  }

  /// A place for one more connection, perhaps another's, which is cut.
  func admit(from address: PeerAddress) throws(Refusal) -> Ticket {
    let outcome = state.withLock { state in
      let outcome = state.admit(from: address)
      if case .failure(let refusal) = outcome {
        state.statistics[keyPath: refusal.counter] += 1
      }
      return outcome
    }
    let (ticket, evicted) = try outcome.get()
    evicted?.port.visit { $0.cutUnfinished("its place is another's") }
    return ticket
  }

  /// False when the connection has lost its place already.
  func enter(_ entry: Entry) -> Bool {
    state.withLock { state in
      state.entries[entry.port.id] = entry
      return state.places.contains(entry.port.id)
    }
  }

  func leave(_ id: UInt64) {
    state.withLock { state in
      state.places.leave(id)
      if let handle = state.handles.removeValue(forKey: id) { state.usedHandles.remove(handle) }
      guard let nexus = state.entries.removeValue(forKey: id)?.nexus else { return }
      state.sessions[nexus]?.remove(id)
      if state.sessions[nexus]?.isEmpty ?? false { state.sessions[nexus] = nil }
    }
  }

  /// A connection without a session holds so many bytes; those that hold too many are cut.
  func hold(_ id: UInt64, byteCount: Int) {
    let evicted = state.withLock { state in
      let evicted = state.places.hold(id, byteCount: byteCount)
      state.statistics.evictedForMemory += UInt64(evicted.count)
      return evicted.compactMap { state.entries[$0] }
    }
    for entry in evicted { entry.port.visit { $0.cutUnfinished("logins hold too much memory") } }
  }

  /// A connection logs in to a normal session.
  func logIn(_ id: UInt64, _ nexus: Nexus) -> Login {
    state.withLock { state in
      let replaced = (state.sessions[nexus] ?? []).compactMap { state.entries[$0] }
      guard !state.isClosed, state.places.beginSession(id, replacing: replaced.count) else {
        state.statistics.refusedBySessions += 1
        return .refused
      }
      state.statistics.replaced += UInt64(replaced.count)
      state.entries[id]?.nexus = nexus
      state.sessions[nexus, default: []].insert(id)
      return .admitted(replacing: replaced)
    }
  }

  /// Those of these that are there.
  func entries(of ids: [UInt64]) -> [Entry] {
    guard !ids.isEmpty else { return [] }
    return state.withLock { state in ids.compactMap { state.entries[$0] } }
  }

  /// Everybody at that target but `id`.
  func others(than id: UInt64, at targetName: String?) -> [Entry] {
    state.withLock { state in
      state.entries.values.filter {
        $0.port.id != id && $0.nexus != nil && $0.nexus?.targetName == targetName
      }
    }
  }

  /// All connections that are here now.
  var everybody: [Entry] { state.withLock { Array($0.entries.values) } }

  /// Admits nobody any more; returns who is there.
  func close() -> [Entry] {
    state.withLock { state in
      state.isClosed = true
      return Array(state.entries.values)
    }
  }
}
