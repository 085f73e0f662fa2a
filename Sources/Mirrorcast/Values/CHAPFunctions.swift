import Crypto
import ISCSI

extension CHAPFunctions {
  /// The hashes of swift-crypto, and the system's random numbers.
  static let standard = CHAPFunctions(
    hash: { algorithm, bytes in
      switch algorithm {
      // RFC 7143 §12.1.3: every target has MD5; what CHAP needs of it isn't broken.
      case .md5: Array(Insecure.MD5.hash(data: bytes))
      case .sha256: Array(SHA256.hash(data: bytes))
      }
    },
    random: { count in
      var generator = SystemRandomNumberGenerator()
      return (0..<count).map { _ in generator.next() }
    })
}
