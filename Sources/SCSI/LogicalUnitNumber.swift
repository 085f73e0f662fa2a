/// A LUN of the single-level forms, SAM-5 §4.7: 0…255 by peripheral device addressing, to 16383 by
/// flat space addressing.
package struct LogicalUnitNumber: Equatable, Hashable, Comparable, Sendable, BitwiseCopyable {
  package static let max = 16383

  package let value: UInt16

  /// The LUN of that number; nil outside 0…16383.
  package init?(_ number: Int) {
    guard number >= 0, number <= Self.max else { return nil }
    value = UInt16(number)
  }

  /// Reads the eight bytes of a LUN field; nil for every form that isn't single-level.
  package init?(field: UInt64) {
    // SAM-5 §4.7.4: a single-level LUN has zeros in the six bytes of the lower levels.
    guard field & 0x0000_ffff_ffff_ffff == 0 else { return nil }
    let level = UInt16(field >> 48)
    switch level >> 14 {
    // SAM-5 §4.7.7.2: peripheral device addressing with bus identifier zero.
    case 0b00 where level & 0x3f00 == 0: value = level
    // SAM-5 §4.7.7.3: flat space addressing.
    case 0b01: value = level & 0x3fff
    default: return nil
    }
  }

  /// The eight bytes of a LUN field.
  package var field: UInt64 {
    UInt64(value < 256 ? value : 0x4000 | value) << 48
  }

  package static func < (one: LogicalUnitNumber, other: LogicalUnitNumber) -> Bool {
    one.value < other.value
  }
}
