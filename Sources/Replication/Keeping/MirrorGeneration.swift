// Who belongs to a mirror, and since when: what every leg keeps beside its data.
//
// A generation is one state of the membership. It has a number, which tells the newer of two, and a
// random identity, which tells whether two of one number are the same: where a mirror fell into
// halves that each went on alone, both have the next number, and neither has the other's identity
// among its ancestors. A bare number could not say so.
//
// Law: a write that a member lacks is GOOD only when every other member has stored a generation
// that says so. Who returns is judged by what the others have stored meanwhile (`Opening`).

/// How a leg stands in a generation.
package enum MemberState: UInt8, Sendable, CaseIterable {
  /// It has all that was acknowledged, and equals the others but for writes that are open.
  case inSync = 0
  /// It has all that was acknowledged, but may differ from the source in what was open when the
  /// mirror stopped: its regions are compared, and copied where they differ.
  case unequal = 1
  /// It lacks acknowledged writes. It is here, gets what is written and what is copied.
  case stale = 2
  /// It is not here: the regions that it misses are marked at the others.
  case absent = 3
  /// Nothing is known of its bytes, and it doesn't have all of it marked yet.
  case fresh = 4

  /// Whether a reader may be given its bytes.
  package var isReadable: Bool { self == .inSync }
  /// Whether nothing that was acknowledged is missing there.
  package var hasEverything: Bool { self == .inSync || self == .unequal }
}

/// A leg as a generation names it.
package struct MirrorMember: Sendable, Equatable {
  /// Random, for ever the same.
  package var id: UInt64
  /// Where it was reached last, for people: its URL, of at most `labelMax` bytes.
  package var label: String
  package var state: MemberState
  /// The mirror takes no write without it.
  package var isRequired = false

  package static let labelMax = 512

  package init(id: UInt64, label: String, state: MemberState, isRequired: Bool = false) {
    self.id = id
    self.label = label
    self.state = state
    self.isRequired = isRequired
  }
}

/// One state of a mirror's membership.
package struct MirrorGeneration: Sendable, Equatable {
  /// Ancestors that are remembered, the parent first.
  package static let ancestorsMax = 128

  package var counter: UInt64
  /// Random.
  package var id: UInt64
  package var ancestors: [UInt64] = []
  package var members: [MirrorMember]
  /// How many legs that have everything the mirror needs to take a write.
  package var requiredCount: Int
  /// When it was made, in seconds since 1970, for people: nothing is decided by it.
  package var madeAt: UInt64

  package init(
    counter: UInt64, id: UInt64, members: [MirrorMember], requiredCount: Int, madeAt: UInt64
  ) {
    self.counter = counter
    self.id = id
    self.members = members
    self.requiredCount = requiredCount
    self.madeAt = madeAt
  }

  /// What comes after this one.
  package func next(id: UInt64, madeAt: UInt64) -> MirrorGeneration {
    var next = self
    next.counter += 1
    next.id = id
    next.ancestors = Array(([self.id] + ancestors).prefix(Self.ancestorsMax))
    next.madeAt = madeAt
    return next
  }

  package func member(_ id: UInt64) -> MirrorMember? { members.first { $0.id == id } }

  /// Whether any member lacks something: then no region's mark may be taken away.
  package var isDegraded: Bool { members.contains { $0.state != .inSync } }

  /// Whether a write could ever be acknowledged in it.
  var isSufficient: Bool { maySuffice(Set(members.filter(\.state.hasEverything).map(\.id))) }

  /// Whether these legs, when all of them have everything, may take writes without the others.
  package func maySuffice(_ present: Set<UInt64>) -> Bool {
    present.count >= requiredCount
      && members.allSatisfy { !$0.isRequired || present.contains($0.id) }
  }
}

/// What one leg keeps: which mirror it belongs to, as which member, and the generation.
package struct MirrorRecord: Sendable, Equatable {
  package static let nameMax = 64

  /// Random, for ever the same.
  package var mirror: UInt64
  /// What people call the mirror, of 1 to `nameMax` bytes.
  package var name: String
  /// Which of the members this leg is.
  package var member: UInt64
  package var generation: MirrorGeneration
  /// The mirror was ended in order, and everything is on the medium.
  package var isClosed = false

  package init(mirror: UInt64, name: String, member: UInt64, generation: MirrorGeneration) {
    self.mirror = mirror
    self.name = name
    self.member = member
    self.generation = generation
  }

  /// This leg's own state.
  package var state: MemberState { generation.member(member)?.state ?? .absent }

  /// Whether it is of a leg that was to be added, and nobody knows of that any more: it never had
  /// anything that others lack, so it counts as one without a record.
  func isBlank(among members: [MirrorMember]) -> Bool {
    state == .fresh && !members.contains { $0.id == member }
  }

  /// The same record as another member's.
  package func of(_ member: UInt64) -> MirrorRecord {
    var record = self
    record.member = member
    return record
  }
}

/// A leg's disk in regions, the unit in which it is remembered what may differ.
package struct RegionLayout: Sendable, Equatable {
  package static let regionsMax = 1 << 20
  package static let regionLengthDefault: UInt64 = 4 << 20

  package let byteCount: UInt64
  /// Bytes of a region; the last one may be shorter.
  package let regionLength: UInt64

  /// The default length, doubled until there are not more regions than may be.
  package init(byteCount: UInt64, regionLength: UInt64 = Self.regionLengthDefault) {
    precondition(byteCount > 0 && regionLength > 0, "a disk has bytes, and so has a region")
    self.byteCount = byteCount
    var length = regionLength
    while (byteCount + length - 1) / length > UInt64(Self.regionsMax) { length *= 2 }
    self.regionLength = length
  }

  package var regionCount: Int { Int((byteCount + regionLength - 1) / regionLength) }

  /// The regions that a range of bytes touches; it is not empty.
  package func regions(of bytes: Range<UInt64>) -> Range<Int> {
    Int(bytes.lowerBound / regionLength)..<Int((bytes.upperBound - 1) / regionLength) + 1
  }

  package func bytes(of region: Int) -> Range<UInt64> {
    let start = UInt64(region) * regionLength
    return start..<min(start + regionLength, byteCount)
  }
}
