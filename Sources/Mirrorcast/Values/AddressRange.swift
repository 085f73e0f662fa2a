import Datagrams

/// Addresses that begin alike, as access lists name them: `10.0.0.0/24`, `fd00::/64`, or one alone.
public struct AddressRange: Sendable, Hashable, CustomStringConvertible {
  /// The sixteen bytes as numbers; IPv4 as IPv6 maps it.
  private let high: UInt64
  private let low: UInt64
  private let isV4: Bool
  private let prefixLength: Int

  public let description: String

  /// Reads a range; throws what is wrong with it and how it is written.
  public init(parsing text: String) throws(MirrorcastError) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    let address = parts[0]
    let bracketed = address.contains(":") ? "[\(address)]" : String(address)
    guard !address.contains("%"), !address.hasPrefix("["),
      let endpoint = try? Endpoint(bracketed, defaultPort: 0)
    else {
      throw MirrorcastError(
        "'\(text)' is no address", advice: "Write 10.0.0.0/24, 10.0.0.7, fd00::/64 or fd00::7.")
    }
    let bits = endpoint.family == .v4 ? 32 : 128
    var length = bits
    if parts.count == 2 {
      guard let number = decimal(parts[1]), number <= bits else {
        throw MirrorcastError(
          "'/\(parts[1])' in '\(text)' is no length of a prefix",
          advice: "Write a number from 0 to \(bits).")
      }
      length = number
    }
    isV4 = endpoint.family == .v4
    prefixLength = length
    (high, low) = Self.numbers(of: endpoint)
    description = text
    let (highMask, lowMask) = masks
    guard high & ~highMask == 0, low & ~lowMask == 0 else {
      throw MirrorcastError(
        "'\(text)' has bits behind its prefix of \(length)",
        advice: "Leave the length out for this address alone, or write the network's own address.")
    }
  }

  func contains(_ address: Endpoint) -> Bool {
    guard (address.family == .v4) == isV4 else { return false }
    let numbers = Self.numbers(of: address)
    let (highMask, lowMask) = masks
    return numbers.high & highMask == high && numbers.low & lowMask == low
  }

  private var masks: (high: UInt64, low: UInt64) {
    let length = isV4 ? prefixLength + 96 : prefixLength
    // A shift by 64 leaves zero.
    return (~(UInt64.max >> UInt64(min(length, 64))), ~(UInt64.max >> UInt64(max(length - 64, 0))))
  }

  private static func numbers(of address: Endpoint) -> (high: UInt64, low: UInt64) {
    let bytes = address.gid
    return (UInt64(bigEndian: bytes.0), UInt64(bigEndian: bytes.1))
  }
}

/// Who may log in to a target; where both are given, name and address must fit.
public struct AccessList: Sendable, Equatable {
  /// The iSCSI names of the initiators that are admitted; nil: all.
  public var initiators: Set<String>?
  /// Where they may come from; nil: anywhere.
  public var addresses: [AddressRange]?

  public init(initiators: Set<String>? = nil, addresses: [AddressRange]? = nil) {
    self.initiators = initiators
    self.addresses = addresses
  }

  /// No list at all.
  public static let everybody = AccessList()

  /// Whether somebody at this numeric address (IPv6 without brackets and zone) is let in by it.
  func admits(address: String) -> Bool {
    guard let addresses else { return true }
    let bracketed = address.contains(":") ? "[\(address)]" : address
    guard let endpoint = try? Endpoint(bracketed, defaultPort: 0) else { return false }
    return addresses.contains { $0.contains(endpoint) }
  }

  func admits(initiator: String) -> Bool { initiators?.contains(initiator) ?? true }
}
