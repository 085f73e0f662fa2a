import Foundation
import ISCSI
import NIOEmbedded
import SCSI
import Storage
import Synchronization
import Testing

@testable import Mirrorcast

/// What must not notice a reload, and what stands against one.
@Suite(.timeLimit(.minutes(10))) struct `A reload under load` {
  private typealias Reload = `A daemon that reloads`

  @Test func `is not felt by writes to what stays`() async throws {
    let scratch = try ScratchDirectory()
    let stays = "0=file:\(scratch.path)/disk.img,size=8M"
    let small = try Reload.configuration([Reload.store: [stays]])
    let large = try Reload.configuration([
      Reload.store: [stays], Reload.archive: ["0=memory:1M"], "iqn.2026-01.test:c": ["0=memory:1M"],
    ])
    try await TargetScene.serving(small) { scene in
      let isDone = Mutex(false)
      let client = UncheckedBox(try scene.client(at: Reload.store))
      // No task: a client blocks the thread that it runs on.
      let (ends, ended) = AsyncStream<Int>.makeStream()
      Thread.detachNewThread {
        var count = 0
        while !isDone.withLock({ $0 }) {
          let data = pattern(4096, UInt8(truncatingIfNeeded: count))
          let place = UInt64(count % 1000) * 8
          let isGood =
            (try? client.value.write(data, at: place).status) == 0
            && (try? client.value.read(4096, at: place).data) == data
          count = isGood ? count + 1 : -1
          if !isGood { break }
        }
        ended.yield(count)
        ended.finish()
      }
      for _ in 0..<25 {
        try await scene.daemon.reload(large)
        try await scene.daemon.reload(small)
      }
      isDone.withLock { $0 = true }
      var iterator = ends.makeAsyncIterator()
      let count = await iterator.next() ?? -1
      #expect(count > 0)
    }
  }

  @Test func `is refused where it would take a mirror's LUN, or its virtual one`() async throws {
    func units(_ luns: String...) throws -> Mirrorcast.TargetConfiguration {
      var new = try Reload.configuration([Reload.store: luns.map { "\($0)=memory:8M" }])
      new.interface = "lo"
      return new
    }
    let target = try await SceneTarget.start(try units("0", "1"))
    var options = MirrorOptions(
      legs: [try target.url(0)], group: try MirrorScene.newGroup())
    options.interface = "lo"
    options.identity.name = initiator
    options.deadlineSeconds = 60
    options.virtualLUN = 9
    let mirror = try await Mirror.establish(options, logger: logger)
    for (luns, words) in [(["1"], "LUN 0 of"), (["0", "1", "9"], "LUN 9 of")] {
      var new = try Reload.configuration([Reload.store: luns.map { "\($0)=memory:8M" }])
      new.interface = "lo"
      let error = await #expect(throws: MirrorcastError.self) {
        try await target.daemon.reload(new)
      }
      #expect(error?.what.hasPrefix(words) == true, "\(error?.what ?? "")")
    }
    // Others come and go meanwhile, also one that was to leave with the mirror's.
    try await target.daemon.reload(try units("0", "1", "8"))
    let image = randomBytes(1 << 20)
    #expect(await mirror.write(image, at: 0).isGood)
    try await target.daemon.reload(try units("0", "8"))
    #expect(await mirror.write(image, at: 4 << 20).isGood)
    #expect(await mirror.terminate().bad == [])
    try await target.daemon.reload(try units("8", "9"))
    try await target.stop()
    let error = await #expect(throws: MirrorcastError.self) {
      try await target.daemon.reload(try units("8"))
    }
    #expect(error?.what == "the daemon does not serve any more")
  }

  @Test func `waits for a SANITIZE to end`() async throws {
    var configuration = try Reload.configuration([
      Reload.store: ["0=memory:1M", "1=memory:16M"]
    ])
    configuration.limits.sanitizeBytesPerSecondMax = 1 << 20
    let only = try Reload.configuration([Reload.store: ["0=memory:1M"]])
    try await TargetScene.serving(configuration) { scene in
      let client = try scene.client(at: Reload.store)
      // SBC-3 §5.30: OVERWRITE, IMMED; one pass of a pattern of four bytes.
      let begun = try client.run(
        .sanitizeOverwrite, lun: lunField(1), data: [1, 0, 0, 4, 0xaa, 0xbb, 0xcc, 0xdd])
      #expect(begun.status == 0, "\(begun)")
      let error = await #expect(throws: MirrorcastError.self) {
        try await scene.daemon.reload(only)
      }
      #expect(error?.what.hasSuffix("is being sanitized") == true)
    }
  }

  @Test func `lets no SANITIZE begin at a disk that leaves`() throws {
    let unit = try ServedUnit(
      opening: LogicalUnitSpecification("0=memory:1M"), targetName: Reload.store)
    let workers = StorageWorkers(count: 1)
    defer { workers.stop() }
    let request = SanitizeRequest(
      action: .overwrite, pattern: [1], passes: 1, inverts: false, isImmediate: true,
      allowsUnrestrictedExit: false)
    let run = SanitizeRun(
      request, of: unit, workers, TargetLimits(), on: EmbeddedEventLoop(), TargetScene.logger
    ) { _ in }
    unit.changes.withdraw()
    let isBegun = run.start { false }
    #expect(!isBegun)
    #expect(unit.changes.isQuiet)
    unit.changes.restore()
    let isBegunAfter = run.start { false }
    #expect(isBegunAfter)
  }

  @Test func `goes on with a SANITIZE of a disk that is added`() async throws {
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/disk.img"
    defer { unlink(path + ".mirrorcast") }
    var slow = TargetLimits()
    slow.sanitizeBytesPerSecondMax = 64 << 10
    try await TargetScene.serving(["0=file:\(path),size=16M"], limits: slow) { scene in
      let begun = try scene.client().run(
        .sanitizeOverwrite, data: [1, 0, 0, 4, 0xaa, 0xbb, 0xcc, 0xdd])
      #expect(begun.status == 0, "\(begun)")
    }
    let without = try Reload.configuration([Reload.store: ["0=memory:1M"]])
    let with = try Reload.configuration([Reload.store: ["0=memory:1M", "1=file:\(path)"]])
    try await TargetScene.serving(without) { scene in
      try await scene.daemon.reload(with)
      let client = try scene.client(at: Reload.store)
      while try client.run(.testUnitReady, lun: lunField(1)).status != 0 { usleep(20_000) }
      let bytes = try client.read(512, at: 30_000, lun: lunField(1)).data
      #expect(bytes.prefix(5) == [0xaa, 0xbb, 0xcc, 0xdd, 0xaa])
    }
  }
}

extension CommandDescriptorBlock {
  fileprivate static var sanitizeOverwrite: CommandDescriptorBlock {
    var bytes = InlineArray<16, UInt8>(repeating: 0)
    (bytes[0], bytes[1], bytes[8]) = (0x48, 0x81, 8)
    return CommandDescriptorBlock(bytes)
  }
}
