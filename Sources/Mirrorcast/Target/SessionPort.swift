// The mirror's door to a session: its lanes answer on a connection that an event loop owns.

package import ISCSI
import NIOCore

/// One session of a daemon, to be used from any thread.
package final class SessionPort: Sendable {
  /// Unique in the daemon, never used again.
  package let id: UInt64
  /// Numeric, IPv6 without brackets and zone.
  package let localAddress: String
  package let localPort: Int
  package let remoteAddress: String
  package let remotePort: Int
  private let loop: any EventLoop
  private let connection: NIOLoopBound<TargetConnection>

  /// On the connection's event loop.
  init(id: UInt64, channel: any Channel, connection: TargetConnection) {
    self.id = id
    localAddress = channel.localAddress?.numericText ?? ""
    localPort = channel.localAddress?.port ?? 0
    remoteAddress = channel.remoteAddress?.numericText ?? ""
    remotePort = channel.remoteAddress?.port ?? 0
    loop = channel.eventLoop
    self.connection = NIOLoopBound(connection, eventLoop: channel.eventLoop)
  }

  /// Runs `body` on the session's event loop, then sends what it queued; after the session's end
  /// nothing is run.
  package func perform(_ body: @escaping @Sendable (inout TargetSession) -> Void) {
    visit { $0.perform(body) }
  }

  /// Ends the session; `reason` is for the log.
  package func close(reason: String) {
    visit { $0.cut(reason) }
  }

  /// Runs `body` on the session's event loop.
  func visit(_ body: @escaping @Sendable (TargetConnection) -> Void) {
    if loop.inEventLoop { return body(connection.value) }
    post(body)
  }

  /// As `visit`, but never before this call returns.
  func post(_ body: @escaping @Sendable (TargetConnection) -> Void) {
    loop.execute { [connection] in body(connection.value) }
  }
}

extension PeerAddress {
  init(_ address: SocketAddress?) {
    guard let address else {
      self = .other
      return
    }
    // Safe: as many bytes as the address has, read within the closure; 8 of the 16 of IPv4 and 24
    // of the 28 of IPv6.
    self = unsafe address.withSockAddr { start, count in
      let bytes = unsafe UnsafeRawBufferPointer(start: start, count: count)
      func number(_ offset: Int) -> UInt32 {
        unsafe UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      }
      switch address {
      case .v4: return .v4(number(4))
      case .v6:
        let first = UInt64(number(8)) << 32 | UInt64(number(12))
        // An IPv4 address as an IPv6 socket sees it.
        return first == 0 && number(16) == 0xffff ? .v4(number(20)) : .v6(first)
      case .unixDomainSocket: return .other
      }
    }
  }
}

extension SocketAddress {
  /// The address as people and peers write it: no zone, IPv4 as such even on an IPv6 socket.
  var numericText: String {
    var text = ipAddress ?? ""
    if let zone = text.firstIndex(of: "%") { text = String(text[..<zone]) }
    let isMapped = text.lowercased().hasPrefix("::ffff:") && text.contains(".")
    return isMapped ? String(text.dropFirst(7)) : text
  }

  /// HOST:PORT, IPv6 in brackets.
  var portalText: String {
    let host = numericText
    return (host.contains(":") ? "[\(host)]" : host) + ":\(port ?? 0)"
  }
}
