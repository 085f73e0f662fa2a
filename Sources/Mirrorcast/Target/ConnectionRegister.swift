// Who is connected. Connections live on several event loops, so this one list is behind a lock; it
// is taken once at the beginning and once at the end of a connection, never for a command.

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

  private struct State {
    var nextID: UInt64 = 1
    var handles: [UInt64: UInt16] = [:]
    var entries: [UInt64: Entry] = [:]
    var isClosed = false
  }

  private let connectionsMax: Int
  private let state = Mutex(State())

  init(connectionsMax: Int) {
    precondition(connectionsMax > 0 && connectionsMax < 65_535, "a limit handles can't number")
    self.connectionsMax = connectionsMax
  }

  /// A place for one more connection; nil when all are taken, or the daemon ends.
  func admit() -> Ticket? {
    state.withLock { state in
      guard !state.isClosed, state.handles.count < connectionsMax else { return nil }
      let id = state.nextID
      state.nextID += 1
      var handle = UInt16(truncatingIfNeeded: id % 65_535) + 1
      while state.handles.values.contains(handle) { handle = handle == 65_535 ? 1 : handle + 1 }
      state.handles[id] = handle
      return Ticket(id: id, handle: handle)
    }
  }

  func enter(_ entry: Entry) {
    state.withLock { $0.entries[entry.port.id] = entry }
  }

  func leave(_ id: UInt64) {
    state.withLock { state in
      state.handles[id] = nil
      state.entries[id] = nil
    }
  }

  /// Notes who logged in; returns the connections whose sessions this one replaces.
  func loggedIn(_ id: UInt64, _ nexus: Nexus) -> [Entry] {
    state.withLock { state in
      let replaced = state.entries.values.filter { $0.nexus == nexus && $0.port.id != id }
      state.entries[id]?.nexus = nexus
      return replaced
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
