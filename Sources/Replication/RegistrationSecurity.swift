// What a registration says of keys. Both sides tell a fresh public value of X25519 (RFC 7748), the
// initiator in its request, the leg in its answer; then the initiator sends the epoch's key, sealed
// by what both have made of these. Here are the words; the arithmetic is the owner's.
package import ISCSI

extension RegistrationKey {
  package static let secure = prefix + "secure"
  package static let keyShare = prefix + "key_share"
  package static let sealedKey = prefix + "sealed_key"
}

/// How datagrams are protected.
package enum DatagramCipher: String, Sendable, CaseIterable {
  /// Data is encrypted, header and data are signed: AES-GCM (NIST SP 800-38D).
  case aes128GCM = "aes-128-gcm"
  case aes256GCM = "aes-256-gcm"
  /// Header and data are signed, and go as they are: GMAC, the same with nothing to encrypt.
  case aes128GMAC = "aes-128-gmac"
  case aes256GMAC = "aes-256-gmac"

  /// Bytes of a key.
  package var keyByteCount: Int {
    switch self {
    case .aes128GCM, .aes128GMAC: 16
    case .aes256GCM, .aes256GMAC: 32
    }
  }

  package var hidesData: Bool { self == .aes128GCM || self == .aes256GCM }
}

/// What an initiator wishes for a registration's datagrams.
package struct SecurityOffer: Sendable, Equatable {
  package var cipher: DatagramCipher
  /// The initiator's public value for this text alone, 32 bytes.
  package var share: [UInt8]

  package init(cipher: DatagramCipher, share: [UInt8]) {
    self.cipher = cipher
    self.share = share
  }

  func append(to keys: inout TextKeys) {
    keys.append(RegistrationKey.secure, cipher.rawValue)
    keys.append(RegistrationKey.keyShare, hexadecimal(share))
  }

  /// Nil where a text says nothing of keys.
  init?(_ keys: TextKeys) throws(RegistrationFault) {
    guard let name = keys.value(ignoringCase: RegistrationKey.secure) else {
      guard keys.value(ignoringCase: RegistrationKey.keyShare) == nil else {
        throw RegistrationFault(.badRequest, "\(RegistrationKey.secure) is missing")
      }
      return nil
    }
    guard let cipher = DatagramCipher(rawValue: name) else {
      let known = DatagramCipher.allCases.map(\.rawValue).joined(separator: ", ")
      throw RegistrationFault(.badRequest, "secure is one of \(known)")
    }
    self.cipher = cipher
    share = try binary(keys, RegistrationKey.keyShare, Self.shareByteCount...Self.shareByteCount)
  }

  package static let shareByteCount = 32
}

extension RegistrationRequest {
  /// What a datagram has beside its data.
  package var datagramOverhead: Int {
    security == nil ? Datagram.overheadByteCount : SealedTrailer.overheadByteCount
  }
}

/// The key of an epoch on its way to one leg.
package struct EpochKeyText: Sendable, Equatable {
  static let operation = "key"
  /// A key of 16 or 32 bytes, and a tag of 16.
  static let sealedByteCounts = 32...48

  package var registration: UInt32
  package var epoch: UInt16
  /// The key as only the leg can read it.
  package var sealed: [UInt8]

  package init(registration: UInt32, epoch: UInt16, sealed: [UInt8]) {
    self.registration = registration
    self.epoch = epoch
    self.sealed = sealed
  }

  package var keys: TextKeys {
    TextKeys([
      .init(RegistrationKey.operation, Self.operation),
      .init(RegistrationKey.registration, hexadecimal(registration)),
      .init(RegistrationKey.epoch, "\(epoch)"),
      .init(RegistrationKey.sealedKey, hexadecimal(sealed)),
    ])
  }

  init(_ keys: TextKeys) throws(RegistrationFault) {
    registration = try number(keys, RegistrationKey.registration, 1...UInt64(UInt32.max))
    epoch = try number(keys, RegistrationKey.epoch, 1...65535)
    sealed = try binary(keys, RegistrationKey.sealedKey, Self.sealedByteCounts)
  }

  /// What a leg answers that has it.
  package static let accepted = TextKeys([.init(RegistrationKey.result, "keyed")])

  /// Throws what a leg answers that has it not.
  package static func check(_ keys: TextKeys) throws(RegistrationFault) {
    let result = try required(keys, RegistrationKey.result)
    guard result != "keyed" else { return }
    throw RegistrationFault(result: result, keys)
  }
}

// MARK: Binary values

/// A binary value as RFC 7143 §6.1 writes it: 0x and two digits for each byte.
package func hexadecimal(_ bytes: [UInt8]) -> String {
  var text = "0x"
  for byte in bytes {
    text += byte < 16 ? "0" : ""
    text += String(byte, radix: 16)
  }
  return text
}

func binary(
  _ keys: TextKeys, _ key: String, _ counts: ClosedRange<Int>
) throws(RegistrationFault) -> [UInt8] {
  let digits = Array(try required(keys, key).utf8)
  var bytes: [UInt8] = []
  var isRight =
    digits.count % 2 == 0 && counts.contains(digits.count / 2 - 1) && digits[0] == 0x30
    && digits[1] | 0x20 == 0x78
  for index in stride(from: 2, to: isRight ? digits.count : 0, by: 2) {
    guard let upper = digitValue(digits[index]), let lower = digitValue(digits[index + 1]) else {
      isRight = false
      break
    }
    bytes.append(upper << 4 | lower)
  }
  guard isRight else {
    let lengths = counts.count == 1 ? "\(counts.lowerBound)" : "so many"
    throw RegistrationFault(.badRequest, "\(key) is 0x and the digits of \(lengths) bytes")
  }
  return bytes
}

private func digitValue(_ digit: UInt8) -> UInt8? {
  switch digit {
  case 0x30...0x39: digit - 0x30
  case 0x41...0x46: digit - 0x41 + 10
  case 0x61...0x66: digit - 0x61 + 10
  default: nil
  }
}
