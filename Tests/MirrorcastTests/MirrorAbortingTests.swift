import Replication
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `Aborted writes of a mirror` {
  static let length = 64 << 10

  private func options(
    _ scene: MirrorScene, _ legs: [LogicalUnitURL]? = nil, lanes: Int, isKept: Bool = false
  ) throws -> MirrorOptions {
    var options = isKept ? try scene.keptOptions(legs) : try scene.options(legs)
    options.lanes.placements = Array(repeating: "any", count: lanes)
    options.writeLength = Self.length
    return options
  }

  @Test(arguments: [1, 2]) func `end as done, or name the legs that have them not`(
    lanes: Int
  ) async throws {
    let weather = `A mirror of several lanes`.weather
    try await MirrorScene.run(legs: 3, size: "4M", faults: weather, lanes: lanes) { scene in
      let mirror = try await scene.mirror(try options(scene, lanes: lanes))
      let images = (0..<32).map { _ in randomBytes(2 * Self.length - 512) }
      let places = (0..<32).map { $0 * 2 * Self.length }
      let tags = images.map { _ in WriteTag() }
      let open = zip(images, zip(places, tags)).map {
        mirror.start($0, at: $1.0, tag: $1.1)
      }
      for tag in tags[8...].reversed() { _ = await mirror.abort(tag) }
      var results: [WriteResult] = []
      for write in open { results.append(await write.value) }
      #expect(results[..<8].allSatisfy { $0.isGood })
      #expect(results.contains { !$0.isGood })
      for url in try scene.legs {
        let disk = try await content(of: url)
        for (result, (start, image)) in zip(results, zip(places, images)) {
          if let failure = result.failures.first(where: { $0.url == url }) {
            #expect(failure.text == "aborted before it was done")
            continue
          }
          let isThere = Array(disk[start..<start + image.count]) == image
          #expect(isThere, "\(url) lacks what it has done at \(start)")
        }
      }
      // Over, and no leg is the worse for it.
      #expect(await mirror.abort(tags[20]) == .taskDoesNotExist)
      #expect(await mirror.abort(WriteTag()) == .taskDoesNotExist)
      for (start, image) in zip(places, images) {
        #expect(await mirror.write(image, at: start).isGood)
      }
      #expect(await mirror.terminate().bad == [])
      var whole = [UInt8](repeating: 0, count: 4 << 20)
      for (start, image) in zip(places, images) {
        whole.replaceSubrange(start..<start + image.count, with: image)
      }
      try await expect(try scene.legs, hold: whole)
    }
  }

  @Test(arguments: [1, 2]) func `of a kept mirror leave its legs equal`(lanes: Int) async throws {
    let weather = `A mirror of several lanes`.weather
    try await MirrorScene.run(legs: 3, size: "4M", faults: weather, lanes: lanes) { scene in
      let mirror = try await scene.mirror(try options(scene, lanes: lanes, isKept: true))
      var abortedCount = 0
      for round in 0..<3 {
        let tag = WriteTag()
        let open = (0..<24).map {
          mirror.start(randomBytes(Self.length), at: ($0 + round) * Self.length, tag: tag)
        }
        #expect(await mirror.abort(tag) == .complete)
        for write in open {
          let result = await write.value
          #expect(result.failures.allSatisfy { $0.text == "aborted before it was done" })
          if !result.isGood { abortedCount += 1 }
        }
      }
      #expect(abortedCount > 0)
      // No leg is lost for it; what may differ is made equal before the end.
      #expect(await mirror.write(randomBytes(Self.length), at: 0).isGood)
      for leg in try scene.legs { try await mirror.wait(leg, is: .inSync) }
      #expect(await mirror.terminate().bad == [])
      let disk = try await content(of: try scene.legs[0])
      try await expect(try scene.legs, hold: disk)
    }
  }

  @Test func `end though a leg says nothing, when it is lost`() async throws {
    try await MirrorScene.run(legs: 2) { scene in
      let (wires, legs) = try scene.wires()
      let mirror = try await scene.mirror(try options(scene, legs, lanes: 1))
      wires[1].fallSilent()
      let (first, second) = (WriteTag(), WriteTag())
      let open = mirror.start(randomBytes(512), at: 0, tag: first)
      // It overlaps, so it waits.
      let waiting = mirror.start(randomBytes(512), at: 0, tag: second)
      #expect(await mirror.abort(second) == .complete)
      let failures = await waiting.value.failures
      #expect(failures.map(\.text) == Array(repeating: "aborted before it was done", count: 2))
      async let abortion = mirror.abort(first)
      wires[1].cut()
      // The write may be over before the wish is heard.
      #expect(await abortion != .notSupported)
      let result = await open.value
      #expect(result.failures.contains { $0.url == legs[1] })
      #expect(await mirror.terminate().map(\.isGood) == [true, false])
    }
  }

  @Test func `are none where several initiators share a mirror`() async throws {
    try await MirrorScene.run(legs: 2) { scene in
      var options = try scene.keptOptions()
      options.keeping.areEqual = true
      options.keeping.isShared = true
      let mirror = try await scene.mirror(options)
      let tag = WriteTag()
      let open = mirror.start(randomBytes(512), at: 0, tag: tag)
      #expect(await mirror.abort(tag) == .notSupported)
      #expect(await open.value.isGood)
      #expect(await mirror.terminate().bad == [])
    }
  }
}
