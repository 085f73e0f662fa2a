import Bytes
import Testing

@testable import Datagrams

@Suite struct LentMessageTests {
  private func message(
    _ memory: UnsafeRawPointer, slot: Int, length: Int, from source: Endpoint
  ) -> LentMessage {
    LentMessage(
      start: memory + slot * 64 + 40, each: length, stride: 64, source: source)
  }

  @Test
  func `neighbours of one length and source are one message, with what lies between left out`()
    throws
  {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 64 * 8, alignment: 64)
    defer { memory.deallocate() }
    for index in 0..<64 * 8 {
      memory.storeBytes(of: UInt8(index / 64), toByteOffset: index, as: UInt8.self)
    }
    let bytes = UnsafeRawPointer(memory)
    let one = Endpoint(mappedV4: 1, queuePair: 17)
    let other = Endpoint(mappedV4: 1, queuePair: 18)
    var batch = ArrivalBatch(capacity: 1, slotByteCount: 64)
    batch.beginLending()
    for (slot, length, source) in [
      (0, 24, one), (1, 24, one), (2, 24, one), (3, 8, one), (4, 8, other), (6, 8, other),
      (0, 8, other),
    ] {
      batch.lend(message(bytes, slot: slot, length: length, from: source))
    }
    #expect(batch.count == 5)
    #expect((0..<batch.count).map { batch.datagramCount($0) } == [3, 1, 1, 1, 1])
    #expect(batch.source(0) == one && batch.source(2) == other)
    let first = batch.datagrams(0)
    for piece in 0..<3 {
      #expect(first[piece].count == 24)
      #expect(first[piece].allSatisfy { $0 == UInt8(piece) })
    }
    #expect(batch.datagrams(2)[0].allSatisfy { $0 == 4 })
    #expect(first.cutCount == 0)
  }

  @Test func `a batch that was lent is empty when lending begins anew`() {
    var batch = ArrivalBatch(capacity: 1, slotByteCount: 64)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
    defer { memory.deallocate() }
    batch.beginLending()
    batch.lend(
      message(UnsafeRawPointer(memory), slot: 0, length: 0, from: Endpoint(any: .v6)))
    batch.noteMore()
    #expect(batch.count == 1 && batch.mayHaveMore)
    batch.beginLending()
    #expect(batch.count == 0 && !batch.mayHaveMore)
  }
}

@Suite struct QueuePairAddressTests {
  @Test func `an IPv4 address has the GID that RoCE v2 gives it`() throws {
    let address = try Endpoint("10.78.0.2:5000")
    let gid = Endpoint(gid: address.gid, queuePair: 17)
    #expect(gid.addressText == "::ffff:10.78.0.2")
    #expect(try Endpoint("[::ffff:10.78.0.2]:0").gid == address.gid)
    #expect(Endpoint(mappedV4: UInt32(bigEndian: 0x0a4e_0002), queuePair: 17) == gid)
  }

  @Test func `queue pairs of one address are told apart, and of one number too`() throws {
    let here = try Endpoint("10.78.0.2:0").gid
    let there = try Endpoint("10.78.0.3:0").gid
    let pair = Endpoint(gid: here, queuePair: 17)
    #expect(pair.matches(Endpoint(gid: here, queuePair: 17)))
    #expect(!pair.matches(Endpoint(gid: here, queuePair: 18)))
    #expect(!pair.matches(Endpoint(gid: there, queuePair: 17)))
  }

  @Test(arguments: [(4096, 4032), (1024, 960), (256, 192), (64, nil), (9216, 8928)])
  func `a block is what the MTU leaves`(mtu: Int, block: Int?) {
    #expect(DatagramArithmetic.blockLength(activeMTU: mtu) == block)
  }
}
