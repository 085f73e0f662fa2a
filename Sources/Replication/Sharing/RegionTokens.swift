// Who may write where, as the initiator that leads a shared mirror knows it: one token for each
// region, with one initiator at a time, itself among them.
//
// Law: a request is granted whole, when all its regions are free or the asker's own and no earlier
// request wants any of them; until then its regions' owners are called. Requests that overlap are
// granted in the order in which they came, and nobody holds some regions while waiting for others
// but such as it gives back when called: so none waits for ever, and no two for each other.
//
// What an initiator had that is gone without a word is kept from all until its writes can't touch a
// medium any more and the legs are equal there again (`free`).

/// The tokens of all regions of a shared mirror's disk.
package struct RegionTokens: Sendable {
  /// An initiator of the mirror; 0 is the one that leads it.
  package typealias Participant = Int
  package static let leader: Participant = 0
  /// Initiators of one mirror, the leader among them.
  package static let participantsMax = 16
  /// Requests that one initiator may have waiting.
  package static let requestsMax = 256

  /// What the owner has to tell; it empties the array.
  package enum Output: Sendable, Equatable {
    case granted(Participant, Range<Int>)
    /// Others want these.
    case call(Participant, Range<Int>)
  }

  private struct Request: Sendable {
    let participant: Participant
    let regions: Range<Int>
  }

  private static let nobody: UInt8 = 255
  /// Its owner is gone.
  private static let kept: UInt8 = 254

  package var outputs: [Output] = []
  private var owners: [UInt8]
  private var isCalled: RegionMap
  private var requests: [Request] = []
  var requestCount: Int { requests.count }

  /// The leader has all.
  package init(regionCount: Int) {
    owners = [UInt8](repeating: UInt8(Self.leader), count: regionCount)
    isCalled = RegionMap(regionCount: regionCount)
  }

  package func owner(of region: Int) -> Participant? {
    owners[region] < Self.kept ? Int(owners[region]) : nil
  }

  /// Regions that are kept from all, since their owner is gone.
  package var keptCount: Int { owners.count { $0 == Self.kept } }

  // MARK: Handle

  /// False where no such regions are, or the participant asks for too much.
  package mutating func handleAsked(_ participant: Participant, _ regions: Range<Int>) -> Bool {
    guard !regions.isEmpty, regions.lowerBound >= 0, regions.upperBound <= owners.count,
      requests.count(where: { $0.participant == participant }) < Self.requestsMax
    else { return false }
    requests.append(Request(participant: participant, regions: regions))
    settle()
    return true
  }

  /// False where the participant had them not.
  package mutating func handleReleased(_ participant: Participant, _ regions: Range<Int>) -> Bool {
    guard regions.lowerBound >= 0, regions.upperBound <= owners.count,
      regions.allSatisfy({ owners[$0] == UInt8(participant) })
    else { return false }
    for region in regions {
      owners[region] = Self.nobody
      isCalled.remove(region)
    }
    settle()
    return true
  }

  /// A participant is gone: what it had is kept from all, and told.
  package mutating func remove(_ participant: Participant) -> [Range<Int>] {
    requests.removeAll { $0.participant == participant }
    var had = RegionMap(regionCount: owners.count)
    for region in owners.indices where owners[region] == UInt8(participant) {
      owners[region] = Self.kept
      isCalled.remove(region)
      had.insert(region)
    }
    settle()
    return had.ranges().ranges
  }

  /// What somebody had who is gone can be had again.
  package mutating func free(_ ranges: [Range<Int>]) {
    for region in ranges.joined() {
      precondition(owners[region] == Self.kept, "nobody was gone from there")
      owners[region] = Self.nobody
    }
    settle()
  }

  // MARK: Steps

  private mutating func settle() {
    var rest: [Request] = []
    for request in requests {
      let own = UInt8(request.participant)
      let isBehind = rest.contains { $0.regions.overlaps(request.regions) }
      if isBehind {
        rest.append(request)
      } else if request.regions.allSatisfy({ isFree($0, for: own) }) {
        for region in request.regions { owners[region] = own }
        outputs.append(.granted(request.participant, request.regions))
      } else {
        call(request)
        rest.append(request)
      }
    }
    requests = rest
  }

  /// What was called back is on its way here, even where nobody wants it any more.
  private func isFree(_ region: Int, for own: UInt8) -> Bool {
    owners[region] == Self.nobody || owners[region] == own && !isCalled.contains(region)
  }

  /// Calls back what others have of it.
  private mutating func call(_ request: Request) {
    var start = request.regions.lowerBound
    while start < request.regions.upperBound {
      let owner = owners[start]
      var end = start + 1
      while end < request.regions.upperBound, owners[end] == owner,
        isCalled.contains(end) == isCalled.contains(start)
      {
        end += 1
      }
      if owner < Self.kept, owner != UInt8(request.participant), !isCalled.contains(start) {
        isCalled.insert(start..<end)
        outputs.append(.call(Int(owner), start..<end))
      }
      start = end
    }
  }
}
