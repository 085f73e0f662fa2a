// How the key of an epoch comes to one leg: both sides tell a fresh public value (X25519, RFC
// 7748), what they share gives one key for the way (HKDF, RFC 5869, with SHA-256), and the
// initiator sends the epoch's key sealed by that one. A listener on the connection learns nothing.
// Where the session was logged in by CHAP its secret is the extract's salt: whoever sits in between
// and knows no secret shares no key with either side. Without CHAP nothing is proved of anybody,
// here as on the whole session.
import Bytes
import Crypto
import ISCSI
import Replication

/// What both sides know of an exchange, told the same by both; all of it is bound to the key.
struct ExchangeContext {
  var registration: UInt32
  var epoch: UInt16
  var cipher: DatagramCipher
  var initiatorName: String
  var targetName: String
  var initiatorShare: [UInt8]
  var targetShare: [UInt8]
  /// The secret that the initiator has proved; nil: none was asked for.
  var secret: [UInt8]?

  /// All but the secret; each part behind its length.
  var transcript: [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendBigEndian(registration)
    bytes.appendBigEndian(epoch)
    for part in [
      Array(cipher.rawValue.utf8), Array(initiatorName.utf8), Array(targetName.utf8),
      initiatorShare, targetShare,
    ] {
      bytes.appendBigEndian(UInt32(part.count))
      bytes += part
    }
    return bytes
  }
}

/// One side's half, for one text.
struct KeyExchange: Sendable {
  private let own = Curve25519.KeyAgreement.PrivateKey()

  /// What the other side is told.
  var share: [UInt8] { Array(own.publicKey.rawRepresentation) }

  /// The key for the way; nil where the other side's value is none that a key could come of.
  func wayKey(peer: [UInt8], _ context: ExchangeContext) -> WayKey? {
    // Safe: the closure reads the secret and keeps no pointer.
    guard let peer = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: peer),
      let shared = try? own.sharedSecretFromKeyAgreement(with: peer),
      // RFC 7748 §6.1: a value of small order gives zero for every key, which everybody knows.
      unsafe shared.withUnsafeBytes({ unsafe $0.contains { $0 != 0 } })
    else { return nil }
    let salt = context.secret.map { Array(SHA256.hash(data: Self.saltWords + $0)) } ?? []
    let key = shared.hkdfDerivedSymmetricKey(
      using: SHA256.self, salt: salt, sharedInfo: Self.wayWords + context.transcript,
      outputByteCount: 32)
    let proof = shared.hkdfDerivedSymmetricKey(
      using: SHA256.self, salt: salt, sharedInfo: Self.proofWords + context.transcript,
      outputByteCount: 16)
    // Safe: the closure copies and keeps no pointer.
    let proofBytes = unsafe proof.withUnsafeBytes { unsafe [UInt8]($0) }
    return WayKey(key: key, cipher: context.cipher, proofKey: proofBytes)
  }

  private static let saltWords = Array("mirrorcast chap 1".utf8)
  private static let wayWords = Array("mirrorcast way 1".utf8)
  private static let proofWords = Array("mirrorcast proof 1".utf8)
}

/// Seals one key on its way to one leg: made for that alone, so its nonce never changes.
struct WayKey: Sendable {
  fileprivate let key: SymmetricKey
  fileprivate let cipher: DatagramCipher
  /// By which the leg proves what it has: of 16 bytes, and no other leg's.
  let proofKey: [UInt8]

  private static var nonce: AES.GCM.Nonce? {
    try? AES.GCM.Nonce(data: [UInt8](repeating: 0, count: 12))
  }

  /// The key, and a tag of 16 bytes.
  func seal(_ epochKey: EpochKey) -> [UInt8] {
    guard let nonce = Self.nonce,
      let box = try? AES.GCM.seal(epochKey.bytes, using: key, nonce: nonce)
    else { preconditionFailure("a key of 32 bytes seals") }
    return Array(box.ciphertext) + Array(box.tag)
  }

  /// Nil where it was sealed by another key, or is of another length.
  func open(_ sealed: [UInt8]) -> EpochKey? {
    let count = cipher.keyByteCount
    guard sealed.count == count + 16, let nonce = Self.nonce,
      let box = try? AES.GCM.SealedBox(
        nonce: nonce, ciphertext: sealed.prefix(count), tag: sealed.suffix(16)),
      let bytes = try? AES.GCM.open(box, using: key)
    else { return nil }
    return EpochKey(cipher: cipher, bytes: Array(bytes))
  }
}

/// What a leg has of an epoch.
struct LegKeys: Sendable, Equatable {
  let epoch: EpochKey
  let proof: [UInt8]
}
