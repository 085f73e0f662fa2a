// Text of login and text requests: `key=value` pairs, each ended by a NUL (RFC 7143 §6.1).
//
// Two readings. The strict one is the standard's: names of at most 63 characters that begin with a
// capital letter, values without control characters. The tolerant one reads what the patent prints
// (`multicast_group_ip = 239.1.1.1`, `command=terminate`): blanks around the equals sign, a last
// pair without its NUL, names of lower case. Neither lets a control character, one that turns the
// direction of writing, or bytes that are not UTF-8 through, so that no name can disturb a log or a
// terminal, or look like another.

/// Why a text was refused.
package enum TextError: Error, Equatable, Sendable {
  case textTooLong
  case missingEnd
  case missingEqualsSign
  case malformedKey
  case keyTooLong
  case valueTooLong
  case controlCharacter
  case notUTF8
}

/// Pairs of names and values in the order in which they stand on the wire.
package struct TextKeys: Equatable, Sendable {
  /// One `key=value`.
  package struct Pair: Equatable, Sendable {
    package var key: String
    package var value: String

    package init(_ key: String, _ value: String) {
      self.key = key
      self.value = value
    }
  }

  package static let byteCountMax = 65_536
  // RFC 7143 §6.1: names of at most 63 characters, simple values of at most 255 bytes.
  package static let keyLengthMax = 63
  package static let simpleValueLengthMax = 255

  package var pairs: [Pair]

  package init(_ pairs: [Pair] = []) {
    self.pairs = pairs
  }

  package var isEmpty: Bool { pairs.isEmpty }

  /// The first value of `key`, spelled exactly so.
  package subscript(key: String) -> String? {
    pairs.first { $0.key == key }?.value
  }

  /// The first value of `key` in upper or lower case, for the patent's literal text.
  package func value(ignoringCase key: String) -> String? {
    let wanted = key.lowercased()
    return pairs.first { $0.key.lowercased() == wanted }?.value
  }

  package mutating func append(_ key: String, _ value: String) {
    pairs.append(Pair(key, value))
  }

  /// The text as it stands in a data segment.
  package var encoded: [UInt8] {
    var bytes: [UInt8] = []
    for pair in pairs {
      bytes.append(contentsOf: pair.key.utf8)
      bytes.append(UInt8(ascii: "="))
      bytes.append(contentsOf: pair.value.utf8)
      bytes.append(0)
    }
    return bytes
  }
}

extension TextKeys {
  /// Reads text by the standard.
  package init(strict bytes: ArraySlice<UInt8>) throws(TextError) {
    try self.init(bytes, isTolerant: false)
  }

  /// Reads text as the patent prints it; everything that is right by the standard is right here.
  package init(tolerant bytes: ArraySlice<UInt8>) throws(TextError) {
    try self.init(bytes, isTolerant: true)
  }

  private init(_ bytes: ArraySlice<UInt8>, isTolerant: Bool) throws(TextError) {
    guard bytes.count <= TextKeys.byteCountMax else { throw .textTooLong }
    guard isTolerant || bytes.isEmpty || bytes.last == 0 else { throw .missingEnd }
    self.init()
    for part in bytes.split(separator: 0) {
      pairs.append(try Pair(part, isTolerant: isTolerant))
    }
  }
}

extension TextKeys.Pair {
  fileprivate init(_ part: ArraySlice<UInt8>, isTolerant: Bool) throws(TextError) {
    guard let equals = part.firstIndex(of: UInt8(ascii: "=")) else { throw .missingEqualsSign }
    var keyBytes = part[..<equals]
    var valueBytes = part[(equals + 1)...]
    if isTolerant {
      keyBytes = keyBytes.trimmingBlanks
      valueBytes = valueBytes.trimmingBlanks
    }
    guard keyBytes.count <= TextKeys.keyLengthMax else { throw .keyTooLong }
    guard let first = keyBytes.first, first.isCapital || isTolerant && first.isLetter,
      keyBytes.allSatisfy({ $0.isLabel })
    else { throw .malformedKey }
    guard !valueBytes.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { throw .controlCharacter }
    // A list may be longer, none of its values may; binary values are measured by who reads them.
    let longest = valueBytes.split(separator: UInt8(ascii: ",")).map(\.count).max() ?? 0
    let isBinary = ["0x", "0X", "0b", "0B"].contains { valueBytes.starts(with: $0.utf8) }
    guard longest <= TextKeys.simpleValueLengthMax || isBinary else { throw .valueTooLong }
    guard let text = String(validating: valueBytes, as: UTF8.self) else { throw .notUTF8 }
    guard !text.unicodeScalars.contains(where: \.isControl) else { throw .controlCharacter }
    self.init(String(decoding: keyBytes, as: UTF8.self), text)
  }
}

extension Unicode.Scalar {
  /// Beyond ASCII: Unicode's second control block, which hides in UTF-8's two-byte forms; marks,
  /// embeddings, overrides and isolates of the bidirectional algorithm; ends of lines.
  fileprivate var isControl: Bool {
    switch value {
    case 0x80...0x9f, 0x61c, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069: true
    default: false
    }
  }
}

extension ArraySlice<UInt8> {
  fileprivate var trimmingBlanks: ArraySlice<UInt8> {
    var rest = drop { $0 == 0x20 || $0 == 0x09 }
    while let last = rest.last, last == 0x20 || last == 0x09 { rest.removeLast() }
    return rest
  }
}

extension UInt8 {
  fileprivate var isCapital: Bool { (0x41...0x5a).contains(self) }
  fileprivate var isLetter: Bool { isCapital || (0x61...0x7a).contains(self) }
  fileprivate var isDigit: Bool { (0x30...0x39).contains(self) }

  // RFC 7143 §6.1, standard-label: letters, digits and . - + @ _
  fileprivate var isLabel: Bool {
    isLetter || isDigit || [0x2e, 0x2d, 0x2b, 0x40, 0x5f, 0x23].contains(self)
  }
}
