import Lanes
import Replication
import Sealing

extension Doctor {
  /// What `--secure` costs on one core. Each datagram is sealed once, by the initiator, and opened
  /// by each leg, which takes as long.
  static var sealing: [DoctorLine] {
    [("AES-128-GCM", 16), ("AES-256-GCM", 32)].map { name, keyByteCount in
      line(
        name, isInHardware: SealingKey.isInHardware,
        bytesPerSecond: sealedBytesPerSecond(keyByteCount: keyByteCount))
    }
  }

  static func line(
    _ subject: String, isInHardware: Bool, bytesPerSecond: Double
  ) -> DoctorLine {
    let pace = "seals \(Int(bytesPerSecond / 1_000_000)) MB/s on one core"
    return DoctorLine(
      subject: subject, finding: "\(isInHardware ? "in" : "not in") hardware, \(pace)",
      isGood: isInHardware,
      advice: isInHardware
        ? nil
        : """
        a virtual machine may be kept from its processor's: `-cpu host` in QEMU; else a lane \
        with --secure is no faster than that, and several --lane are
        """, bytesPerSecond: bytesPerSecond)
  }

  /// The best of some tries of a few milliseconds, since others may have the core meanwhile.
  private static func sealedBytesPerSecond(keyByteCount: Int) -> Double {
    let key = SealingKey([UInt8](repeating: 7, count: keyByteCount))
    let length = Datagram.overheadByteCount + 1392
    var datagram = [UInt8](repeating: 0, count: length + SealedTrailer.tagByteCount)
    let hidden = SealedTrailer.hidden(length, hidesData: true)
    let (tries, rounds) = (8, 1000)
    var counter: UInt32 = 0
    var best = UInt64.max
    for _ in 0..<tries {
      let began = MonotonicClock.now()
      for _ in 0..<rounds {
        counter += 1
        var span = datagram.mutableSpan
        // Safe: any bytes are a datagram's, and bytes of an array they stay.
        var bytes = unsafe span.mutableBytes
        let isSealed = key.seal(
          &bytes, hidden: hidden, tagOffset: length,
          nonce: SealingNonce(upper: 0, lower: counter))
        precondition(isSealed, "a datagram of that length is sealed")
      }
      best = min(best, MonotonicClock.now() - began)
    }
    return Double(rounds * length) * 1e9 / Double(max(best, 1))
  }
}
