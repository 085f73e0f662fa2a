/// A 32-bit number that wraps, compared by RFC 1982 serial arithmetic: command, status and write
/// numbers are all of this kind.
package struct SerialNumber: Equatable, Hashable, Sendable, BitwiseCopyable {
  package var rawValue: UInt32

  @inlinable package init(_ rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// The number that follows this one.
  @inlinable package var next: SerialNumber { advanced(by: 1) }

  /// The number `distance` places on (or back, when negative).
  @inlinable package func advanced(by distance: Int) -> SerialNumber {
    SerialNumber(rawValue &+ UInt32(truncatingIfNeeded: distance))
  }

  /// How far `other` is ahead of this number: negative when it is behind.
  @inlinable package func distance(to other: SerialNumber) -> Int {
    Int(Int32(bitPattern: other.rawValue &- rawValue))
  }

  /// Whether this number comes before `other`.
  @inlinable package func precedes(_ other: SerialNumber) -> Bool {
    distance(to: other) > 0
  }
}
