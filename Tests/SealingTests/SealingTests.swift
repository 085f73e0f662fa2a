import Testing

@testable import Sealing

@Suite struct SealingTests {
  private let nonce = SealingNonce(upper: 0x0001_0000_0000_0007, lower: 9)

  struct Way: Sendable, CustomTestStringConvertible {
    let keyByteCount: Int
    let hidesData: Bool
    var testDescription: String { "\(keyByteCount * 8) bits, \(hidesData ? "GCM" : "GMAC")" }
  }

  static let ways = [
    Way(keyByteCount: 16, hidesData: true), Way(keyByteCount: 32, hidesData: true),
    Way(keyByteCount: 16, hidesData: false), Way(keyByteCount: 32, hidesData: false),
  ]

  private func key(_ way: Way, _ first: UInt8 = 1) -> SealingKey {
    SealingKey((0..<way.keyByteCount).map { UInt8($0) &+ first })
  }

  private func message(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) } + [UInt8](repeating: 0, count: 16)
  }

  @Test(arguments: Self.ways, [48, 49, 64, 1440, 9000])
  func `every flipped bit is seen`(way: Way, count: Int) {
    let key = key(way)
    let clear = way.hidesData ? 48 : count
    var sealed = message(count)
    #expect(key.seal(&sealed, clear: clear, nonce))
    #expect(way.hidesData && count > 64 ? sealed != message(count) : true)
    // All bits of short ones, some of each byte of long ones.
    for bit in stride(from: 0, to: sealed.count * 8, by: count > 100 ? 37 : 1) {
      var changed = sealed
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(!key.open(&changed, clear: clear, nonce), "bit \(bit)")
    }
    #expect(key.open(&sealed, clear: clear, nonce))
    #expect(sealed.prefix(count) == message(count).prefix(count))
  }

  @Test(arguments: Self.ways)
  func `another key, nonce or length is seen`(way: Way) {
    let clear = way.hidesData ? 48 : 200
    var sealed = message(200)
    #expect(key(way).seal(&sealed, clear: clear, nonce))
    func opens(_ key: SealingKey, _ nonce: SealingNonce, _ bytes: [UInt8], _ clear: Int) -> Bool {
      var bytes = bytes
      return key.open(&bytes, clear: clear, nonce)
    }
    #expect(opens(key(way), nonce, sealed, clear))
    #expect(!opens(key(way, 2), nonce, sealed, clear))
    var other = nonce
    other.lower += 1
    #expect(!opens(key(way), other, sealed, clear))
    other = nonce
    other.upper ^= 1 << 63
    #expect(!opens(key(way), other, sealed, clear))
    for count in 0..<sealed.count {
      #expect(!opens(key(way), nonce, Array(sealed.prefix(count)), min(clear, count)))
    }
    #expect(!opens(key(way), nonce, sealed + [0], clear))
    #expect(!opens(key(way), nonce, Array(sealed.dropFirst()), clear))
  }

  @Test func `what is too short for a tag is no message`() {
    let key = key(Self.ways[0])
    for count in 0..<16 {
      var bytes = [UInt8](repeating: 0, count: count)
      #expect(!key.open(&bytes, clear: 0, nonce))
    }
    var bytes = [UInt8](repeating: 0, count: 40)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    for (hidden, tag) in [(0..<24, 25), (0..<25, 24), (8..<32, 24), (0..<0, -1), (0..<41, 41)] {
      #expect(!key.open(&raw, hidden: hidden, tagOffset: tag, nonce: nonce))
    }
  }

  @Test func `one key serves many threads`() async {
    let key = key(Self.ways[1])
    await withTaskGroup(of: Bool.self) { group in
      for task in 0..<8 {
        group.addTask {
          var isRight = true
          for round in 0..<500 {
            let nonce = SealingNonce(upper: UInt64(task), lower: UInt32(round))
            var bytes = message(1440)
            isRight = isRight && key.seal(&bytes, clear: 48, nonce)
            isRight = isRight && key.open(&bytes, clear: 48, nonce)
            isRight = isRight && bytes.prefix(1440) == message(1440).prefix(1440)
          }
          return isRight
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }
}
