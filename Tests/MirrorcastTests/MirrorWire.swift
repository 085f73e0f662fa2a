// A piece of wire that a test can cut, or that falls silent: what a host does that dies, or hangs.
// It stands between an initiator and a real daemon, for the TCP session; datagrams go past it.

import Foundation

/// Forwards TCP connections to a portal until it is told otherwise.
final class Wire: @unchecked Sendable {
  private enum State { case open, silent, cut }

  private let listener: Listener
  private let target: in_port_t
  private let condition = NSCondition()
  private var state = State.open
  private var sockets: [Int32] = []
  private var connections = 0

  /// - Parameter portal: of a daemon on 127.0.0.1.
  init(to portal: String) throws {
    guard let port = in_port_t(portal.split(separator: ":").last ?? "") else {
      throw Failure("\(portal) is no portal")
    }
    target = port
    listener = try Listener()
    Thread.detachNewThread { [self] in
      while case let near = listener.accept(), near >= 0 { connect(near) }
      listener.close()
    }
  }

  var portal: String { "127.0.0.1:\(listener.port)" }

  /// Both ends see the connection closed.
  func cut() {
    condition.withLock {
      state = .cut
      for socket in sockets { shutdown(socket, Int32(SHUT_RDWR)) }
      condition.broadcast()
    }
  }

  /// New connections pass again.
  func mend() {
    condition.withLock {
      state = .open
      condition.broadcast()
    }
  }

  /// Both ends of the oldest connection see it closed; the others live.
  func cutOldest() {
    condition.withLock {
      for socket in sockets.prefix(2) { shutdown(socket, Int32(SHUT_RDWR)) }
    }
  }

  /// Nothing passes any more, and nobody is told.
  func fallSilent() {
    condition.withLock { state = .silent }
  }

  /// Ends the wire and its threads.
  func end() {
    shutdown(listener.descriptor, Int32(SHUT_RDWR))
    cut()
    condition.withLock { while connections > 0 { condition.wait() } }
  }

  private func connect(_ near: Int32) {
    let far = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    address.sin_port = target.bigEndian
    let isConnected = withUnsafeBytes(of: &address) { bytes in
      Glibc.connect(
        far, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        == 0
    }
    let isWanted = condition.withLock {
      guard isConnected, state != .cut else { return false }
      sockets += [near, far]
      connections += 1
      return true
    }
    guard isWanted else {
      close(near)
      close(far)
      return
    }
    Thread.detachNewThread { [self] in
      let done = DispatchSemaphore(value: 0)
      Thread.detachNewThread { [self] in
        pump(far, near)
        done.signal()
      }
      pump(near, far)
      done.wait()
      condition.withLock {
        // A number that is closed may be another test's socket at once.
        sockets.removeAll { $0 == near || $0 == far }
        close(near)
        close(far)
        connections -= 1
        condition.broadcast()
      }
    }
  }

  private func pump(_ from: Int32, _ to: Int32) {
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = read(from, &bytes, bytes.count), count > 0 {
      let passes = condition.withLock {
        while state == .silent { condition.wait() }
        return state == .open
      }
      var sent = 0
      while passes, sent < count {
        let step = bytes[sent..<count].withUnsafeBytes {
          send(to, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard step > 0 else { break }
        sent += step
      }
      guard sent == count else { break }
    }
    shutdown(from, Int32(SHUT_RDWR))
    shutdown(to, Int32(SHUT_RDWR))
  }
}

extension MirrorScene {
  /// A wire in front of a target's portal; it ends with the test.
  func wire(to target: SceneTarget) throws -> Wire {
    let wire = try Wire(to: target.portal)
    endLater { wire.end() }
    return wire
  }
}
