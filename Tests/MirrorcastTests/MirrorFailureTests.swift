import Foundation
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `Legs that fail` {
  static let weather = Faults(drop: 0.1, duplicate: 0.05, reorder: 0.1, seed: 41)

  /// How a leg is lost in mid-stream.
  enum Loss: CaseIterable { case cut, stopped }

  @Test(arguments: Loss.allCases)
  func `in mid-stream are named, and the others finish`(loss: Loss) async throws {
    try await MirrorScene.run(legs: 3, faults: Self.weather) { scene in
      let wire = try scene.wire(to: scene.targets[1])
      var legs = try scene.legs
      legs[1] = try scene.targets[1].url(0, through: wire.portal)
      let mirror = try await scene.mirror(try scene.options(legs))
      var image = randomBytes(8 << 20)
      let starts = stride(from: 0, to: image.count, by: 64 << 10)
      var open: [Task<WriteResult, Never>] = []
      for start in starts.prefix(64) {
        open.append(mirror.start(Array(image[start..<start + (64 << 10)]), at: start))
      }
      // Some are stored everywhere then, others open, others waiting.
      #expect(await open[8].value.isGood)
      switch loss {
      case .cut: wire.cut()
      case .stopped: try await scene.targets[1].stop()
      }
      for start in starts.dropFirst(64) {
        open.append(mirror.start(Array(image[start..<start + (64 << 10)]), at: start))
      }
      var failed = 0
      for write in open {
        let result = await write.value
        #expect(result.failures.allSatisfy { $0.url == legs[1] && !$0.isGood })
        failed += result.isGood ? 0 : 1
      }
      #expect(failed >= 64)
      let later = await mirror.write([UInt8](repeating: 5, count: 512), at: 0)
      #expect(later.failures.map(\.url) == [legs[1]])
      #expect(later.failures[0].text.contains("lost"), "\(later.failures)")
      image.replaceSubrange(0..<512, with: [UInt8](repeating: 5, count: 512))
      let ends = await mirror.terminate()
      #expect(ends.map(\.isGood) == [true, false, true])
      #expect(ends[1].text.contains("lost"))
      try await expect([legs[0], legs[2]], hold: image)
    }
  }

  @Test(arguments: [StatusPolicy.all, .none])
  func `silently are failed by the deadline, and named`(policy: StatusPolicy) async throws {
    try await MirrorScene.run(legs: 3, faults: Self.weather) { scene in
      let wire = try scene.wire(to: scene.targets[2])
      var legs = try scene.legs
      legs[2] = try scene.targets[2].url(0, through: wire.portal)
      var options = try scene.options(legs)
      // Long for the legs that are well, on a busy machine.
      options.deadlineSeconds = 20
      options.status = policy
      let mirror = try await scene.mirror(options)
      let image = randomBytes(4 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      wire.fallSilent()
      let clock = ContinuousClock()
      let start = clock.now
      let result = await mirror.write(image, at: 4 << 20)
      #expect(clock.now - start < .seconds(120))
      if policy == .all {
        #expect(result.failures.map(\.url) == [legs[2]])
        #expect(result.failures[0].text.contains("deadline"), "\(result.failures)")
      }
      let ends = await mirror.terminate()
      #expect(ends.map(\.isGood) == [true, true, false])
      #expect(ends[2].text.contains("deadline"))
      try await expect(Array(legs[..<2]), hold: image + image)
    }
  }

  @Test func `all of them leave a mirror that says so at once`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      let legs = try scene.legs
      let mirror = try await scene.mirror()
      for target in scene.targets { try await target.stop() }
      for _ in 0..<2 {
        let result = await mirror.write([UInt8](repeating: 5, count: 1 << 20), at: 0)
        #expect(!result.isGood)
        #expect(Set(result.failures.map(\.url)) == Set(legs))
      }
      let ends = await mirror.terminate()
      #expect(ends.allSatisfy { !$0.isGood && $0.text.contains("lost") })
    }
  }

  @Test func `may be let go, and the mirror is good again`() async throws {
    try await MirrorScene.run(legs: 3, size: "1M") { scene in
      let wire = try scene.wire(to: scene.targets[0])
      var legs = try scene.legs
      legs[0] = try scene.targets[0].url(0, through: wire.portal)
      let mirror = try await scene.mirror(try scene.options(legs))
      wire.cut()
      let result = await mirror.write([UInt8](repeating: 5, count: 4096), at: 0)
      #expect(result.failures.map(\.url) == [legs[0]])
      try await mirror.dropLeg(legs[0])
      #expect(await mirror.write([UInt8](repeating: 6, count: 4096), at: 4096).isGood)
      // Its host is well and comes back by another way.
      let direct = try scene.targets[0].url(0)
      try await mirror.addLeg(direct)
      #expect(await mirror.write([UInt8](repeating: 7, count: 4096), at: 8192).isGood)
      let bytes = try await content(of: direct)
      #expect(bytes[8192..<12288].allSatisfy { $0 == 7 })
      #expect(bytes[4096..<8192].allSatisfy { $0 == 0 })
    }
  }

  @Test func `that fall silent don't hold a change of members for ever`() async throws {
    try await MirrorScene.run(legs: 3, size: "1M") { scene in
      let wire = try scene.wire(to: scene.targets[0])
      let legs = [
        try scene.targets[0].url(0, through: wire.portal), try scene.targets[1].url(0),
      ]
      var options = try scene.options(legs)
      options.deadlineSeconds = 20
      let mirror = try await scene.mirror(options)
      wire.fallSilent()
      // Whatever becomes of the change: it ends, and writes go on at the leg that is well.
      let added = try scene.targets[2].url(0)
      try? await mirror.addLeg(added)
      let result = await mirror.write([UInt8](repeating: 6, count: 4096), at: 0)
      #expect(result.failures.map(\.url) == [legs[0]], "\(result.failures)")
      let ends = await mirror.terminate()
      #expect(ends.filter { !$0.isGood }.map(\.url) == [legs[0]])
      #expect(try await content(of: legs[1])[..<4096].allSatisfy { $0 == 6 })
    }
  }

  /// Root of a container often may not.
  private static let mayMount: Bool = {
    let directory = NSTemporaryDirectory() + "mirrorcast-mount-\(UUID().uuidString)"
    guard mkdir(directory, 0o700) == 0 else { return false }
    defer { rmdir(directory) }
    return mount("tmpfs", directory, "tmpfs", 0, "size=1M") == 0 && umount(directory) == 0
  }()

  @Test(.enabled(if: mayMount, "nothing may be mounted here"))
  func `at one of their LUNs tell which, with its sense`() async throws {
    let directory = NSTemporaryDirectory() + "mirrorcast-full-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try #require(mount("tmpfs", directory, "tmpfs", 0, "size=1M") == 0)
    // Lazily: the target's file may be open still, for a moment.
    defer { umount2(directory, Int32(MNT_DETACH)) }
    try await MirrorScene.run(
      [["0=memory:8M", "1=file:\(directory)/disk.img,size=8M"], ["0=memory:8M"]]
    ) { scene in
      let small = try scene.targets[0].url(1)
      let legs = [try scene.targets[0].url(0), small, try scene.targets[1].url(0)]
      let mirror = try await scene.mirror(try scene.options(legs))
      let image = randomBytes(8 << 20)
      let result = await mirror.write(image, at: 0)
      #expect(result.failures.map(\.url) == [small])
      #expect(result.failures.first?.text.hasPrefix("CHECK CONDITION") == true)
      let ends = await mirror.terminate()
      #expect(ends.filter { !$0.isGood }.map(\.url) == [small])
      try await expect([legs[0], legs[2]], hold: image)
    }
  }
}
