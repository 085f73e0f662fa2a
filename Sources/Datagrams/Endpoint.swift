internal import CDatagram
internal import Lanes

/// A numeric IPv4 or IPv6 address with a UDP or TCP port; a plain value, compared per datagram.
package struct Endpoint: Hashable, Sendable, BitwiseCopyable {
  /// Which internet protocol an address belongs to.
  package enum Family: UInt8, Sendable, BitwiseCopyable {
    case v4 = 4
    case v6 = 6

    var number: Int32 { Int32(rawValue) }
  }

  // The sixteen bytes of the address in memory order; IPv4 uses the first four.
  private var first: UInt64
  private var second: UInt64
  /// The interface index of a link-local IPv6 address, else 0.
  package var scope: UInt32
  package var port: UInt16
  package let family: Family

  /// The unspecified address of a family: any interface, or any source.
  package init(any family: Family, port: UInt16 = 0) {
    first = 0
    second = 0
    scope = 0
    self.port = port
    self.family = family
  }

  /// Reads `239.1.2.3:5000`, `[ff15::1]:5000`, or an address without port when a default is given.
  package init(_ text: String, defaultPort: UInt16? = nil) throws(EndpointError) {
    let (address, portText) = try Self.split(text)
    let port: UInt16
    if let portText {
      guard let number = UInt16(portText), portText.allSatisfy(\.isNumber) else {
        throw .notAPort(text)
      }
      port = number
    } else if let defaultPort {
      port = defaultPort
    } else {
      throw .portMissing(text)
    }
    var raw = mirrorcast_endpoint()
    // Safe: a terminated text that lives as long as the call, and one endpoint to fill.
    let result = unsafe mirrorcast_parse_address(String(address), &raw)
    guard result == 0, !address.utf8.contains(0), let endpoint = Endpoint(raw) else {
      throw .notAnAddress(text)
    }
    self = endpoint
    self.port = port
  }

  private static func split(
    _ text: String
  ) throws(EndpointError) -> (address: Substring, port: Substring?) {
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { throw .notAnAddress(text) }
      let address = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      guard address.contains(":") else { throw .notAnAddress(text) }
      if rest.isEmpty { return (address, nil) }
      guard rest.hasPrefix(":") else { throw .notAnAddress(text) }
      return (address, rest.dropFirst())
    }
    let colons = text.count { $0 == ":" }
    guard colons == 1, let colon = text.firstIndex(of: ":") else { return (text[...], nil) }
    return (text[..<colon], text[text.index(after: colon)...])
  }

  init?(_ raw: mirrorcast_endpoint) {
    guard let family = Family(rawValue: UInt8(truncatingIfNeeded: raw.family)) else { return nil }
    self.family = family
    // Safe: sixteen bytes either way, and every pattern is a value.
    (first, second) = unsafe unsafeBitCast(raw.bytes, to: (UInt64, UInt64).self)
    scope = raw.scope
    port = raw.port
  }

  /// Where a socket is bound.
  init(localOf descriptor: Int32) throws(SystemError) {
    var raw = mirrorcast_endpoint()
    // Safe: one endpoint to fill.
    try SystemError.check(
      unsafe mirrorcast_local_endpoint(descriptor, &raw), "read a socket's address")
    guard let endpoint = Endpoint(raw) else { preconditionFailure("a socket of another family") }
    self = endpoint
  }

  var raw: mirrorcast_endpoint {
    var raw = mirrorcast_endpoint()
    typealias Sixteen = (
      UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8,
      UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8
    )
    // Safe: sixteen bytes either way, and every pattern is a value.
    raw.bytes = unsafe unsafeBitCast((first, second), to: Sixteen.self)
    raw.scope = scope
    raw.port = port
    raw.family = UInt16(family.rawValue)
    return raw
  }
}

