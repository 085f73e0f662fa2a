// What a verification has found out about one region, for its repair.
//
// Law: a region is made equal to one leg in all of it, since what may differ is remembered by
// region. So that leg has to be right in each piece of it: to be among those of which most have the
// same there. Where as many have something else each of these is as good, and another piece may
// decide between them. A leg that is right in one piece and wrong in another would take what others
// have right along with what it has wrong: where each is, people have to name one.

/// A region that is to be repaired.
struct VerifiedRegion: Sendable, Equatable {
  /// Legs that are equal in all pieces that were judged.
  private(set) var groups: [LegSet]
  /// Those that were right in each of these, or as good as any.
  private(set) var candidates: LegSet

  init(groups: [LegSet], candidates: LegSet) {
    self.groups = groups
    self.candidates = candidates
  }

  /// The legs to which the others are to be made equal.
  var right: LegSet {
    guard !candidates.isEmpty else { return [] }
    let first = LegSet(candidates.rawValue.trailingZeroBitCount)
    return groups.first { $0.contains(first) } ?? []
  }

  /// Another piece was judged.
  mutating func narrow(_ others: [LegSet], _ candidates: LegSet) {
    self.candidates.formIntersection(candidates)
    groups = groups.flatMap { group in others.map { group.intersection($0) } }
      .filter { !$0.isEmpty }
  }
}

/// Legs that are being made equal to others in some regions.
struct VerificationMending: Sendable {
  let legs: LegSet
  /// Who is right in each of them.
  var regions: [Int: LegSet]
  /// Were lost meanwhile.
  var failed: LegSet = []
}
