import Replication
import Testing

@testable import Mirrorcast

/// What a target makes of the parts of a mirror, asked by hand.
@Suite(.timeLimit(.minutes(10)))
struct `A target and the parts of a mirror` {
  private func request(
    _ scene: MirrorScene, _ stripe: Stripe?, registration: UInt32, luns: [Int] = [0],
    virtualLUN: Int = 9
  ) -> RegistrationRequest {
    var request = RegistrationRequest(
      registration: registration, group: scene.group.address,
      port: UInt16(scene.group.port + (stripe?.index ?? 0)), luns: luns, virtualLUN: virtualLUN)
    request.sender = "127.0.0.1:40000"
    request.stripe = stripe
    return request
  }

  private func session(
    _ scene: MirrorScene, name: String = initiator
  ) async throws -> InitiatorConnection {
    let session = try await plainSession(try scene.legs[0], name: name, offersMirror: true)
    scene.endLater { await session.close() }
    return session
  }

  /// The refusal's name; nil where the registration was taken.
  private func refusal(
    _ session: InitiatorConnection, _ request: RegistrationRequest, _ scene: MirrorScene
  ) async throws -> String? {
    let urls = try request.luns.map { try scene.targets[0].url($0) }
    do {
      _ = try await session.register(request, urls, within: 60, key: nil)
      return nil
    } catch let error as MirrorcastError {
      return error.what
    }
  }

  @Test(arguments: [1, 2, 3]) func `lets them share their LUNs, and nobody else`(
    lanes: Int
  ) async throws {
    try await MirrorScene.run([["0=memory:1M", "1=memory:1M"]], lanes: lanes) { scene in
      let parts = (0..<2).map { Stripe(mirror: 5, index: $0, count: 2) }
      let first = try await session(scene), second = try await session(scene)
      let other = try await session(scene, name: initiator + "-2")
      #expect(try await refusal(first, request(scene, parts[0], registration: 1), scene) == nil)
      for (asked, words) in [
        // A part that is here, another number of parts, other LUNs.
        (request(scene, parts[0], registration: 2), "(busy)"),
        (
          request(scene, Stripe(mirror: 5, index: 1, count: 3), registration: 2),
          "(bad-request)"
        ),
        (request(scene, parts[1], registration: 2, luns: [1]), "(bad-request)"),
        (request(scene, parts[1], registration: 2, luns: [0, 1]), "(bad-request)"),
        (request(scene, parts[1], registration: 2, virtualLUN: 10), "(bad-request)"),
        // Another mirror of the same initiator.
        (request(scene, Stripe(mirror: 6, index: 1, count: 2), registration: 2), "(busy)"),
        (request(scene, nil, registration: 2), "(busy)"),
        (request(scene, nil, registration: 2, luns: [1]), "(vlun-taken)"),
      ] {
        let asking = try await session(scene)
        let found = try await refusal(asking, asked, scene)
        #expect(found?.contains(words) == true, "\(asked): \(found ?? "taken")")
      }
      // Another initiator, whatever it knows.
      let stolen = try await refusal(other, request(scene, parts[1], registration: 3), scene)
      #expect(stolen?.contains("(busy)") == true)
      #expect(try await refusal(second, request(scene, parts[1], registration: 2), scene) == nil)
      // The LUN is free when the last part has ended, and not before.
      let url = try scene.legs[0]
      try await first.terminate(request(scene, parts[0], registration: 1), [url], within: 60)
      let early = try await refusal(
        try await session(scene, name: initiator + "-2"), request(scene, nil, registration: 4),
        scene)
      #expect(early?.contains("(busy)") == true)
      try await second.terminate(request(scene, parts[1], registration: 2), [url], within: 60)
      let late = try await session(scene, name: initiator + "-2")
      #expect(try await refusal(late, request(scene, nil, registration: 4), scene) == nil)
    }
  }

  @Test func `gives a session to one lane, and finds what it asks there`() async throws {
    try await MirrorScene.run([["0=memory:1M", "1=memory:1M"]], lanes: 2) { scene in
      let parts = (0..<2).map { Stripe(mirror: 5, index: $0, count: 2) }
      let session = try await session(scene)
      #expect(try await refusal(session, request(scene, parts[1], registration: 1), scene) == nil)
      // Another part, or another mirror's first one, is another lane's.
      for other in [
        request(scene, parts[0], registration: 2),
        request(scene, nil, registration: 2, luns: [1], virtualLUN: 10),
      ] {
        #expect(try await refusal(session, other, scene)?.contains("(bad-request)") == true)
      }
      // The next epoch, and the end, of what it has.
      var next = request(scene, parts[1], registration: 1)
      next.epoch = 2
      #expect(try await refusal(session, next, scene) == nil)
      var changed = next
      changed.epoch = 3
      changed.stripe = Stripe(mirror: 6, index: 1, count: 2)
      #expect(try await refusal(session, changed, scene)?.contains("(bad-request)") == true)
      try await session.terminate(next, [try scene.legs[0]], within: 60)
    }
  }
}
