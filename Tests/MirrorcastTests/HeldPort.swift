import Glibc

/// A TCP port that is a test's own as long as this lives, at all addresses of both families: nobody
/// is given it as a free one, and nobody listens there but who is told it. That is what
/// SO_REUSEADDR does on Linux: sockets with it share a port while one of them at most listens.
final class HeldPort {
  let number: Int
  private let sockets: [Int32]

  init() throws {
    for _ in 0..<64 {
      let v4 = try Self.socket(AF_INET)
      let v6 = try Self.socket(AF_INET6)
      let port = Self.bindAnyV4(v4)
      if let port, Self.bindV6(v6, port) {
        (number, sockets) = (Int(port), [v4, v6])
        return
      }
      close(v4)
      close(v6)
    }
    throw Failure("no port can be held")
  }

  deinit { for socket in sockets { close(socket) } }

  private static func socket(_ family: Int32) throws -> Int32 {
    let socket = Glibc.socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw Failure("no socket") }
    var on: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, size)
    if family == AF_INET6 {
      setsockopt(socket, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, size)
    }
    return socket
  }

  private static func bindAnyV4(_ socket: Int32) -> UInt16? {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0
      }
    }
    return isBound ? UInt16(bigEndian: address.sin_port) : nil
  }

  private static func bindV6(_ socket: Int32, _ port: UInt16) -> Bool {
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    address.sin6_port = port.bigEndian
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0
      }
    }
  }
}
