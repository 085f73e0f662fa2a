import ArgumentParser

/// A number of bytes as people write it: 4096, 4K, 1M, 2G, 1T, binary multiples.
struct ByteSize: Equatable {
  var byteCount: UInt64

  init(_ byteCount: UInt64) {
    self.byteCount = byteCount
  }

  init(parsing text: String) throws {
    let suffixes = ["K": 10, "M": 20, "G": 30, "T": 40]
    var digits = Substring(text.uppercased())
    // "4KiB" and "4KB" mean what "4K" means.
    for ending in ["IB", "B"] where digits.hasSuffix(ending) {
      digits.removeLast(ending.count)
      break
    }
    let shift = digits.last.flatMap { suffixes[String($0)] } ?? 0
    if shift > 0 { digits.removeLast() }
    guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }) else {
      throw usageError(
        "'\(text)' is not a size",
        advice: "Write bytes, or a whole number with K, M, G or T: 4096, 4K, 1M, 2G.")
    }
    guard let number = UInt64(digits), number <= UInt64(Int64.max) >> UInt64(shift) else {
      throw usageError("'\(text)' is too large a size", advice: "Sizes end below 8388608T.")
    }
    byteCount = number << UInt64(shift)
  }
}

extension ByteSize: CustomStringConvertible {
  /// The shortest text that parses to the same size.
  var description: String {
    for (suffix, shift) in [("T", 40), ("G", 30), ("M", 20), ("K", 10)]
    where byteCount > 0 && byteCount.trailingZeroBitCount >= shift {
      return "\(byteCount >> UInt64(shift))\(suffix)"
    }
    return "\(byteCount)"
  }
}
