import Crypto
import Testing

@testable import Mirrorcast

/// What the library gives for the standards' own numbers; AES-GCM's stand in SealingTests.
@Suite struct PrimitiveTests {
  @Test func `X25519 is that of RFC 7748 §6.1`() throws {
    let bob = try Curve25519.KeyAgreement.PrivateKey(
      rawRepresentation: hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    #expect(
      Array(bob.publicKey.rawRepresentation)
        == hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
    let alice = try Curve25519.KeyAgreement.PublicKey(
      rawRepresentation: hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"))
    let shared = try bob.sharedSecretFromKeyAgreement(with: alice)
    #expect(
      shared.withUnsafeBytes { Array($0) }
        == hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"))
  }

  @Test func `HKDF is that of RFC 5869 §A.1`() {
    let key = HKDF<SHA256>.deriveKey(
      inputKeyMaterial: SymmetricKey(data: [UInt8](repeating: 0x0b, count: 22)),
      salt: Array(0...12 as ClosedRange<UInt8>), info: Array(0xf0...0xf9 as ClosedRange<UInt8>),
      outputByteCount: 42)
    #expect(
      key.withUnsafeBytes { Array($0) }
        == hex(
          "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
  }
}

func hex(_ text: String) -> [UInt8] {
  let digits = Array(text.utf8)
  return stride(from: 0, to: digits.count, by: 2).map { index in
    UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16) ?? 0
  }
}
