import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `Mirrored writes and task management` {
  private static let length = 8192
  private let data = [UInt8](repeating: 9, count: length)

  /// What nobody has written.
  private func expectUntouched(
    _ client: TargetClient, isMemory: Bool, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let bytes = try client.read(Self.length, at: 8).data
    // Memory has what came before the end; the rest came too late.
    let tail = isMemory ? bytes.suffix(Self.length - 2 * DatagramMaker.blockLength) : bytes[...]
    #expect(tail.allSatisfy { $0 == 0 }, sourceLocation: location)
  }

  /// Begins a write, with two of its blocks.
  private func begin(_ mirror: LiteralMirror) throws -> UInt32 {
    let number = try mirror.begin(data, at: 8)
    mirror.sendData(number, data, blocks: 0..<2)
    return number
  }

  /// A function that another initiator asks for, or the mirror's own session.
  struct Case: CustomTestStringConvertible {
    let function: TaskManagementFunction
    var lun = 0
    var isOwn = false
    var isFile = false

    var testDescription: String {
      "\(function) at \(lun)\(isOwn ? " by its own session" : "")\(isFile ? ", a file" : "")"
    }

    static let ending: [Case] =
      [false, true].flatMap { isFile in
        [
          Case(function: .clearTaskSet, isFile: isFile),
          Case(function: .logicalUnitReset, isFile: isFile),
          Case(function: .targetWarmReset, isFile: isFile),
        ]
      }
      + [0, 5].flatMap { lun in
        [TaskManagementFunction.abortTaskSet, .clearTaskSet, .logicalUnitReset].map {
          Case(function: $0, lun: lun, isOwn: true)
        }
      } + [Case(function: .targetWarmReset, isOwn: true)]
  }

  @Test(arguments: Case.ending) func `that ends a LUN's commands ends these`(
    _ which: Case
  ) async throws {
    let scratch = try ScratchDirectory()
    let place = which.isFile ? "file:\(scratch.path)/disk.img,size=1M" : "memory:1M"
    try await MirrorScene.run([["0=\(place)"]]) { scene in
      let mirror = try LiteralMirror(scene)
      let other = try scene.targets[0].client()
      let number = try begin(mirror)
      if which.isOwn {
        try mirror.client.send(mirror.client.management(which.function, lun: which.lun).encoded)
      } else {
        #expect(try other.manage(which.function, lun: which.lun) == 0)
      }
      let ended = try mirror.end(of: number)
      #expect(ended.status == 0x40 && ended.units.map(\.status) == [0x40])
      if which.isOwn {
        let response = try mirror.next().header
        #expect(response.opcode == .taskManagementResponse && response.byte2 == 0)
      }
      mirror.sendData(number, data)
      let isReset = which.function == .logicalUnitReset || which.function == .targetWarmReset
      if isReset {
        #expect(try mirror.write(Array(data.prefix(512)), at: 0).words == [6, 0x29, 3])
        #expect(try other.run(.testUnitReady).words == [6, 0x29, 3])
      }
      // The next one is done, behind all that came too late.
      #expect(try mirror.write(Array(data.prefix(512)), at: 0).status == 0)
      try expectUntouched(other, isMemory: !which.isFile)
      #expect(try other.read(512, at: 0).data == Array(data.prefix(512)))
    }
  }

  @Test func `another's own task set is not the mirror's`() async throws {
    try await MirrorScene.run([["0=memory:1M", "1=memory:1M"]]) { scene in
      let mirror = try LiteralMirror(scene)
      let other = try scene.targets[0].client()
      let number = try begin(mirror)
      #expect(try other.manage(.abortTaskSet) == 0)
      for function in [TaskManagementFunction.clearTaskSet, .logicalUnitReset] {
        #expect(try other.manage(function, lun: 1) == 0)
        // The virtual LUN is nobody's but who has registered it.
        #expect(try other.manage(function, lun: LiteralMirror.virtualLUN) == 2)
      }
      mirror.sendData(number, data)
      #expect(try mirror.end(of: number).status == 0)
      #expect(try other.read(Self.length, at: 8).data == data)
    }
  }

  @Test func `a single one is aborted by its tag and virtual LUN`() async throws {
    try await MirrorScene.run([["0=memory:1M"]]) { scene in
      let mirror = try LiteralMirror(scene)
      let number = try begin(mirror)
      let tag = LiteralMirror.tag(number)
      #expect(try mirror.client.manage(.abortTask, lun: 0, tag: tag) == 1)
      try mirror.client.send(
        mirror.client.management(.abortTask, lun: LiteralMirror.virtualLUN, tag: tag).encoded)
      let fenced = try mirror.next().header
      #expect(fenced.opcode == .mirrorAnswer && fenced.flags == 0x81 && fenced.word36 == number)
      #expect(try mirror.next().header.byte2 == 0)
      mirror.sendData(number, data)
      #expect(try mirror.write(Array(data.prefix(512)), at: 0).status == 0)
      try expectUntouched(mirror.client, isMemory: true)
    }
  }

  @Test(arguments: [false, true]) func `one who is preempted writes no more`(
    isFile: Bool
  ) async throws {
    let scratch = try ScratchDirectory()
    let place = isFile ? "file:\(scratch.path)/disk.img,size=1M" : "memory:1M"
    try await MirrorScene.run([["0=\(place)"]]) { scene in
      let mirror = try LiteralMirror(scene)
      let other = try scene.targets[0].client()
      #expect(try mirror.client.reserve(0, new: 1) == 0)
      #expect(try other.reserve(0, new: 2) == 0)
      #expect(try mirror.client.reserve(1, type: 3, key: 1) == 0)
      let number = try begin(mirror)
      // PREEMPT AND ABORT: when it is answered, nothing of the preempted one is to come.
      #expect(try other.reserve(5, type: 3, key: 2, new: 1) == 0)
      #expect(try mirror.end(of: number).status == 0x40)
      mirror.sendData(number, data)
      let small = Array(data.prefix(512))
      #expect(try mirror.write(small, at: 0).words == [6, 0x2a, 5])
      #expect(try mirror.write(small, at: 0).status == 0x18)
      #expect(try mirror.write(small, at: 0).status == 0x18)
      try expectUntouched(other, isMemory: !isFile)
      #expect(try other.read(512, at: 0).data.allSatisfy { $0 == 0 })
      #expect(try other.reserve(3, key: 2) == 0)
      #expect(try mirror.write(small, at: 0).status == 0)
    }
  }

  /// Our own initiator does again what a leg's news has kept from being done.
  @Test(arguments: [TaskManagementFunction.clearTaskSet, .logicalUnitReset, .targetWarmReset])
  func `a mirror outlives what others do at one leg`(
    function: TaskManagementFunction
  ) async throws {
    let scratch = try ScratchDirectory()
    try await MirrorScene.run(
      [["0=file:\(scratch.path)/disk.img,size=4M"], ["0=memory:4M"]]
    ) { scene in
      let mirror = try await scene.mirror()
      let others = try scene.targets.map { try $0.client() }
      let image = randomBytes(4 << 20)
      let step = 64 << 10
      var open: [Task<WriteResult, Never>] = []
      for (index, start) in stride(from: 0, to: image.count, by: step).enumerated() {
        open.append(mirror.start(Array(image[start..<start + step]), at: start))
        if index % 8 == 3 { #expect(try others[index / 8 % 2].manage(function) == 0) }
      }
      for write in open {
        let result = await write.value
        #expect(result.isGood, "\(result.failures)")
      }
      #expect(await mirror.terminate().bad == [])
      try await expect(try scene.legs, hold: image)
    }
  }

  @Test func `a reset that nobody writes after is told to the next write`() async throws {
    try await MirrorScene.run(legs: 2) { scene in
      let mirror = try await scene.mirror()
      let other = try scene.targets[1].client()
      for round in 1...3 as ClosedRange<UInt8> {
        #expect(try other.manage(.logicalUnitReset) == 0)
        let result = await mirror.write([UInt8](repeating: round, count: 4096), at: 0)
        #expect(result.isGood, "\(result.failures)")
        #expect(try other.run(.testUnitReady).words == [6, 0x29, 3])
        #expect(try other.read(512, at: 0).data == [UInt8](repeating: round, count: 512))
      }
      #expect(await mirror.terminate().bad == [])
    }
  }
}
