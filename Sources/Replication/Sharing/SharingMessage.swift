// What the initiators of a shared mirror say to each other: the one that leads it, which has
// claimed the legs, and its guests. In order, on one connection for each guest; when that ends the
// guest is gone.
//
// Law: what the leader tells its own lanes about legs it tells its guests' in the same order. So
// whatever holds of a kept mirror's lanes holds of all initiators': none tells a write as GOOD that
// a leg lacks before the others have stored so.

/// Something that one initiator of a shared mirror tells another.
package enum SharingMessage: Sendable, Equatable {
  // A guest's, first to last.

  /// Who it is: the number by which the legs are to know its registrations, and the word that the
  /// legs told it.
  case hello(guest: UInt64, secret: UInt64)
  /// It has registered with all legs that it was told of.
  case ready
  /// It would like to write in these regions.
  case ask(Range<Int>)
  /// It writes in them no more.
  case released(Range<Int>)
  /// A write of its ended badly everywhere: there the legs may differ.
  case suspect(Range<UInt64>)
  /// Its writes reach a leg from now on, and none that began before is open.
  case joined(member: UInt64, turn: UInt32)
  case notJoined(member: UInt64, turn: UInt32, words: String)
  /// It has ended in order: nothing of its is open.
  case leaving

  // The leader's.

  /// Register with the members that are named as here.
  case welcome(SharedMirror)
  case granted(Range<Int>)
  /// Another wants these.
  case call(Range<Int>)
  /// All that stay have stored that a leg left.
  case confirmed(member: UInt64)
  /// Take a leg into the next epoch. What the guest says of the leg from then on has that turn, so
  /// that late words about an earlier one are told from it.
  case join(member: UInt64, turn: UInt32, label: String)
  /// How a leg stands, for people.
  case state(member: UInt64, MemberState, generation: UInt64, reason: String)
  case suspend
  case resume
  /// So many ranges that the guest had told as suspect are equal again.
  case mended(Int)
  case stop(String)

  // Either's.

  /// A leg is lost to whoever says so, hence to all.
  case lost(member: UInt64, turn: UInt32, words: String)
  /// The key by which whoever says so is registered for reservations at the legs; zero: by none.
  /// Told before it is used, so that who is left can take it away.
  case key(UInt64)
  /// Nothing but that it is there.
  case alive
}

/// A mirror as its leader tells it to a guest.
package struct SharedMirror: Sendable, Equatable {
  /// As one of the members that are here has it; the generation names all.
  package var record: MirrorRecord
  package var layout: RegionLayout
  package var group: String
  package var port: Int
  package var virtualLUN: Int
  /// The members that mirrored writes reach.
  package var here: [UInt64]
  /// Too few legs are left just now.
  package var isSuspended: Bool
  /// How datagrams are protected; nil: not at all.
  package var cipher: DatagramCipher?

  package init(
    record: MirrorRecord, layout: RegionLayout, group: String, port: Int, virtualLUN: Int,
    here: [UInt64], isSuspended: Bool
  ) {
    self.record = record
    self.layout = layout
    self.group = group
    self.port = port
    self.virtualLUN = virtualLUN
    self.here = here
    self.isSuspended = isSuspended
  }
}

/// Where a mirror's leader is to be found, as a leg tells whoever asks it.
package struct LeaderPlace: Sendable, Equatable {
  package static let operation = "leader"

  /// HOST:PORT, numeric.
  package var address: String
  /// Who can say it has logged in to a leg.
  package var secret: UInt64

  package init(address: String, secret: UInt64) {
    self.address = address
    self.secret = secret
  }
}
