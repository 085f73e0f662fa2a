// Who has a leg, as a target's shell sees to it: a claim ends only when nothing of its session can
// touch the medium any more, and who claims meanwhile waits.

/// The claim of a leg.
struct Tenancy {
  /// The channel whose session has it.
  var channel: Int?
  var holder: UInt64 = 0
  /// Its session is gone, and what came by others may not be.
  var isEnding = false
  /// Claims that wait.
  var deferred: [(channel: Int, token: UInt64, holder: UInt64)] = []
  /// What was asked: who asked, and for what.
  var asked: [UInt64: (channel: Int, claims: UInt64?)] = [:]
  private var lastToken: UInt64 = 0

  mutating func note(_ channel: Int, claims: UInt64?) -> UInt64 {
    lastToken += 1
    asked[lastToken] = (channel, claims)
    return lastToken
  }

  func asked(by channel: Int) -> [UInt64] {
    asked.filter { $0.value.channel == channel }.keys.sorted()
  }

  mutating func drop(_ channel: Int) {
    asked = asked.filter { $0.value.channel != channel }
    deferred.removeAll { $0.channel == channel }
  }
}
