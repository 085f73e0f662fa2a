import Replication

/// The key by which one registration seals its datagrams in one epoch.
struct EpochKey: Sendable, Equatable {
  let cipher: DatagramCipher
  let bytes: [UInt8]

  /// A fresh one, from the system's random numbers.
  init(_ cipher: DatagramCipher) {
    self.cipher = cipher
    var generator = SystemRandomNumberGenerator()
    bytes = (0..<cipher.keyByteCount).map { _ in generator.next() }
  }

  /// As it came; of the length that the cipher wants.
  init(cipher: DatagramCipher, bytes: [UInt8]) {
    precondition(bytes.count == cipher.keyByteCount, "a key of another length")
    self.cipher = cipher
    self.bytes = bytes
  }
}
