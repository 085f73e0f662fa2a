import Datagrams

/// The multicast address and UDP port of a mirror: `239.x.y.z[:PORT]` or `[ff15::1][:PORT]`.
public struct GroupAddress: Sendable, Hashable, CustomStringConvertible {
  static let defaultPort: UInt16 = 5000

  /// The numeric address, IPv6 without its brackets.
  package let address: String
  package let port: Int

  /// Reads a group; an address that isn't multicast is refused, since its datagrams would go to
  /// one host, or to nobody.
  public init(parsing text: String) throws(MirrorcastError) {
    guard !text.contains("%") else {
      throw MirrorcastError(
        "group '\(text)' has a scope",
        advice: "Leave out what follows the %; the interface is an option of its own.")
    }
    let colons = text.utf8.count { $0 == UInt8(ascii: ":") }
    guard text.hasPrefix("[") || colons <= 1 else {
      throw MirrorcastError(
        "group '\(text)' has more than one colon",
        advice: "Write an IPv6 group in brackets: [ff15::1]:5000.")
    }
    let endpoint: Endpoint
    do throws(EndpointError) {
      endpoint = try Endpoint(text, defaultPort: Self.defaultPort)
    } catch .notAPort {
      throw MirrorcastError(
        "group '\(text)' has no port behind its last colon",
        advice: "A UDP port is a number from 1 to 65535; without one it is 5000.")
    } catch {
      throw MirrorcastError("group '\(text)' is no numeric address", advice: Self.examples)
    }
    guard endpoint.isMulticast else {
      throw MirrorcastError(
        "\(endpoint.addressText) is not a multicast address", advice: Self.examples)
    }
    guard endpoint.port > 0 else {
      throw MirrorcastError(
        "group '\(text)' has port 0", advice: "A UDP port is a number from 1 to 65535.")
    }
    address = endpoint.addressText
    port = Int(endpoint.port)
  }

  private static let examples =
    "Take one of 239.0.0.0 to 239.255.255.255, such as 239.1.2.3, or an IPv6 group such as"
    + " [ff15::1]."

  /// The group with its port, whether it was given or not.
  public var description: String { HostAndPort.text(host: address, port: port) }
}
