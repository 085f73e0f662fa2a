import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `Establishing a mirror` {
  @Test func `two LUNs of one target are one leg with two statuses`() async throws {
    try await MirrorScene.run(
      [["0=memory:2M", "3=memory:2M", "4=memory:2M"], ["0=memory:2M"]]
    ) { scene in
      let urls = [
        try scene.targets[0].url(3), try scene.targets[1].url(0), try scene.targets[0].url(0),
      ]
      let mirror = try await scene.mirror(try scene.options(urls))
      let image = randomBytes(2 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      let statistics = mirror.statistics()
      #expect(Set(statistics.legs.map(\.url)) == Set(urls))
      // The two targets are counted once each: no data went out a second time for the second LUN.
      #expect(statistics.bytes == 2 << 20)
      try await expect(urls, hold: image)
      let untouched = [UInt8](repeating: 0, count: 2 << 20)
      try await expect([try scene.targets[0].url(4)], hold: untouched)
    }
  }

  @Test func `mirrors of one group at the same targets don't mix`() async throws {
    let units = ["0=memory:1M", "1=memory:1M", "2=memory:1M"]
    try await MirrorScene.run(
      [units, units], faults: Faults(drop: 0.1, duplicate: 0.1, reorder: 0.1, seed: 2)
    ) { scene in
      var mirrors: [Mirrorcast.Mirror] = []
      // Two of one initiator, a third of another; each with a virtual LUN of its own.
      for (lun, name) in [(0, initiator), (1, initiator), (2, initiator + "-2")] {
        var options = try scene.options(try scene.targets.map { try $0.url(lun) })
        options.virtualLUN = 100 + lun
        options.identity.name = name
        mirrors.append(try await scene.mirror(options))
      }
      var random = Seeded(21)
      let images = (0..<3).map { _ in random.bytes(1 << 20) }
      var open: [Task<WriteResult, Never>] = []
      for start in stride(from: 0, to: 1 << 20, by: 128 << 10) {
        for (mirror, image) in zip(mirrors, images) {
          open.append(mirror.start(Array(image[start..<start + (128 << 10)]), at: start))
        }
      }
      for write in open { #expect(await write.value.isGood) }
      // The end of one is not the end of the others.
      #expect(await mirrors[0].terminate().bad == [])
      #expect(await mirrors[1].write([UInt8](repeating: 1, count: 512), at: 0).isGood)
      #expect(await mirrors[2].write([UInt8](repeating: 2, count: 512), at: 0).isGood)
      for (lun, image) in images.enumerated() {
        let head = [UInt8](repeating: UInt8(lun), count: lun == 0 ? 0 : 512)
        let whole: [UInt8] = head + image[head.count...]
        try await expect(try scene.targets.map { try $0.url(lun) }, hold: whole)
      }
    }
  }

  @Test func `a virtual LUN is nobody's LUN, and chosen so`() async throws {
    try await MirrorScene.run([["0=memory:1M", "255=memory:1M"], ["0=memory:1M"]]) { scene in
      var options = try scene.options()
      let chosen = try await scene.mirror(options)
      #expect(chosen.parts[0].membership.withLock { $0.request.virtualLUN } == 254)
      _ = await chosen.terminate()
      options.virtualLUN = 255
      try await refused(options, "virtual LUN 255 is a LUN of a leg")
      options.virtualLUN = 16384
      try await refused(options, "0 to 16383")
      options.virtualLUN = 16383
      let highest = try await scene.mirror(options)
      #expect(await highest.write([UInt8](repeating: 5, count: 4096), at: 0).isGood)
    }
  }

  @Test func `what is taken is refused, and free again after the end`() async throws {
    try await MirrorScene.run(
      [["0=memory:1M", "1=memory:1M"], ["0=memory:1M", "1=memory:1M"]]
    ) { scene in
      var first = try scene.options()
      first.virtualLUN = 50
      let mirror = try await scene.mirror(first)
      var second = try scene.options(try scene.targets.map { try $0.url(1) })
      second.virtualLUN = 50
      try await refused(second, "vlun-taken", "\(try scene.targets[0].url(1))")
      var third = first
      third.virtualLUN = 51
      try await refused(third, "busy", "LUN 0 belongs to another mirror")
      // Refusals have left nothing behind, and done no harm.
      #expect(await mirror.write([UInt8](repeating: 7, count: 512), at: 0).isGood)
      #expect(await mirror.terminate().bad == [])
      let again = try await scene.mirror(second)
      #expect(await again.write([UInt8](repeating: 8, count: 512), at: 0).isGood)
    }
  }

  @Test func `a leg that refuses leaves no registration at the others`() async throws {
    try await MirrorScene.run(
      [["0=memory:1M"], ["0=memory:1M"], ["0=memory:1M"]]
    ) { scene in
      var holding = try scene.options([try scene.targets[2].url(0)])
      holding.virtualLUN = 9
      let holder = try await scene.mirror(holding)
      try await refused(try scene.options(), "busy")
      _ = await holder.terminate()
      let mirror = try await scene.mirror()
      #expect(await mirror.write([UInt8](repeating: 7, count: 512), at: 0).isGood)
    }
  }

  @Test func `legs that don't fit each other or aren't there are named`() async throws {
    try await MirrorScene.run([["0=memory:1M"], ["0=memory:2M"]]) { scene in
      try await refused(
        try scene.options(), "differ in size", "1048576", "2097152", "\(try scene.legs[1])")
      let absent = try scene.targets[0].url(5)
      try await refused(try scene.options([absent]), "LUN 5", "not there")
      let leg = try scene.targets[0].url(0)
      try await refused(try scene.options([leg, leg]), "named twice")
      try await refused(try scene.options([]), "1 to 64 legs")
      let many = try (0..<65).map { try scene.targets[0].url($0) }
      try await refused(try scene.options(many), "1 to 64 legs")
    }
  }

  @Test func `ways that lead nowhere are named`() async throws {
    try await MirrorScene.run(legs: 1, size: "1M") { scene in
      var options = try scene.options()
      options.interface = "nowhere0"
      try await refused(options, "nowhere0")
      options = try scene.options()
      options.writeLength = 100
      try await refused(options, "512 bytes to")
      options.writeLength = 17 << 20
      try await refused(options, "16 MiB")
      options = try scene.options()
      let nobody = try Listener(listens: false)
      defer { nobody.close() }
      options.legs[0].port = nobody.port
      try await refused(options, "refuses the connection")
      // After all that, the leg is as free as before.
      let mirror = try await scene.mirror()
      #expect(await mirror.write([UInt8](repeating: 7, count: 512), at: 0).isGood)
    }
  }

  @Test func `a leg that no datagram reaches is served over TCP, and that is said`() async throws {
    try await MirrorScene.run(
      legs: 1, size: "4M", faults: Faults(drop: 1, duplicate: 0, reorder: 0, seed: 1)
    ) { deaf in
      try await MirrorScene.run(legs: 2, size: "4M") { scene in
        let mirror = try await scene.mirror(try scene.options(try scene.legs + deaf.legs))
        let image = randomBytes(4 << 20)
        #expect(await mirror.write(image, at: 0).isGood)
        let leg = try deaf.legs[0]
        #expect(mirror.notices.contains { $0.contains("\(leg)") && $0.contains("over TCP") })
        #expect(mirror.notices.contains { $0.contains("not authenticated") })
        #expect(mirror.statistics().legs.map(\.servedBy) == ["udp", "udp", "tcp"])
        #expect(await mirror.terminate().bad == [])
        try await expect(try scene.legs + deaf.legs, hold: image)
      }
    }
  }

  @Test func `a group may be of another family than the portals`() async throws {
    try await MirrorScene.run(
      legs: 2, size: "2M", faults: Faults(drop: 0.1, duplicate: 0, reorder: 0, seed: 6)
    ) { scene in
      var options = try scene.options()
      options.group = try GroupAddress(
        parsing: "[ff15::\(String(scene.group.port, radix: 16))]:\(scene.group.port)")
      let mirror = try await scene.mirror(options)
      let image = randomBytes(2 << 20)
      #expect(await mirror.write(image, at: 0).isGood)
      // Not every loopback carries IPv6 groups: what it doesn't goes over TCP, and that is said.
      let deaf = mirror.statistics().legs.filter { $0.servedBy == "tcp" }
      #expect(deaf.count == mirror.notices.count { $0.contains("over TCP") })
      try await expect(try scene.legs, hold: image)
    }
  }

  // Loopback belongs to no device, whatever else this machine has.
  @Test func `a mirror by RDMA where there is no device is refused in words`() async throws {
    try await MirrorScene.run([["0=memory:1M"]]) { scene in
      for transport in [Transport.rdma, .rdmaOrTCP, .rdmaOrUDP] {
        var options = try scene.options()
        options.transport = transport
        try await refused(options, "RDMA")
      }
    }
  }

  private func refused(
    _ options: MirrorOptions, _ words: String..., location: SourceLocation = #_sourceLocation
  ) async throws {
    do {
      let mirror = try await Mirror.establish(options, logger: logger)
      _ = await mirror.terminate()
      Issue.record("established, and should be refused", sourceLocation: location)
    } catch let error as MirrorcastError {
      for word in words {
        #expect(error.what.contains(word), "\(error.what)", sourceLocation: location)
      }
    }
  }
}
