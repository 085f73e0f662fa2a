import Testing

@testable import Datagrams

@Suite struct FaultTests {
  /// Sends numbers through a passage and gives what comes out, in order.
  func through(
    _ count: UInt32, drop: Double = 0, duplicate: Double = 0, reorder: Double = 0,
    seed: UInt64 = 1
  ) throws -> (out: [UInt32], counts: FaultCounts) {
    let injector = try #require(
      FaultInjector(drop: drop, duplicate: duplicate, reorder: reorder, seed: seed))
    var passage = FaultyPassage(injector, datagramMax: 16)
    var out: [UInt32] = []
    let peer = try Endpoint("127.0.0.1:5000")
    for number in 0..<count {
      withUnsafeBytes(of: number) { bytes in
        passage.admit(bytes, peer: peer)
        while let datagram = passage.next() {
          #expect(datagram.peer == peer)
          out.append(datagram.bytes.loadUnaligned(as: UInt32.self))
        }
      }
    }
    passage.releaseAll()
    while let datagram = passage.next() {
      out.append(datagram.bytes.loadUnaligned(as: UInt32.self))
    }
    let stillHeld = passage.heldCount
    #expect(stillHeld == 0)
    return (out, passage.counts)
  }

  @Test func `one seed is one run, another seed another`() throws {
    let first = try through(5000, drop: 0.1, duplicate: 0.1, reorder: 0.1, seed: 42)
    let again = try through(5000, drop: 0.1, duplicate: 0.1, reorder: 0.1, seed: 42)
    let other = try through(5000, drop: 0.1, duplicate: 0.1, reorder: 0.1, seed: 43)
    #expect(first.out == again.out)
    #expect(first.counts == again.counts)
    #expect(first.out != other.out)
  }

  @Test func `faults come as often as was asked`() throws {
    let (out, counts) = try through(100_000, drop: 0.05, duplicate: 0.02, reorder: 0.1, seed: 7)
    #expect((4_700...5_300).contains(counts.dropped))
    #expect((1_800...2_200).contains(counts.duplicated))
    #expect((9_500...10_500).contains(counts.held + counts.notHeld))
    #expect(out.count == 100_000 - counts.dropped + counts.duplicated)
    #expect(counts.passed == out.count)
  }

  @Test func `without faults all passes in order; with all dropped nothing does`() throws {
    #expect(try through(1000).out == Array(0..<1000))
    #expect(try through(1000, drop: 1).out.isEmpty)
    #expect(try through(3, duplicate: 1).out == [0, 0, 1, 1, 2, 2])
  }

  @Test func `reordering loses nothing and holds back by eight at most`() throws {
    let (out, counts) = try through(20_000, reorder: 0.3, seed: 9)
    #expect(out.sorted() == Array(0..<20_000))
    #expect(out != out.sorted())
    #expect(counts.held > 5_000)
    for (place, number) in out.enumerated() {
      // Eight may overtake it, and it the held ones before it.
      #expect(abs(place - Int(number)) <= FaultInjector.holdMax + FaultyPassage.slotCount)
    }
  }

  @Test func `a datagram that fits no slot passes at once`() throws {
    let injector = try #require(FaultInjector(drop: 0, duplicate: 0, reorder: 1, seed: 1))
    var passage = FaultyPassage(injector, datagramMax: 16)
    let peer = try Endpoint("127.0.0.1:5000")
    [UInt8](repeating: 3, count: 17).withUnsafeBytes { bytes in
      passage.admit(bytes, peer: peer)
      let first = passage.next()?.bytes.count
      let second = passage.next()?.bytes.count
      #expect(first == 17 && second == nil)
    }
    let counts = passage.counts
    #expect(counts.notHeld == 1)
  }

  @Test func `probabilities that are none are refused`() {
    for (drop, duplicate, reorder) in [
      (-0.1, 0, 0), (1.1, 0, 0), (0.5, 0.4, 0.2), (.nan, 0, 0), (0, .infinity, 0),
    ] {
      #expect(
        FaultInjector(drop: drop, duplicate: duplicate, reorder: reorder, seed: 0) == nil)
    }
  }
}
