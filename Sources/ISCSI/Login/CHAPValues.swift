// Values of CHAP, RFC 1994 and RFC 7143 §12.1.3. Hashes and random bytes are lent by the owner:
// nothing is reckoned or guessed here.

/// A hash by which a secret is proved, with its number in `CHAP_A`.
package enum CHAPAlgorithm: Int, CaseIterable, Sendable {
  case md5 = 5
  case sha256 = 7

  package var responseByteCount: Int {
    switch self {
    case .md5: 16
    case .sha256: 32
    }
  }

  /// What we offer, and take, the stronger first.
  static let preferred = [sha256, md5]
}

/// A name and the secret that goes with it, in one direction.
package struct CHAPCredential: Equatable, Sendable {
  // RFC 7143 §9.2.1: secrets of fewer than 96 bits want IPsec.
  package static let secretByteCountMin = 12
  package static let secretByteCountMax = 255

  package let name: String
  package let secret: [UInt8]

  package init(name: String, secret: [UInt8]) {
    self.name = name
    self.secret = secret
  }
}

/// What CHAP needs of its owner.
package struct CHAPFunctions: Sendable {
  /// The hash of some bytes, as long as the algorithm says.
  package let hash: @Sendable (CHAPAlgorithm, [UInt8]) -> [UInt8]
  /// So many bytes that nobody can foresee.
  package let random: @Sendable (Int) -> [UInt8]

  package init(
    hash: @escaping @Sendable (CHAPAlgorithm, [UInt8]) -> [UInt8],
    random: @escaping @Sendable (Int) -> [UInt8]
  ) {
    self.hash = hash
    self.random = random
  }

  // RFC 1994 §4.1: over identifier, secret and challenge.
  func response(
    _ algorithm: CHAPAlgorithm, _ identifier: UInt8, _ secret: [UInt8], _ challenge: [UInt8]
  ) -> [UInt8] {
    hash(algorithm, [identifier] + secret + challenge)
  }
}

/// Names of CHAP's keys.
enum CHAPKey {
  static let algorithm = "CHAP_A"
  static let identifier = "CHAP_I"
  static let challenge = "CHAP_C"
  static let name = "CHAP_N"
  static let response = "CHAP_R"
  static let all = [algorithm, identifier, challenge, name, response]
}

/// A challenge as one side has made it.
struct CHAPChallenge: Equatable, Sendable {
  // RFC 7143 §12.1.3: at most 1024 bytes.
  static let byteCountMax = 1024

  let identifier: UInt8
  let bytes: [UInt8]

  init(identifier: UInt8, bytes: [UInt8]) {
    self.identifier = identifier
    self.bytes = bytes
  }

  /// A new one, as long as the hash.
  init(_ functions: CHAPFunctions, _ algorithm: CHAPAlgorithm) {
    identifier = functions.random(1)[0]
    bytes = functions.random(algorithm.responseByteCount)
  }

  /// Nil unless both keys are well-formed and the challenge isn't too long.
  init?(identifier: String, challenge: String) {
    guard let number = identifier.number, let identifier = UInt8(exactly: number),
      let bytes = BinaryValue.bytes(challenge, countMax: Self.byteCountMax), !bytes.isEmpty
    else { return nil }
    self.init(identifier: identifier, bytes: bytes)
  }

  var pairs: [TextKeys.Pair] {
    [
      .init(CHAPKey.identifier, "\(identifier)"),
      .init(CHAPKey.challenge, BinaryValue.text(bytes)),
    ]
  }
}

/// RFC 7143 §6.1: binary values, in hexadecimal or Base64.
package enum BinaryValue {
  package static func text(_ bytes: [UInt8]) -> String {
    bytes.reduce(into: "0x") { text, byte in
      text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
  }

  /// The shorter form, four digits for three bytes.
  package static func base64(_ bytes: [UInt8]) -> String {
    var digits: [UInt8] = Array("0b".utf8)
    digits.reserveCapacity(2 + (bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(0 as UInt32) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
      for index in 0..<4 {
        let isFilled = index <= group.count
        let value = UInt8(bits >> UInt32(18 - 6 * index) & 63)
        digits.append(isFilled ? digit(ofBase64: value) : UInt8(ascii: "="))
      }
    }
    return String(decoding: digits, as: UTF8.self)
  }

  private static func digit(ofBase64 value: UInt8) -> UInt8 {
    switch value {
    case 0...25: UInt8(ascii: "A") + value
    case 26...51: UInt8(ascii: "a") + value - 26
    case 52...61: UInt8(ascii: "0") + value - 52
    case 62: UInt8(ascii: "+")
    default: UInt8(ascii: "/")
    }
  }

  /// Nil when the text is neither, or means more bytes than that.
  package static func bytes(_ text: String, countMax: Int) -> [UInt8]? {
    let digits = Array(text.utf8.dropFirst(2))
    switch text.prefix(2) {
    case "0x", "0X": return hexadecimal(digits, countMax)
    case "0b", "0B": return base64(digits, countMax)
    default: return nil
    }
  }

  private static func hexadecimal(_ digits: [UInt8], _ countMax: Int) -> [UInt8]? {
    // An odd number of digits lacks its leading zero.
    let digits = digits.count % 2 == 0 ? digits : [UInt8(ascii: "0")] + digits
    guard !digits.isEmpty, digits.count / 2 <= countMax else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = value(ofDigit: digits[index]), let low = value(ofDigit: digits[index + 1])
      else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  private static func value(ofDigit byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  // RFC 4648 §4: whole groups of four, filled with `=`, no bits beyond the last byte.
  private static func base64(_ digits: [UInt8], _ countMax: Int) -> [UInt8]? {
    let fill = digits.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
    guard !digits.isEmpty, digits.count % 4 == 0, digits.count / 4 * 3 - fill <= countMax else {
      return nil
    }
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var bitCount = 0
    for digit in digits.dropLast(fill) {
      guard let value = value(ofBase64: digit) else { return nil }
      bits = bits << 6 | UInt32(value)
      bitCount += 6
      guard bitCount >= 8 else { continue }
      bitCount -= 8
      bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
    }
    let rest = bits & (1 << UInt32(bitCount) - 1)
    return rest == 0 && bytes.count == digits.count / 4 * 3 - fill ? bytes : nil
  }

  private static func value(ofBase64 byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - UInt8(ascii: "A")
    case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0") + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
