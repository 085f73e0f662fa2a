import Bytes
import ISCSI
import Testing

@testable import Replication

/// Blocks taken by runs leave the machine as blocks taken one by one do.
@Suite struct DatagramRunTests {
  /// A receiver and what its writes' data is put into.
  private struct Leg {
    var receiver: Receiver
    var memory = [UInt8](repeating: 0, count: 1024 * 512)
    var buffers: [[UInt8]]
    var faults: [DatagramFault] = []
    var taken = 0

    init(_ receiver: Receiver) {
      self.receiver = receiver
      buffers = Array(
        repeating: [UInt8](repeating: 0, count: receiver.configuration.writeLengthMax),
        count: receiver.configuration.openWritesMax)
    }

    mutating func put(_ data: ArraySlice<UInt8>, _ placement: Placement, behind: Int = 0) {
      switch placement {
      case .nowhere: return
      case .store(let slot, let offset, let length):
        let range = offset + behind..<offset + behind + length
        buffers[slot].replaceSubrange(range, with: data.prefix(length))
      case .medium(_, let offset, let length):
        let range = Int(offset) + behind..<Int(offset) + behind + length
        memory.replaceSubrange(range, with: data.prefix(length))
      }
    }

    /// One datagram; what may follow it.
    mutating func take(_ bytes: [UInt8], now: UInt64) -> DatagramRun? {
      do {
        let datagram = try Datagram(bytes.span.bytes)
        let placement = receiver.handleDatagram(datagram, now: now)
        put(bytes[48...], placement)
        switch placement {
        case .nowhere: break
        case .store(let slot, _, _), .medium(let slot, _, _): receiver.settle(slot)
        }
        return receiver.run(behind: datagram, placement)
      } catch {
        faults.append(error)
        return nil
      }
    }

    /// What stands where a block is missing is nobody's business.
    mutating func clearMissing() {
      for (slot, write) in receiver.writes.enumerated() {
        guard write.phase != .idle else {
          buffers[slot] = []
          continue
        }
        for block in 0..<write.missing.blockCount where write.missing.isMissing(block) {
          for at in block * 64..<block * 64 + 64 {
            buffers[slot][at] = 0
            if write.isDirect { memory[Int(write.byteOffset) + at] = 0 }
          }
        }
      }
    }

    /// A message, as the shells take it.
    mutating func take(train: [[UInt8]], now: UInt64) {
      var piece = 0
      while piece < train.count {
        guard var run = take(train[piece], now: now) else {
          piece += 1
          continue
        }
        piece += 1
        var copy = [UInt8](repeating: 0, count: run.byteCountMax)
        while piece < train.count {
          let bytes = train[piece]
          guard run.foresees(bytes.span.bytes) else { break }
          piece += 1
          let before = run.count
          var span = copy.mutableSpan
          var place = span.mutableBytes
          let isTaken = run.take(bytes.span.bytes, into: &place, isPastCache: before % 2 == 0)
          put(copy[(before * 64)...], run.placement, behind: before * 64)
          guard isTaken else {
            faults.append(.digest)
            break
          }
          taken += 1
        }
        receiver.handleRun(run, now: now)
      }
    }
  }

  private func receiver(_ isDirect: Bool) -> Receiver {
    var bench = DatagramWorkbench()
    bench.blockLength = 64
    var configuration = bench.receiver().configuration
    configuration.blockLength = 64
    configuration.writeLengthMax = 16 * 512
    configuration.placesDirectly = isDirect
    return Receiver(configuration)
  }

