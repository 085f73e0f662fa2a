import Datagrams

/// Where a target listens: `HOST[:PORT]`, an IPv6 address in brackets.
public struct PortalAddress: Sendable, Hashable, CustomStringConvertible {
  /// A host's name or a numeric address, IPv6 without its brackets.
  public var host: String
  /// The TCP port; 3260 where the text has none, 0 where a daemon may choose one.
  public var port: Int

  /// Reads a portal; throws what is wrong with it and how it is written.
  public init(parsing text: String) throws(MirrorcastError) {
    let place = try HostAndPort(parsing: text, ports: 0...65535, in: text)
    host = place.host
    port = place.port
  }

  /// `HOST:PORT`, as it stands in URLs.
  public var description: String { HostAndPort.text(host: host, port: port) }

  /// Whether one socket can't listen at both: they are the same, or one is all addresses of its
  /// family. Port 0 is another port each time.
  func overlaps(_ other: PortalAddress) -> Bool {
    guard port == other.port, port != 0 else { return false }
    if host == other.host { return true }
    // One address can be written in many ways: [::], [::0], [0:0:0:0:0:0:0:0].
    let (own, others) = (address, other.address)
    if let own, own == others { return true }
    let isV6 = host.contains(":")
    return isV6 == other.host.contains(":") && (isWildcard || other.isWildcard)
  }

  /// All addresses of its family, however that is written.
  var isWildcard: Bool {
    guard let address else { return false }
    return address == Endpoint(any: address.family)
  }

  /// Nil where the host is a name, or has a zone.
  private var address: Endpoint? {
    try? Endpoint(host.contains(":") ? "[\(host)]" : host, defaultPort: 0)
  }
}
