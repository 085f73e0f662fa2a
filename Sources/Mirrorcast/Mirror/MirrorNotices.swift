// What a mirror tells once it is established: which legs don't hear the group, and what its users
// should know.
import Replication
import Synchronization

extension Mirror {
  /// Each part finds out which legs hear it; which don't hear one.
  func probeAll() async -> [LogicalUnitURL] {
    await withTaskGroup(of: Void.self) { group in
      for part in parts {
        let legs = part.membership.withLock { $0.legs }
        let ours = LegSet(legs.indices.filter { legs[$0].hearsDatagrams })
        group.addTask { _ = await part.probe(ours) }
      }
    }
    let deaf = parts.reduce(LegSet()) { $0.union($1.membership.withLock { $0.deaf }) }
    let legs = parts[0].membership.withLock { $0.legs }
    // Who left meanwhile is another matter.
    return legs.indices.filter { deaf.contains(LegSet($0)) && !legs[$0].isGone }
      .map { legs[$0].urls[0] }
  }

  /// Tells once which legs don't hear a part.
  func noteDeaf() {
    for leg in parts[0].membership.withLock({ $0.legs }) where leg.lacksQueuePair {
      note("\(leg.urls[0]) has no RDMA: served \(leg.isCarried ? "over TCP" : "by UDP")")
    }
    for part in parts {
      let (legs, deaf) = part.membership.withLock { ($0.legs, $0.deaf) }
      deaf.forEach { leg in
        note(
          "\(legs[leg].urls[0]) does not hear the group \(options.group): served over TCP."
            + " Check --interface at both ends, and multicast on the switches between")
      }
    }
  }

  func noteForPeople() {
    noteDeaf()
    switch options.security {
    case nil: note("datagrams not authenticated: trust everybody on this segment")
    case .authenticate?: note("datagrams are signed, not encrypted: anybody can read them")
    case .aes128GCM?, .aes256GCM?: break
    }
    for leg in parts[0].membership.withLock({ $0.legs }) where leg.isForeign {
      note("\(leg.urls[0]) is a target of another make: served by plain iSCSI")
    }
  }
}