  /// The datagrams of some writes of 128 blocks in order, then spoilt here and there.
  private func trains(_ random: inout SeededRandom, isSolicited: Bool) -> [[[UInt8]]] {
    var bench = DatagramWorkbench()
    bench.blockLength = 64
    bench.sequence = UInt32(random.below(2)) * 0xffff_ffc0
    var all: [[UInt8]] = []
    let unsummed: Datagram.Flags = random.below(3) == 0 ? .dataNotDigested : []
    for number: UInt32 in 0..<3 {
      for block in isSolicited ? -1..<128 : 0..<128 {
        if bench.sequence != 0 || block > 2 { bench.sequence &+= 1 }
        let data = random.bytes(64)
        if block == (isSolicited ? -1 : 0) {
          all.append(
            bench.command(
              number, address: UInt64(number) * 100, blocks: 16, immediate: isSolicited ? [] : data
            ) { if !isSolicited { $0.flags = 0x21 } })
        } else {
          all.append(
            bench.data(number, block: block, of: 128, bytes: data, flags: unsummed) {
              if !isSolicited { $0.word20 = 0xffff_ffff }
            })
        }
      }
    }
    for _ in 0..<random.below(40) {
      let index = Int(random.below(UInt64(all.count)))
      switch random.below(5) {
      case 0: all.remove(at: index)
      case 1: all[index][Int(random.below(UInt64(all[index].count)))] ^= 1 << UInt8(random.below(8))
      case 2: all.insert(all[index], at: Int(random.below(UInt64(all.count))))
      case 3: all.swapAt(index, Int(random.below(UInt64(all.count))))
      default: all.append(all[index])
      }
    }
    var trains: [[[UInt8]]] = []
    while !all.isEmpty {
      let count = min(1 + Int(random.below(64)), all.count)
      trains.append(Array(all.prefix(count)))
      all.removeFirst(count)
    }
    return trains
  }

  @Test(arguments: [true, false], [true, false])
  func `a run is what its datagrams are one by one`(isDirect: Bool, isSolicited: Bool) {
    var taken = 0
    for seed: UInt64 in 0..<40 {
      var random = SeededRandom(seed)
      var (singly, byRuns) = (Leg(receiver(isDirect)), Leg(receiver(isDirect)))
      for (index, train) in trains(&random, isSolicited: isSolicited).enumerated() {
        let now = UInt64(index) * 100_000
        for datagram in train { _ = singly.take(datagram, now: now) }
        byRuns.take(train: train, now: now)
        #expect(singly.faults == byRuns.faults, "seed \(seed)")
        let isSame = String(describing: singly.receiver) == String(describing: byRuns.receiver)
        #expect(isSame, "seed \(seed), train \(index)")
        guard isSame else { return }
        singly.receiver.handleTimeout(now: now + 50_000)
        byRuns.receiver.handleTimeout(now: now + 50_000)
      }
      singly.clearMissing()
      byRuns.clearMissing()
      #expect(singly.buffers == byRuns.buffers, "seed \(seed)")
      #expect(singly.memory == byRuns.memory, "seed \(seed)")
      taken += byRuns.taken
    }
    #expect(taken > 5_000, "\(taken) blocks went by runs")
  }

  @Test func `runs of missing blocks`() {
    var bitmap = BlockBitmap(capacity: 300)
    bitmap.restart(blockCount: 300)
    #expect(bitmap.missingRun(from: 0, most: 64) == 64)
    #expect(bitmap.missingRun(from: 5, most: 1000) == 295)
    bitmap.markPresent(60..<193)
    #expect(bitmap.missingCount == 167 && bitmap.firstMissing(from: 60) == 193)
    #expect(bitmap.missingRun(from: 0, most: 64) == 60)
    #expect(bitmap.missingRun(from: 59, most: 64) == 1)
    #expect(bitmap.missingRun(from: 60, most: 64) == 0)
    #expect(bitmap.missingRun(from: 193, most: 64) == 64)
    #expect(bitmap.missingRun(from: 299, most: 64) == 1)
    #expect(bitmap.missingRun(from: 300, most: 64) == 0)
    for start in 0..<300 {
      for most in [1, 3, 64, 200] {
        var count = 0
        while count < most, start + count < 300, bitmap.isMissing(start + count) { count += 1 }
        #expect(bitmap.missingRun(from: start, most: most) == count)
      }
    }
  }
}
