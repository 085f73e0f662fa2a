import Testing

@testable import Sealing

/// The standard's own numbers: cases of "The Galois/Counter Mode of Operation (GCM)" (McGrew,
/// Viega, 2005), which NIST's validation has, too.
@Suite struct VectorTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let key, nonce, clear, plain, sealed, tag: String
    var testDescription: String { name }
  }

  static let text = """
    d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39
    """
  static let cases = [
    Case(
      name: "1: nothing", key: "00000000000000000000000000000000",
      nonce: "000000000000000000000000", clear: "", plain: "", sealed: "",
      tag: "58e2fccefa7e3061367f1d57a4e7455a"),
    Case(
      name: "2: one block", key: "00000000000000000000000000000000",
      nonce: "000000000000000000000000", clear: "", plain: "00000000000000000000000000000000",
      sealed: "0388dace60b6a392f328c2b971b2fe78", tag: "ab6e47d42cec13bdf53a67b21257bddf"),
    Case(
      name: "4: clear bytes, and a last block that is short",
      key: "feffe9928665731c6d6a8f9467308308", nonce: "cafebabefacedbaddecaf888",
      clear: "feedfacedeadbeeffeedfacedeadbeefabaddad2", plain: text,
      sealed: """
        42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
        21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091
        """, tag: "5bc94fbc3221a5db94fae95ae7121a47"),
    Case(
      name: "13: nothing, 256 bits",
      key: "0000000000000000000000000000000000000000000000000000000000000000",
      nonce: "000000000000000000000000", clear: "", plain: "", sealed: "",
      tag: "530f8afbc74536b9a963b4f1c4cb738b"),
    Case(
      name: "16: clear bytes, and a last block that is short, 256 bits",
      key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
      nonce: "cafebabefacedbaddecaf888", clear: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      plain: text,
      sealed: """
        522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
        8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662
        """, tag: "76fc6ece0f4e1768cddf8853bb2d551b"),
  ]

  @Test(arguments: cases) func `a vector of the standard comes out`(vector: Case) throws {
    let key = SealingKey(bytes(vector.key))
    let nonce = SealingNonce(bytes(vector.nonce))
    let clear = bytes(vector.clear)
    var message = clear + bytes(vector.plain) + [UInt8](repeating: 0, count: 16)
    #expect(key.seal(&message, clear: clear.count, nonce))
    #expect(message == clear + bytes(vector.sealed) + bytes(vector.tag))
    #expect(key.open(&message, clear: clear.count, nonce))
    #expect(Array(message.dropLast(16)) == clear + bytes(vector.plain))
  }

  @Test func `GMAC is the same with nothing to encrypt`() {
    // Clear bytes alone, and all of the message clear: one and the same.
    let key = SealingKey(bytes("feffe9928665731c6d6a8f9467308308"))
    let nonce = SealingNonce(upper: 1, lower: 2)
    for count in [0, 1, 15, 16, 17, 48, 1440, 9000] {
      var message = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      let plain = message
      message += [UInt8](repeating: 0, count: 16)
      #expect(key.seal(&message, clear: count, nonce))
      #expect(message.prefix(count) == plain[...])
      #expect(key.open(&message, clear: count, nonce))
    }
  }
}

func bytes(_ text: String) -> [UInt8] {
  let digits = Array(text.utf8)
  return stride(from: 0, to: digits.count, by: 2).map { index in
    UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16) ?? 0
  }
}

extension SealingNonce {
  init(_ bytes: [UInt8]) {
    precondition(bytes.count == 12, "a nonce has 12 bytes")
    self.init(
      upper: bytes[0..<8].reduce(0) { $0 << 8 | UInt64($1) },
      lower: bytes[8..<12].reduce(0) { $0 << 8 | UInt32($1) })
  }
}

extension SealingKey {
  /// The last 16 bytes are the tag's; what is not clear is hidden.
  func seal(_ message: inout [UInt8], clear: Int, _ nonce: SealingNonce) -> Bool {
    let end = message.count - 16
    var span = message.mutableSpan
    var raw = span.mutableBytes
    return seal(&raw, hidden: clear..<end, tagOffset: end, nonce: nonce)
  }

  func open(_ message: inout [UInt8], clear: Int, _ nonce: SealingNonce) -> Bool {
    let end = message.count - 16
    var span = message.mutableSpan
    var raw = span.mutableBytes
    return open(&raw, hidden: min(clear, max(end, 0))..<max(end, 0), tagOffset: end, nonce: nonce)
  }
}
