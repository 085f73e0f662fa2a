import Bytes
import ISCSI
import Replication
import Testing

@testable import Mirrorcast

/// What an initiator seals and a leg opens.
@Suite struct SealedDatagramTests {
  private static let registration: UInt32 = 0x0102_0304

  private func clear(
    epoch: UInt16 = 0x0506, sequence: UInt32 = 9, count: Int = 101,
    registration: UInt32 = registration
  ) -> [UInt8] {
    var header = BasicHeaderSegment(opcode: .dataOut)
    header.initiatorTaskTag = Datagram.taskTag(of: SerialNumber(7))
    header.word28 = 7
    header.dataSegmentLength = count
    let data = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    var bytes = [UInt8](repeating: 0, count: (count + 3) & ~3 + SealedTrailer.overheadByteCount)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    _ = DatagramTrailer(registration: registration, epoch: epoch, flags: [], sequence: sequence)
      .assemble(header: header, data: data.span.bytes, into: &raw)
    return bytes
  }

  private func seal(_ bytes: [UInt8], by bench: inout SealingBench) -> [UInt8]? {
    var bytes = bytes
    let clearCount = bytes.count - SealedTrailer.tagByteCount
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    let count = bench.seal(&raw, byteCount: clearCount)
    return count.map { Array(bytes.prefix($0)) }
  }

  private func fault(_ bytes: [UInt8], at bench: inout OpeningBench) -> DatagramFault? {
    var bytes = bytes
    do throws(DatagramFault) {
      _ = try open(&bytes, at: &bench)
      return nil
    } catch {
      return error
    }
  }

  private func open(
    _ bytes: inout [UInt8], at bench: inout OpeningBench
  ) throws(DatagramFault) -> Datagram {
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try bench.open(&raw)
    let end = bytes.count - SealedTrailer.tagByteCount
    return try Datagram(bytes.span.bytes.extracting(0..<end), isOpened: true)
  }

  private func benches(
    _ cipher: DatagramCipher = .aes128GCM, epoch: UInt16 = 0x0506
  ) -> (SealingBench, OpeningBench) {
    let key = EpochKey(cipher)
    var (sealing, opening) = (SealingBench(), OpeningBench())
    sealing.install(key, epoch: epoch)
    _ = opening.install(key, epoch: epoch)
    return (sealing, opening)
  }

  /// Made by another library than the one under test.
  static let vectors: [(cipher: DatagramCipher, hidden: String, tag: String)] = [
    (
      .aes128GCM,
      """
      2e930b632b906d46c0f81a3470ed2dbc9705dcd6e76d8cccfff764dea6e725b5\
      8f84779a3815105d5865a5aafd703688f7efeaf7ddf7c8fb37d919c85a993e38a46249c78da2216d\
      97920c995f9de6fd73959c151610469bf06a5a5550eb60780045af18b37d144e
      """, "f0b1a9d42d8ebdb67ac9499156826c5b"
    ),
    (
      .aes256GCM,
      """
      85f7e3c4ee8a05ee95c614dd746f87c631270dcfa930ec683a7804377728ac7f\
      cbd1219d17578bc616c65619d9e6f4352d8fde40b99be531c3229e22248455687c60a515d50ef561\
      a2d9244ef99dd4f75990c05a092318613a268a3d911af6c1a0561926ded4dc8e
      """, "39160e2db547c8063d892a9d06bf3f62"
    ),
    (
      .aes128GMAC,
      """
      000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\
      202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f4041424344454647\
      48494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f6061626364000000
      """, "e321608b02c673715995cafb8512aae2"
    ),
  ]

  @Test(arguments: vectors.indices) func `a whole datagram is as it is documented`(
    index: Int
  ) throws {
    let vector = Self.vectors[index]
    var bytes = hex(
      """
      058000000000006500ff00000000000080000007ffffffff00000000000000070000000000000002\
      00000ae000000000\(vector.hidden)0102030405060028\
      0708090a0b0c0d0e\(vector.tag)
      """)
    let key = Array(0..<UInt8(vector.cipher.keyByteCount))
    var bench = OpeningBench()
    _ = bench.install(EpochKey(cipher: vector.cipher, bytes: key), epoch: 0x0506)
    let datagram = try open(&bytes, at: &bench)
    #expect(datagram.kind == .data && datagram.dataLength == 101)
    #expect(datagram.registration == 0x0102_0304 && datagram.sequence == 0x0708_090a)
    #expect(bytes[48..<149] == Array(0...100)[...])
  }

