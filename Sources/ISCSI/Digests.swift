// Digests of a connection's PDUs, RFC 7143 §11.1 and §13.1: CRC32C behind the header segments and
// behind the data with its padding, from full feature phase on, each where both sides want it.
import CDigest

/// Which parts of each PDU a digest follows.
package struct Digests: OptionSet, Sendable, Hashable {
  package let rawValue: UInt8

  package init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  package static let header = Digests(rawValue: 1)
  package static let data = Digests(rawValue: 2)

  static let byteCount = 4
}

/// A running CRC32C over the parts of a PDU.
package struct PDUDigest: Sendable {
  private var state: UInt32 = 0xffff_ffff

  package init() {}

  package mutating func update(_ bytes: ArraySlice<UInt8>) {
    let before = state
    // Safe: the closure reads the slice's own bytes and keeps no pointer.
    state = unsafe bytes.withUnsafeBytes {
      unsafe mirrorcast_crc32c(before, $0.baseAddress, $0.count)
    }
  }

  package mutating func update(_ bytes: [UInt8]) { update(bytes[...]) }

  /// As it stands on the wire: RFC 7143 §13.1 has the least significant byte first.
  package var bytes: [UInt8] {
    let value = ~state
    return (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
  }
}