extension Endpoint {
  /// A queue pair: its GID, which is written as an IPv6 address (RoCE v2 maps those of IPv4 to
  /// ::ffff:0:0/96), and its number, which stands where such an address has its scope.
  package init(gid: (UInt64, UInt64), queuePair: UInt32) {
    (first, second) = gid
    scope = queuePair
    port = 0
    family = .v6
  }

  /// The GID of an IPv4 address, in memory order.
  package init(mappedV4 address: UInt32, queuePair: UInt32) {
    let numeric = 0xffff_0000_0000 | UInt64(UInt32(bigEndian: address))
    self.init(gid: (0, UInt64(bigEndian: numeric)), queuePair: queuePair)
  }

  /// The number that stands for all queue pairs of a group.
  package static let everyQueuePair: UInt32 = 0xff_ffff
  /// The UDP port of RoCE v2.
  package static let rocePort: UInt16 = 4791

  /// The GID that RoCE v2 has for this address, in memory order.
  package var gid: (UInt64, UInt64) {
    guard family == .v4 else { return (first, second) }
    return (0, UInt64(bigEndian: 0xffff_0000_0000 | UInt64(bigEndian: first) >> 32))
  }

  private var firstBytes: (UInt8, UInt8) {
    let ordered = UInt64(bigEndian: first)
    return (UInt8(truncatingIfNeeded: ordered >> 56), UInt8(truncatingIfNeeded: ordered >> 48))
  }

  /// Whether the address names a group: 224.0.0.0/4 or ff00::/8.
  package var isMulticast: Bool {
    switch family {
    case .v4: firstBytes.0 & 0xf0 == 0xe0
    case .v6: firstBytes.0 == 0xff
    }
  }

  package var isUnspecified: Bool { first == 0 && second == 0 }

  /// Whether the address means nothing without an interface: fe80::/10, ff12::/16 and the like.
  package var needsScope: Bool {
    guard family == .v6 else { return false }
    let (high, low) = firstBytes
    return high == 0xfe && low & 0xc0 == 0x80 || high == 0xff && low & 0x0f <= 2
  }

  /// Whether both are one address and port; a scope that either side doesn't know is not compared.
  package func matches(_ other: Endpoint) -> Bool {
    first == other.first && second == other.second && port == other.port
      && family == other.family
      && (scope == other.scope || scope == 0 || other.scope == 0)
  }

  /// The address with another port.
  package func with(port: UInt16) -> Endpoint {
    var copy = self
    copy.port = port
    return copy
  }

  /// The address with the interface's scope, where it needs one and has none.
  package func scoped(to interface: NetworkInterface) -> Endpoint {
    guard needsScope, scope == 0 else { return self }
    var copy = self
    copy.scope = UInt32(interface.index)
    return copy
  }

  /// The address alone, without brackets, port or scope.
  package var addressText: String {
    var raw = raw
    let room = 64
    // Safe: the longest address has 45 characters; the call ends them with a zero.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: room) { buffer in
      guard let start = buffer.baseAddress,
        unsafe mirrorcast_format_address(&raw, start, room) == 0
      else { return "?" }
      return unsafe String(cString: start)
    }
  }

  /// Address and port as they stand in a text key: without the scope, which is local.
  package var wireText: String {
    family == .v4 ? "\(addressText):\(port)" : "[\(addressText)]:\(port)"
  }
}

extension Endpoint: CustomStringConvertible {
  package var description: String {
    scope == 0 ? wireText : "[\(addressText)%\(scope)]:\(port)"
  }
}

/// Why a text is no endpoint.
package enum EndpointError: Error, Equatable, Sendable, CustomStringConvertible {
  case notAnAddress(String)
  case notAPort(String)
  case portMissing(String)

  package var description: String {
    switch self {
    case .notAnAddress(let text):
      "'\(text)' is no numeric address: write 239.1.2.3:5000 or [ff15::1]:5000"
    case .notAPort(let text): "'\(text)' has no port of 0 to 65535 behind the last colon"
    case .portMissing(let text): "'\(text)' lacks a port: write it behind a colon"
    }
  }
}
