// What the legs' records say together when a mirror is opened: whether it may go on, from which leg
// the others are made equal, and which generation comes next.
//
// Law: whoever may have acknowledged a write is here, or nobody else could have. A leg that has
// everything by the newest generation, and isn't here, could have gone on with others like it, by
// the rule that all of them have stored: then nobody opens without them. Where it could not, the
// legs here have everything, if one of them never lost its power with writes unflushed.
//
// A leg whose generation the newest doesn't descend from was cut off while it was being told a
// generation that not all of its members ever stored, so that nothing was acknowledged in it; or it
// went on alone. The first is seen by a member of it that went another way; the second is a split
// brain, which only people can decide.

/// How many legs that have everything a mirror needs, and which.
package enum RequiredLegs: Sendable, Equatable {
  /// A majority of three and more, one of two: whoever is left goes on.
  case usual
  case all
  case count(Int)
  /// These, by their place in the wish.
  case named(LegSet)

  func count(of legs: Int) -> Int {
    switch self {
    case .usual: legs < 3 ? 1 : legs / 2 + 1
    case .all: legs
    case .count(let count): min(max(count, 1), legs)
    case .named(let set): max(set.count, 1)
    }
  }

  func contains(_ leg: Int) -> Bool {
    guard case .named(let set) = self else { return false }
    return set.contains(LegSet(leg))
  }
}

/// What the initiator wants of a mirror that it opens.
package struct OpeningWish: Sendable {
  package var name: String
  /// Where each leg is reached, for people.
  package var labels: [String]
  /// Nil: as the mirror has it; a new one takes `usual`.
  package var required: RequiredLegs?
  /// Legs that belong to no mirror yet and are to belong to this one from now on.
  package var added: LegSet = []
  /// The legs of a new mirror are equal already, says the operator.
  package var areEqual = false
  /// The operator's choice after a split brain, or where legs are gone for good: that leg is right.
  package var kept: Int?
  /// Legs that were members once are left out, instead of the opening being refused: whoever names
  /// them could not know.
  package var leavesOutFormer = false

  package init(name: String, labels: [String]) {
    self.name = name
    self.labels = labels
  }
}

/// A leg that was reached when a mirror was opened.
package struct ReachedLeg: Sendable {
  package var leg: Int
  package var descriptor: LegDescriptor

  package init(leg: Int, descriptor: LegDescriptor) {
    self.leg = leg
    self.descriptor = descriptor
  }
}

/// How a mirror goes on.
package struct OpeningPlan: Sendable {
  /// With the generation that all legs here are to store; as no leg's own.
  package var record: MirrorRecord
  /// Which member each leg is; 0 for one that isn't here and was never met.
  package var members: [UInt64]
  /// Legs whose own records are another half's: theirs are replaced.
  package var replaced: LegSet = []
  /// Legs whose disks belong to no mirror, though they are members: released, or new ones.
  package var blank: LegSet = []
  /// Legs that were members once, and are left out.
  package var former: LegSet = []

  package func state(ofLeg leg: Int) -> MemberState {
    record.generation.member(members[leg])?.state ?? .absent
  }
}

/// Why a mirror is not opened.
package struct OpeningRefusal: Error, Sendable, Equatable {
  /// What kind of refusal it is.
  package enum Kind: String, Sendable {
    case splitBrain = "split-brain"
    case missing
    /// Members that have to be named.
    case unnamed
    case tooFew = "too-few"
    case noSource = "no-source"
    case blank
    case otherMirror = "other-mirror"
    case size
    case held
    case unreached
  }

  package var kind: Kind
  package var words: String
  /// One line for each leg that the decision was about.
  package var lines: [String] = []
}

