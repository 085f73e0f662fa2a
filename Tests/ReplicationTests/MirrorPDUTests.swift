import Bytes
import ISCSI
import Testing

@testable import Replication

/// The mirror's PDUs on a connection, and the bitmaps and lists in them.
@Suite struct MirrorPDUTests {
  @Test func `requests stand on the wire as documented`() throws {
    for kind: MirrorRequest.Kind in [.carried, .sync, .fence] {
      let request = MirrorRequest(
        kind, registration: 0x0102_0304, epoch: 0x0506, writeNumber: SerialNumber(0x0708_090a),
        lowestOpen: SerialNumber(0x0b0c_0d0e))
      let bytes = request.header.array
      #expect(bytes[0] == 0x5c && bytes[1] == 0x80 | kind.rawValue)
      #expect(Array(bytes[16..<24]) == [0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4])
      #expect(Array(bytes[32..<44]) == [5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 13, 14])
      let read = try MirrorRequest(request.header)
      #expect(read.kind == kind && read.registration == request.registration)
      #expect(read.epoch == 0x0506 && read.writeNumber == request.writeNumber)
      #expect(read.lowestOpen == request.lowestOpen)
    }
  }

  @Test func `answers stand on the wire as documented`() throws {
    for kind: MirrorAnswer.Kind in [.report, .fenced, .probeSeen, .deaf] {
      var answer = MirrorAnswer(
        kind, registration: 0x0102_0304, epoch: 0x0506, writeNumber: SerialNumber(0x0708_090a))
      answer.isCommandMissing = true
      answer.socketDrops = 0x2122_2324
      let isReport = kind == .report
      if isReport {
        answer.heard = HeardStreams(
          group: Heard(0x3132_3334, silence: 0x41), own: Heard(0x1112_1314, silence: 0x51))
      }
      if kind == .probeSeen { answer.probeByteCount = 0x1112_1314 }
      let bytes = answer.header.array
      #expect(bytes[0] == 0x3c && bytes[1] == 0x80 | kind.rawValue)
      let group: [UInt8] = isReport ? [0x31, 0x32, 0x33, 0x34] : [0, 0, 0, 0]
      #expect(Array(bytes[8..<16]) == group + [0x21, 0x22, 0x23, 0x24])
      #expect(Array(bytes[36..<44]) == [7, 8, 9, 10, 5, 6, 0, 1])
      #expect(Array(bytes[2..<4]) == (isReport ? [0x41, 0x51] : [0, 0]))
      let hasLast = kind == .report || kind == .probeSeen
      let last: [UInt8] = hasLast ? [0x11, 0x12, 0x13, 0x14] : [0, 0, 0, 0]
      #expect(Array(bytes[44..<48]) == last)
      let read = try MirrorAnswer(answer.header)
      #expect(read.kind == kind && read.heard == answer.heard && read.isCommandMissing)
      #expect(read.probeByteCount == answer.probeByteCount && read.epoch == 0x0506)
      #expect(read.socketDrops == answer.socketDrops)
      #expect(read.writeNumber == answer.writeNumber)
    }
  }

