import SCSI
import Storage
import Synchronization
import Testing

@testable import ISCSI
@testable import Mirrorcast

/// How small writes get to their disks.
@Suite struct DiskTrainsTests {
  private func car(_ serial: UInt64) throws -> DiskCar {
    let unit = try ServedUnit(
      opening: try LogicalUnitSpecification("0=memory:1M"), targetName: "iqn.2026-01.test:trains")
    let range = ByteRange(offset: 0, length: 512)
    return DiskCar(
      handle: TaskHandle(taskTag: UInt32(serial), serial: serial),
      command: DiskOperationCommand(
        unit: unit, request: DiskRequest(.write(range, isForced: false), dataOutLength: 512),
        dataOut: [UInt8](repeating: UInt8(serial), count: 512)))
  }

  @Test func `what comes while a train is under way makes the next, in its order`() throws {
    var trains = DiskTrains()
    let none = trains.depart()
    #expect(none == nil)
    trains.board(try car(1), lun: 0)
    let first = trains.depart()
    #expect(first?.cars.map(\.handle.serial) == [1])
    for serial: UInt64 in 2...4 { trains.board(try car(serial), lun: 0) }
    let early = trains.depart()
    #expect(early == nil)
    trains.arrive(lun: 0)
    let second = trains.depart()
    #expect(second?.cars.map(\.handle.serial) == [2, 3, 4])
    trains.arrive(lun: 0)
    let last = trains.depart()
    #expect(last == nil)
  }

  @Test func `a disk's train holds up no other disk`() throws {
    var trains = DiskTrains()
    trains.board(try car(1), lun: 0)
    let first = trains.depart()
    #expect(first?.lun == 0)
    trains.board(try car(2), lun: 0)
    trains.board(try car(3), lun: 7)
    let other = trains.depart()
    #expect(other?.lun == 7)
    let more = trains.depart()
    #expect(more == nil)
  }

  @Test func `a train does its writes and tells how each ended`() throws {
    let cars = try (1...3).map { try car($0) }
    for car in cars { car.command.unit.changes.begin() }
    let workers = StorageWorkers(count: 1, queueLengthMax: 2)
    let told = Mutex<[(UInt64, UInt8)]>([])
    let isTaken = workers.submit(
      DiskTrain(cars) { results in
        told.withLock { $0 += results.map { ($0.0.serial, $0.1.status) } }
      })
    #expect(isTaken)
    workers.stop()
    let results = told.withLock { $0 }
    #expect(results.map(\.0) == [1, 2, 3])
    #expect(results.allSatisfy { $0.1 == 0 })
    #expect(cars.allSatisfy { $0.command.unit.changes.isQuiet })
    for car in cars {
      var bytes = [UInt8](repeating: 0, count: 512)
      try bytes.withUnsafeMutableBytes { try car.command.unit.backing.read(into: $0, at: 0) }
      #expect(bytes == car.command.dataOut)
    }
  }
}

@Suite struct CachePaceTests {
  private let slow = CachePace.promptNanosecondsMax + 1

  @Test func `a write that waited sends the next ones to the workers for a while`() {
    let pace = CachePace()
    #expect(pace.isPrompt(now: 0))
    pace.noteWrite(from: 10, to: 10 + slow, hasWaited: true)
    let rest = CachePace.restNanosecondsMin
    #expect(!pace.isPrompt(now: 10 + slow + rest - 1))
    #expect(pace.isPrompt(now: 10 + slow + rest))
  }

  @Test func `a thread that only lost its core proves nothing`() {
    let pace = CachePace()
    pace.noteWrite(from: 10, to: 10 + 1000 * slow, hasWaited: false)
    #expect(pace.isPrompt(now: 10 + 1000 * slow))
  }

  @Test func `each time it rests twice as long, up to a limit, and less after it was prompt`() {
    let pace = CachePace()
    var now: UInt64 = 1
    var rests: [UInt64] = []
    func rest() -> UInt64 {
      pace.noteWrite(from: now, to: now + slow, hasWaited: true)
      now += slow
      var length: UInt64 = 0
      while !pace.isPrompt(now: now + length) { length += CachePace.restNanosecondsMin / 2 }
      now += length
      return length
    }
    for _ in 0..<9 { rests.append(rest() / CachePace.restNanosecondsMin) }
    #expect(rests == [1, 2, 4, 8, 16, 32, 64, 64, 64])
    // Prompt for longer and longer.
    for _ in 0..<20 {
      now += 2 * CachePace.restNanosecondsMax
      pace.noteWrite(from: now, to: now + 1, hasWaited: false)
    }
    #expect(rest() == CachePace.restNanosecondsMin)
  }
}
