import SCSI
import Testing

@testable import Mirrorcast

/// Reservations that are made through a mirror: the same at all legs.
@Suite(.timeLimit(.minutes(10)))
struct `Reservations of mirrors` {
  @Test(arguments: [1, 2])
  func `are made, told and ended at all legs`(lanes: Int) async throws {
    try await MirrorScene.run(legs: 3, size: "8M", lanes: lanes) { scene in
      var options = try scene.options()
      options.lanes.placements = Array(repeating: "any", count: lanes)
      let mirror = try await scene.mirror(options)
      #expect(try await mirror.reservation() == MirrorReservation())
      #expect(await refusal { try await mirror.reserve(.writeExclusive) } == .notRegistered)
      try await mirror.register(key: 0xa)
      #expect(try await mirror.reservation() == MirrorReservation(keys: [0xa]))
      for kind in MirrorReservation.Kind.allCases {
        guard lanes == 1 || kind.type.admitsRegistrants else {
          #expect(await refusal { try await mirror.reserve(kind) } == .refused)
          continue
        }
        try await mirror.reserve(kind)
        let isOfAll = kind.type.isOfAll
        #expect(
          try await mirror.reservation()
            == MirrorReservation(keys: [0xa], kind: kind, holderKey: isOfAll ? 0 : 0xa))
        // By every lane.
        #expect(await mirror.write(randomBytes(4 << 20), at: 0).isGood)
        try await mirror.release()
        #expect(try await mirror.reservation().kind == nil)
      }
      // A new key in the old one's place.
      try await mirror.reserve(.writeExclusiveRegistrantsOnly)
      try await mirror.register(key: 0xb)
      #expect(
        try await mirror.reservation()
          == MirrorReservation(
            keys: [0xb], kind: .writeExclusiveRegistrantsOnly, holderKey: 0xb))
      try await mirror.clear()
      #expect(try await mirror.reservation() == MirrorReservation())
      try await mirror.register(key: 0xb)
      try await mirror.reserve(.writeExclusiveAllRegistrants)
      #expect(await mirror.terminate().bad == [])
      for target in scene.targets {
        let stranger = try target.client()
        // It may have news to hear first.
        _ = try stranger.write([UInt8](repeating: 9, count: 512), at: 0)
        #expect(try stranger.write([UInt8](repeating: 9, count: 512), at: 0).status == 0)
      }
    }
  }

  @Test func `that a leg has of a stranger are a named difference`() async throws {
    try await MirrorScene.run(legs: 2, size: "1M") { scene in
      let mirror = try await scene.mirror()
      let legs = try scene.legs.sorted { "\($0)" < "\($1)" }
      let last = try #require(scene.targets.first { try! $0.url(0) == legs[1] })
      let stranger = try last.client()
      #expect(try stranger.run(CommandDescriptorBlock(.reserve6)).status == 0)
      do {
        try await mirror.register(key: 1)
        Issue.record("a leg that is reserved otherwise is registered with")
      } catch let error as MirrorReservationError {
        #expect(error.reason == .differs)
        #expect(error.legs.map(\.url) == legs && error.legs.map(\.isGood) == [true, false])
        #expect(error.description.contains("RESERVATION CONFLICT"), "\(error)")
      }
    }
  }
}