  @Test func `unknown kinds are refused`() {
    for flags in UInt8.min...UInt8.max where !(0x80...0x83).contains(flags) {
      let request = BasicHeaderSegment(opcode: .mirrorRequest, flags: flags)
      #expect(throws: MirrorPDUFault.self) { try MirrorRequest(request) }
      // Answers have one kind more.
      guard flags != 0x84 else { continue }
      #expect(throws: MirrorPDUFault.self) {
        _ = try MirrorAnswer(BasicHeaderSegment(opcode: .mirrorAnswer, flags: flags))
      }
    }
  }

  @Test func `a sync's list is whole numbers and no more than may be open`() throws {
    func numbers(_ bytes: [UInt8]) throws(MirrorPDUFault) -> [UInt32] {
      try MirrorRequest.openWrites(bytes.span.bytes).map(\.rawValue)
    }
    #expect(try numbers([]) == [])
    #expect(try numbers([0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe]) == [1, 0xffff_fffe])
    #expect(try numbers([UInt8](repeating: 0, count: 256)).count == 64)
    for count in [1, 2, 3, 5, 260, 65_536] {
      #expect(throws: MirrorPDUFault.self) {
        _ = try numbers([UInt8](repeating: 0, count: count))
      }
    }
  }

  @Test func `statuses are read back, padded by every length of sense`() throws {
    let statuses = (0..<16).map {
      UnitStatus(
        lun: UInt64($0) << 48, status: UInt8($0),
        sense: (0..<$0).map { UInt8($0) })
    }
    let bytes = UnitStatus.serialize(statuses)
    #expect(bytes.count % 4 == 0)
    #expect(try UnitStatus.parse(bytes.span.bytes) == statuses)
    #expect(try UnitStatus.parse([UInt8]().span.bytes) == [])
  }

  @Test func `statuses cut anywhere, too many or too long are refused`() {
    let two = [
      UnitStatus(lun: 1, status: 2, sense: [1, 2, 3, 4, 5]), UnitStatus(lun: 2, status: 0),
    ]
    let bytes = UnitStatus.serialize(two)
    for count in 1..<bytes.count where count != 20 {
      let cut = Array(bytes[..<count])
      #expect(throws: MirrorPDUFault.self) { _ = try UnitStatus.parse(cut.span.bytes) }
    }
    var long = bytes
    long[10] = 0xff
    long[11] = 0xff
    #expect(throws: MirrorPDUFault.self) { _ = try UnitStatus.parse(long.span.bytes) }
    let many = UnitStatus.serialize((0..<17).map { UnitStatus(lun: $0, status: 0) })
    #expect(throws: MirrorPDUFault.self) { _ = try UnitStatus.parse(many.span.bytes) }
  }

  @Test(arguments: [1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1000])
  func `bitmaps are what a set of numbers says`(count: Int) {
    var random = SeededRandom(UInt64(count))
    var bitmap = BlockBitmap(capacity: 1024)
    bitmap.restart(blockCount: count)
    var model = Set(0..<count)
    #expect(bitmap.missingCount == count && bitmap.firstMissing() == 0)
    for _ in 0..<count {
      let block = Int(random.below(UInt64(count)))
      if random.chance(0.7) {
        let wasMissing = bitmap.markPresent(block)
        #expect(wasMissing == (model.remove(block) != nil))
      } else {
        bitmap.markMissing(block)
        model.insert(block)
      }
    }
    #expect(bitmap.missingCount == model.count)
    #expect(bitmap.firstMissing() == model.min() && bitmap.lastMissing == model.max())
    for start in 0...count {
      #expect(bitmap.firstMissing(from: start) == model.filter { $0 >= start }.min())
    }
    let wire = bitmap.serialize()
    #expect(wire.count == (count + 7) / 8)
    for block in 0..<count {
      #expect(wire[block / 8] >> (7 - UInt8(block % 8)) & 1 == (model.contains(block) ? 1 : 0))
    }
    let read = BlockBitmap(wire.span.bytes, blockCount: count)
    #expect(read?.missingCount == model.count && read?.serialize() == wire)
    // Used again for a shorter write nothing of the longer one stays.
    bitmap.restart(blockCount: 3, allMissing: false)
    #expect(bitmap.missingCount == 0 && bitmap.lastMissing == nil)
  }

  @Test func `bitmaps of a wrong length, or that name blocks the write hasn't, are refused`() {
    for count in [1, 5, 8, 12, 64, 65] {
      let right = (count + 7) / 8
      for length in [0, right - 1, right + 1, right + 8] where length != right {
        let bytes = [UInt8](repeating: 0, count: length)
        #expect(BlockBitmap(bytes.span.bytes, blockCount: count) == nil)
      }
      for block in count..<right * 8 {
        var bytes = [UInt8](repeating: 0, count: right)
        bytes[block / 8] = 0x80 >> UInt8(block % 8)
        #expect(BlockBitmap(bytes.span.bytes, blockCount: count) == nil, "\(count) \(block)")
      }
    }
  }
}