  @Test(arguments: DatagramCipher.allCases)
  func `what was sealed is opened once, in any order`(cipher: DatagramCipher) throws {
    var (sealing, opening) = benches(cipher)
    let sent = try (1...200).map { try #require(seal(clear(sequence: UInt32($0)), by: &sealing)) }
    for index in sent.indices.reversed() {
      #expect((sent[index][48..<149] == clear()[48..<149]) == !cipher.hidesData)
      var bytes = sent[index]
      #expect(try open(&bytes, at: &opening).sequence == UInt32(index + 1))
      #expect(bytes[48..<149] == clear()[48..<149])
      #expect(fault(sent[index], at: &opening) == .replay)
    }
  }

  @Test(arguments: DatagramCipher.allCases)
  func `a flipped bit is seen, wherever it is, and changes nothing`(
    cipher: DatagramCipher
  ) throws {
    var (sealing, opening) = benches(cipher)
    let sealed = try #require(seal(clear(), by: &sealing))
    // The registration chooses the key, so it is looked at before, and is no part of this.
    let registration = (sealed.count - 32) * 8..<(sealed.count - 28) * 8
    for bit in 0..<sealed.count * 8 where !registration.contains(bit) {
      var changed = sealed
      changed[bit / 8] ^= 0x80 >> UInt8(bit % 8)
      let found = fault(changed, at: &opening)
      #expect(found != nil, "bit \(bit)")
    }
    #expect(fault(sealed, at: &opening) == nil)
  }

  @Test func `what is cut, made longer, or not sealed is refused`() throws {
    var (sealing, opening) = benches()
    let sealed = try #require(seal(clear(), by: &sealing))
    for count in 0..<sealed.count {
      #expect(fault(Array(sealed.prefix(count)), at: &opening) != nil, "\(count)")
    }
    #expect(fault(sealed + [0], at: &opening) != nil)
    #expect(fault(Array(clear().dropLast(16)), at: &opening) != nil)
    #expect(fault(sealed, at: &opening) == nil)
  }

  @Test func `each epoch has its own key, and old ones go`() throws {
    var (sealing, opening) = benches(epoch: 1)
    let old = try #require(seal(clear(epoch: 1), by: &sealing))
    let second = EpochKey(.aes128GCM)
    sealing.install(second, epoch: 2)
    let new = try #require(seal(clear(epoch: 2), by: &sealing))
    #expect(fault(new, at: &opening) == .key)
    let isTaken = opening.install(second, epoch: 2)
    let isTakenAgain = opening.install(second, epoch: 2)
    #expect(isTaken && !isTakenAgain)
    // Its trailer says another epoch: then it was not sealed by that one's key.
    for (bytes, epoch) in [(old, UInt8(2)), (new, 1)] {
      var changed = bytes
      changed[changed.count - 27] = epoch
      #expect(fault(changed, at: &opening) == .tag)
    }
    #expect(fault(new, at: &opening) == nil && fault(old, at: &opening) == nil)
    opening.forget { $0 == 1 }
    #expect(fault(old, at: &opening) == .key)
    // Who seals in an epoch without a key sends nothing.
    #expect(seal(clear(epoch: 3), by: &sealing) == nil)
    for epoch: UInt16 in 3...40 { sealing.install(EpochKey(.aes128GCM), epoch: epoch) }
    #expect(seal(clear(epoch: 1), by: &sealing) == nil)
    #expect(seal(clear(epoch: 40), by: &sealing) != nil)
  }

  @Test func `another leg of the same daemon takes what was opened, by the same key, once`() throws
  {
    let key = EpochKey(.aes128GCM)
    var (sealing, first, twin, stranger) = (
      SealingBench(), OpeningBench(), OpeningBench(), OpeningBench()
    )
    sealing.install(key, epoch: 1)
    _ = first.install(key, epoch: 1)
    _ = twin.install(key, epoch: 1)
    _ = stranger.install(EpochKey(.aes128GCM), epoch: 1)
    let sealed = try #require(seal(clear(epoch: 1), by: &sealing))
    #expect(fault(sealed, at: &first) == nil)
    try twin.admit(sealed.span.bytes, openedBy: first)
    #expect(throws: DatagramFault.replay) { try twin.admit(sealed.span.bytes, openedBy: first) }
    #expect(throws: DatagramFault.key) { try stranger.admit(sealed.span.bytes, openedBy: first) }
  }

  @Test func `random bytes are never opened`() {
    var (_, opening) = benches()
    var random = Seeded(5)
    for _ in 0..<3000 {
      let bytes = random.bytes(Int.random(in: 0...400, using: &random))
      #expect(fault(bytes, at: &opening) != nil)
    }
  }
}
