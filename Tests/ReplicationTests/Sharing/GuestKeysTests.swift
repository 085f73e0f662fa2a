import ISCSI
import Testing

@testable import Replication

/// What the leader of a shared mirror does about its guests' reservations.
@Suite struct GuestKeysTests {
  private static let here = LegSet([0, 1])

  private func hall() -> GuestHall {
    var hall = GuestHall(RegionLayout(byteCount: 64 << 20))
    hall.members = [11, 12]
    return hall
  }

  /// A guest comes, as far as it can.
  private func enter(_ id: UInt64, _ hall: inout GuestHall) {
    hall.handleHello(id, here: Self.here, now: 0)
    for leg in 0..<2 { hall.handleAdmitted(leg: leg, guest: id, here: Self.here) }
    hall.handle(.ready, from: id, here: Self.here, now: 0)
    #expect(hall.isPresent(id))
  }

  private func leave(_ id: UInt64, _ hall: inout GuestHall) {
    hall.orders = []
    hall.handleGone(id, words: "it is gone", here: Self.here)
    hall.handleExpelled(leg: 0, guest: id, here: Self.here)
    #expect(!hall.orders.contains { if case .unreserve = $0 { true } else { false } })
    hall.handleExpelled(leg: 1, guest: id, here: Self.here)
  }

  @Test func `what a guest had reserved goes when no leg has anything of it`() {
    var hall = hall()
    enter(1, &hall)
    hall.handle(.key(77), from: 1, here: Self.here, now: 0)
    #expect(hall.isUsed(77))
    leave(1, &hall)
    #expect(hall.orders.last == .unreserve(key: 77))
    #expect(!hall.isUsed(77))
  }

  @Test func `a guest without a key, or whose key is another's, leaves nothing`() {
    var hall = hall()
    enter(1, &hall)
    enter(2, &hall)
    enter(3, &hall)
    hall.handle(.key(77), from: 1, here: Self.here, now: 0)
    hall.handle(.key(0), from: 1, here: Self.here, now: 0)
    leave(1, &hall)
    #expect(!hall.orders.contains { if case .unreserve = $0 { true } else { false } })
    // One came back by another connection before the first was seen to be gone.
    hall.handle(.key(78), from: 2, here: Self.here, now: 0)
    hall.handle(.key(78), from: 3, here: Self.here, now: 0)
    leave(2, &hall)
    #expect(!hall.orders.contains { if case .unreserve = $0 { true } else { false } })
    leave(3, &hall)
    #expect(hall.orders.contains(.unreserve(key: 78)))
  }

  @Test func `guests know the leader's key, those that come later, too`() {
    var hall = hall()
    enter(1, &hall)
    hall.noteKey(5)
    #expect(hall.orders.last == .send(guest: 1, .key(5)))
    hall.orders = []
    enter(2, &hall)
    #expect(hall.orders.contains(.send(guest: 2, .key(5))))
  }

  @Test func `a key is said and heard`() throws {
    for key in [0, 1, UInt64.max] {
      #expect(try SharingMessage(SharingMessage.key(key).keys) == .key(key))
    }
  }
}
