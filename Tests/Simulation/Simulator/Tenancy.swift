// Who has a leg, as a target's shell sees to it: a claim ends only when nothing of its session can
// touch the medium any more, and who claims meanwhile waits.

import Replication

/// The claim of a leg.
struct Tenancy {
  /// The channel whose session has it.
  var channel: Int?
  var holder: UInt64 = 0
  /// Its session is gone, and what came by others may not be.
  var isEnding = false
  /// Claims that wait.
  var deferred: [(channel: Int, token: UInt64, holder: UInt64)] = []
  /// Other initiators that the holder lets in.
  private var guests: Set<UInt64> = []
  /// Where the holder is to be found.
  private(set) var leader: LeaderPlace?
  /// Guests whose registrations are ending; then that is answered.
  var expulsions: [(channel: Int, token: UInt64, guest: UInt64)] = []
  /// What was asked: who asked, and for what.
  var asked: [UInt64: (channel: Int, request: KeepingRequest)] = [:]
  private var lastToken: UInt64 = 0

  func lets(_ holder: UInt64?) -> Bool {
    holder.map { $0 == self.holder || guests.contains($0) } ?? false
  }

  /// A request was done.
  mutating func noteDone(_ request: KeepingRequest) {
    switch request {
    case .lead(let place): leader = place
    case .admit(let guest): guests.insert(guest)
    default: break
    }
  }

  mutating func expel(_ guest: UInt64) { guests.remove(guest) }

  /// Nothing of the claim's session can touch the medium any more.
  mutating func end() {
    channel = nil
    isEnding = false
    guests = []
    leader = nil
  }

  mutating func note(_ channel: Int, _ request: KeepingRequest) -> UInt64 {
    lastToken += 1
    asked[lastToken] = (channel, request)
    return lastToken
  }

  func asked(by channel: Int) -> [UInt64] {
    asked.filter { $0.value.channel == channel }.keys.sorted()
  }

  mutating func drop(_ channel: Int) {
    asked = asked.filter { $0.value.channel != channel }
    deferred.removeAll { $0.channel == channel }
    expulsions.removeAll { $0.channel == channel }
  }
}
