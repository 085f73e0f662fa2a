// Members that an opening doesn't name, and disks that don't know any more that they are members.

extension Opening {
  /// Where another member is reached by that name, it is that one's.
  private func isNamed(_ member: MirrorMember) -> Bool {
    wish.labels.indices.contains { leg in
      guard wish.labels[leg] == member.label else { return false }
      let found = reached.first { $0.leg == leg }?.descriptor.record
      return found.map { $0.member == member.id } ?? true
    }
  }

  /// One disk under two names is one leg: who counted it twice would believe in a copy that isn't
  /// there.
  func checkDistinct(_ recorded: [ReachedLeg]) throws(OpeningRefusal) {
    for (index, leg) in recorded.enumerated() {
      let same = recorded[..<index].first { other in
        other.descriptor.record?.mirror == leg.descriptor.record?.mirror
          && other.descriptor.record?.member == leg.descriptor.record?.member
      }
      guard let same else { continue }
      throw refusal(
        .otherMirror, "\(wish.labels[same.leg]) and \(wish.labels[leg.leg]) are one disk",
        about: recorded)
    }
  }

  /// Nobody is left behind for not having been named: who leaves a member out by mistake would be
  /// told of it by nothing. One that was absent before may be left out.
  func checkNamed(
    _ members: [MirrorMember], _ here: [UInt64]
  ) throws(OpeningRefusal) {
    guard wish.kept == nil else { return }
    let unnamed = members.filter { !here.contains($0.id) && !isNamed($0) }
    guard !unnamed.isEmpty else { return }
    let labels = unnamed.map(\.label).joined(separator: ", ")
    throw refusal(
      .unnamed, "\(unnamed.count == 1 ? "a leg of it is" : "legs of it are") not named: \(labels)",
      about: reached)
  }

  /// A member's disk that belongs to no mirror any more, and isn't said to be a new one: the mirror
  /// goes on as if it weren't here.
  func isToBeAddedAnew(_ leg: ReachedLeg, among members: [MirrorMember]) -> Bool {
    let here = reached.compactMap(\.descriptor.record?.member)
    return !wish.added.contains(LegSet(leg.leg))
      && members.contains { $0.label == wish.labels[leg.leg] && !here.contains($0.id) }
  }
}
