import Foundation
import Testing

@testable import Mirrorcast

@Suite(.timeLimit(.minutes(10)))
struct `Datagrams of strangers` {
  @Test(arguments: [1, 2, 3] as [UInt64])
  func `change nothing, whatever they claim`(seed: UInt64) async throws {
    let size = 4 << 20
    try await MirrorScene.run(
      legs: 2, size: "4M", faults: Faults(drop: 0.05, duplicate: 0, reorder: 0.05, seed: seed)
    ) { scene in
      let mirror = try await scene.mirror()
      let (request, repairs) = mirror.parts[0].membership.withLock { membership in
        (membership.request, membership.legs.compactMap { $0.repair.map { "\($0)" } })
      }
      #expect(repairs.count == 2)
      let ports = [(scene.group.address, scene.group.port)] + (try repairs.map(place))
      let maker = DatagramMaker(
        registration: request.registration, epoch: request.epoch,
        virtualLUN: UInt16(request.virtualLUN))
      let flood = Task.detached {
        let sender = try PlainSender()
        var random = Seeded(seed)
        var sent = 0
        repeat {
          for (host, port) in ports {
            let number = request.firstWrite.rawValue &+ UInt32.random(in: 0..<200, using: &random)
            for datagram in Self.forgeries(maker, number, &random) {
              sender.send(datagram, to: host, port: port)
              sent += 1
            }
          }
          await Task.yield()
        } while !Task.isCancelled
        return sent
      }
      // The first half is written; nothing may ever stand in the second.
      var random = Seeded(seed + 100)
      var image = random.bytes(size / 2)
      for start in stride(from: 0, to: image.count, by: 32 << 10) {
        let result = await mirror.write(Array(image[start..<start + (32 << 10)]), at: start)
        #expect(result.isGood, "\(result.failures)")
      }
      flood.cancel()
      #expect(try await flood.value > 0)
      #expect(await mirror.terminate().bad == [])
      image += [UInt8](repeating: 0, count: size / 2)
      try await expect(try scene.legs, hold: image)
    }
  }

  /// One of each kind, all of which write to the disk's second half where they are believed.
  private static func forgeries(
    _ maker: DatagramMaker, _ number: UInt32, _ random: inout Seeded
  ) -> [[UInt8]] {
    let block = UInt64.random(in: 4096..<8000, using: &random)
    let ours = maker.command(number, block: block, [UInt8](repeating: 0xee, count: 1024))
    var other = maker
    other.registration &+= 1
    var flipped = ours
    flipped[Int.random(in: 0..<ours.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8)
    return [
      ours,
      maker.command(number, block: block, [UInt8](repeating: 0xee, count: 64 << 10)),
      maker.data(number, [UInt8](repeating: 0xee, count: 32 << 10))[0],
      other.command(number, block: block, [UInt8](repeating: 0xee, count: 512)),
      flipped,
      Array(ours.prefix(Int.random(in: 0..<ours.count, using: &random))),
      ours + [0],
      random.bytes(Int.random(in: 0..<2000, using: &random)),
      [UInt8](repeating: 0xff, count: 40_000),
    ]
  }

  private func place(_ text: String) throws -> (String, Int) {
    let place = try PortalAddress(parsing: text)
    return (place.host, place.port)
  }
}
