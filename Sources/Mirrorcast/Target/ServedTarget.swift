// A target while it is served. What a daemon can be told anew while it runs is behind a lock here:
// the disks, and who may use them. A session takes the disks once, when it logs in, and is visited
// when they change: so its commands need no lock, and each sees all of a change or nothing of it.

import ISCSI
import NIOCore
import Synchronization

/// One target of a running daemon.
package final class ServedTarget: Sendable {
  /// Who may log in, and what they must prove.
  struct Admission: Sendable {
    var access: AccessList
    var requirement: CHAPRequirement?
  }

  private struct State {
    var units: ServedUnits
    var admission: Admission
  }

  package let name: String
  private let state: Mutex<State>

  init(name: String, units: ServedUnits, admission: Admission) {
    self.name = name
    state = Mutex(State(units: units, admission: admission))
  }

  /// Its disks as they are now.
  package var units: ServedUnits { state.withLock { $0.units } }

  var admission: Admission { state.withLock { $0.admission } }

  func change(_ units: ServedUnits, _ admission: Admission) {
    state.withLock { $0 = State(units: units, admission: admission) }
  }

  /// Whether that initiator may log in from there, as far as names and addresses go.
  func admits(_ initiator: String, from address: SocketAddress?) -> Bool {
    let access = admission.access
    return access.admits(initiator: initiator)
      && access.admits(address: address?.numericText ?? "")
  }

  /// As a session on that connection is told of it.
  func listing(portals: [String], to address: SocketAddress?) -> TargetListing {
    let admission = admission
    var listing = TargetListing(name: name, portals: portals)
    listing.initiators = admission.access.initiators
    listing.admitsAddress = admission.access.admits(address: address?.numericText ?? "")
    listing.authentication = admission.requirement
    return listing
  }
}

extension ServedTarget.Admission {
  /// `secrets`: the daemon's, for targets without their own.
  init(_ target: TargetDefinition, secrets: CHAPSecrets?) throws(MirrorcastError) {
    access = target.access
    requirement = try (target.secrets ?? secrets)?.requirement()
  }
}
