import Replication

/// How a mirror's datagrams are protected: by a key for each registration and epoch, which each leg
/// gets on its own connection.
public enum MirrorSecurity: String, Sendable, CaseIterable {
  /// Data is encrypted, header and data are signed: AES-GCM (NIST SP 800-38D), a key of 128 bits.
  case aes128GCM = "aes-128-gcm"
  /// The same with a key of 256 bits.
  case aes256GCM = "aes-256-gcm"
  /// Header and data are signed, and can be read by anybody: for those who only fear writers.
  case authenticate

  init?(_ cipher: DatagramCipher) {
    guard let security = Self.allCases.first(where: { $0.cipher == cipher }) else { return nil }
    self = security
  }

  var cipher: DatagramCipher {
    switch self {
    case .aes128GCM: .aes128GCM
    case .aes256GCM: .aes256GCM
    case .authenticate: .aes128GMAC
    }
  }
}
