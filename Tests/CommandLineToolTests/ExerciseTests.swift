import Foundation
import Testing

@testable import mirrorcast

struct `An exercise` {
  private static let size = 512

  private func sectors(_ range: Range<Int>, write: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count * Self.size)
    bytes.withUnsafeMutableBytes {
      StampedSector.fill(
        $0, sectorSize: Self.size, first: UInt64(range.lowerBound), write: write)
    }
    return bytes
  }

  @Test func `knows its sectors, and others`() {
    var bytes = sectors(7..<9, write: 42)
    #expect(StampedSector.judge(bytes[..<512], sector: 7) == .write(42))
    #expect(StampedSector.judge(bytes[512...], sector: 8) == .write(42))
    #expect(StampedSector.judge(bytes[512...], sector: 7) == .damaged)
    bytes[300] ^= 1
    #expect(StampedSector.judge(bytes[..<512], sector: 7) == .damaged)
    bytes[0] ^= 1
    #expect(StampedSector.judge(bytes[..<512], sector: 7) == .foreign)
  }

  @Test func `finds what was acknowledged and is gone`() {
    let model = ExerciseModel(
      sectorSize: Self.size, acknowledged: [UInt64](repeating: 0, count: 16), firstWrite: 100)
    model.begin(2..<6, write: 100)
    model.begin(4..<8, write: 101)
    let before = model.acknowledged(0..<16)
    let blank = [UInt8](repeating: 0, count: 16 * Self.size)
    // Nothing was acknowledged: all may be there, or nothing.
    #expect(model.judge(blank, 0..<16, acknowledged: before).isEmpty)
    #expect(
      model.judge(sectors(2..<6, write: 100), 2..<6, acknowledged: Array(before[2..<6])).isEmpty)
    model.acknowledge(2..<6, write: 100)
    let after = model.acknowledged(0..<16)
    #expect(model.judge(blank, 0..<16, acknowledged: after, faultsMax: 9).count == 4)
    #expect(
      model.judge(sectors(2..<6, write: 100), 2..<6, acknowledged: Array(after[2..<6])).isEmpty)
    #expect(
      model.judge(sectors(4..<6, write: 101), 4..<6, acknowledged: Array(after[4..<6])).isEmpty)
    #expect(
      model.judge(sectors(4..<6, write: 99), 4..<6, acknowledged: Array(after[4..<6])).count == 2)
    #expect(
      model.judge(sectors(4..<6, write: 102), 4..<6, acknowledged: Array(after[4..<6])).count == 2)
  }

  @Test func `a sector may be read torn while a write to it is open, and then only`() {
    let model = ExerciseModel(
      sectorSize: Self.size, acknowledged: [UInt64](repeating: 0, count: 4), firstWrite: 100)
    model.begin(0..<2, write: 100)
    model.acknowledge(0..<2, write: 100)
    model.begin(1..<2, write: 101)
    var torn = sectors(0..<2, write: 100)
    for place in [300, Self.size + 300] { torn[place] ^= 1 }
    let acknowledged = model.acknowledged(0..<2)
    let whileWriting = model.judge(torn, 0..<2, acknowledged: acknowledged, isWriting: true)
    #expect(whileWriting.map(\.sector) == [0])
    #expect(model.judge(torn, 0..<2, acknowledged: acknowledged).map(\.sector) == [0, 1])
  }

  @Test func `remembers what was acknowledged, but for a torn line`() throws {
    let path = NSTemporaryDirectory() + "exercise-\(UInt64.random(in: 0 ... .max))"
    defer { unlink(path) }
    let entries = (0..<5).map {
      ExerciseRecord.Entry(sectors: $0 * 8..<$0 * 8 + 3, write: UInt64($0) + 7)
    }
    #expect(try ExerciseRecord(path).entries.isEmpty)
    try ExerciseRecord(path).append(Array(entries[..<3]))
    try ExerciseRecord(path).append(Array(entries[3...]))
    #expect(try ExerciseRecord(path).entries == entries)
    #expect(truncate(path, 32 * 4 + 9) == 0)
    let record = try ExerciseRecord(path)
    #expect(record.entries == Array(entries[..<4]))
    try record.append([entries[4]])
    #expect(try ExerciseRecord(path).entries == entries)
  }

  @Test(arguments: [
    (UInt64(0), "1970-01-01 00:00:00 UTC"), (951_782_400, "2000-02-29 00:00:00 UTC"),
    (1_767_225_599, "2025-12-31 23:59:59 UTC"), (4_107_542_400, "2100-03-01 00:00:00 UTC"),
  ])
  func `has legs whose times are dates`(seconds: UInt64, text: String) {
    #expect(LegTime.text(seconds) == text)
  }
}