/// The judge of the legs' records.
package struct Opening: Sendable {
  let wish: OpeningWish
  let reached: [ReachedLeg]

  /// - Parameters:
  ///   - identity: gives random numbers that were never given before, none of them zero.
  ///   - wallSeconds: seconds since 1970.
  package static func plan(
    _ wish: OpeningWish, reached: [ReachedLeg], wallSeconds: UInt64,
    identity: () -> UInt64
  ) throws(OpeningRefusal) -> OpeningPlan {
    try Opening(wish: wish, reached: reached).plan(wallSeconds, identity)
  }

  private func plan(
    _ wallSeconds: UInt64, _ identity: () -> UInt64
  ) throws(OpeningRefusal) -> OpeningPlan {
    guard let first = reached.first else { throw refusal(.unreached, "no leg was reached") }
    for other in reached where other.descriptor.layout != first.descriptor.layout {
      throw refusal(.size, "the legs' disks, or their regions, are not of one size")
    }
    let recorded = reached.filter { $0.descriptor.record != nil }
    guard let any = recorded.first?.descriptor.record else {
      return try newMirror(wallSeconds, identity)
    }
    for leg in recorded {
      guard let record = leg.descriptor.record, record.name != wish.name else { continue }
      throw refusal(
        .otherMirror,
        "\(wish.labels[leg.leg]) belongs to the mirror '\(record.name)', not '\(wish.name)'")
    }
    try checkDistinct(recorded)
    let kept = recorded.first { $0.leg == wish.kept }
    if wish.kept != nil, kept == nil {
      throw refusal(.noSource, "the leg to keep has no record of a mirror")
    }
    let mirror = kept?.descriptor.record?.mirror ?? any.mirror
    for leg in recorded where leg.descriptor.record?.mirror != mirror && wish.kept == nil {
      throw refusal(
        .otherMirror, "\(wish.labels[leg.leg]) belongs to another mirror of that name",
        about: recorded)
    }
    if let head = kept?.descriptor.record {
      return try successor(of: head, wallSeconds, identity)
    }
    return try successor(of: newest(recorded), wallSeconds, identity)
  }

  // MARK: A new mirror

  private func newMirror(
    _ wallSeconds: UInt64, _ identity: () -> UInt64
  ) throws(OpeningRefusal) -> OpeningPlan {
    guard reached.count == wish.labels.count else {
      let missing = wish.labels.indices.filter { index in !reached.contains { $0.leg == index } }
      throw refusal(
        .unreached,
        "a new mirror begins with all of its legs; not reached: "
          + missing.map { wish.labels[$0] }.joined(separator: ", "))
    }
    let required = wish.required ?? .usual
    let source = wish.kept ?? reached[0].leg
    var ids = [UInt64](repeating: 0, count: wish.labels.count)
    var members: [MirrorMember] = []
    for leg in reached {
      ids[leg.leg] = identity()
      members.append(
        MirrorMember(
          id: ids[leg.leg], label: wish.labels[leg.leg],
          state: wish.areEqual || leg.leg == source ? .inSync : .fresh,
          isRequired: required.contains(leg.leg)))
    }
    let generation = MirrorGeneration(
      counter: 1, id: identity(), members: members,
      requiredCount: required.count(of: members.count), madeAt: wallSeconds)
    let record = MirrorRecord(
      mirror: identity(), name: wish.name, member: 0, generation: generation)
    return OpeningPlan(record: record, members: ids)
  }

  // MARK: Words

  func refusal(
    _ kind: OpeningRefusal.Kind, _ words: String, about legs: [ReachedLeg] = []
  ) -> OpeningRefusal {
    OpeningRefusal(kind: kind, words: words, lines: legs.map(line))
  }

  /// A leg's generation, state and time, for people.
  private func line(_ leg: ReachedLeg) -> String {
    guard let record = leg.descriptor.record else {
      return "\(wish.labels[leg.leg]): belongs to no mirror"
    }
    let generation = record.generation
    let others = generation.members.filter { $0.id != record.member && $0.state == .absent }
    let without =
      others.isEmpty ? "" : ", without " + others.map(\.label).joined(separator: ", ")
    return "\(wish.labels[leg.leg]): generation \(generation.counter)"
      + " (\(String(generation.id, radix: 16))) of \(generation.madeAt), \(record.state.word),"
      + " \(leg.descriptor.markedCount) regions marked\(without)"
  }
}

extension MemberState {
  /// For people, and for programs.
  package var word: String {
    switch self {
    case .inSync: "in-sync"
    case .unequal: "unequal"
    case .stale: "stale"
    case .absent: "absent"
    case .fresh: "fresh"
    }
  }

  /// The worse of two.
  func worse(_ other: MemberState) -> MemberState { rawValue >= other.rawValue ? self : other }
}
