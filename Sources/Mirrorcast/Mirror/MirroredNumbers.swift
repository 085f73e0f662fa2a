// Whose the LUNs are, for all lanes of a daemon. The parts of one mirror come by different sessions
// to different lanes, at once; what one of them has taken the others may take, too, and nobody
// else. So a claim is made under one lock, all of it or nothing. A disk that is taken from its
// target is marked under the same lock: no mirror takes it then.
import Replication
import SCSI
import Synchronization

/// Which disks and virtual LUNs belong to a mirror now: their medium changes only through it.
final class MirroredNumbers: Sendable {
  /// Whose a claim is.
  enum Owner: Hashable, Sendable {
    /// All parts of one initiator's mirror at one target.
    case mirror(UInt64, initiator: String, target: String)
    /// A registration that is a mirror by itself.
    case registration(UInt32, session: UInt64)

    init(_ request: RegistrationRequest, initiator: String, at target: String, session: UInt64) {
      if let stripe = request.stripe {
        self = .mirror(stripe.mirror, initiator: initiator, target: target)
      } else {
        self = .registration(request.registration, session: session)
      }
    }
  }

  fileprivate struct Claim {
    let target: String
    var luns: [Int]
    var units: [ServedUnit]
    let virtualLUN: Int
    let partCount: Int
    /// Of a kept mirror, whose LUNs let its initiators in, and nobody else: they share them here.
    let isKept: Bool
    /// By part: the session that has registered it.
    var parts: [Int: UInt64]
  }

  fileprivate struct State {
    var claims: [Owner: Claim] = [:]
    /// How many owners each disk has: one, or initiators of one kept mirror.
    var units: [UInt64: Int] = [:]
    /// Numbers that become LUNs of a target just now, so that no virtual LUN takes them.
    var coming: Set<UnitPlace> = []
  }

  private let state = Mutex(State())

  func contains(_ unit: ServedUnit) -> Bool { state.withLock { $0.units[unit.id] != nil } }

  /// The disks that a session's virtual LUN maps to; none where it has registered no such.
  func units(ofVirtualLUN number: Int, session: UInt64) -> [ServedUnit] {
    state.withLock { state in
      state.claims.values.first {
        $0.virtualLUN == number && $0.parts.values.contains(session)
      }?.units ?? []
    }
  }

  /// Takes the disks of a registration, and its virtual LUN at that target, for its owner; or
  /// throws why they can't be had.
  func claim(
    _ request: RegistrationRequest, _ units: [ServedUnit], at target: String,
    by claimer: (owner: Owner, session: UInt64)
  ) throws(RegistrationFault) {
    let owner = claimer.owner
    let part = request.stripe?.index ?? 0
    let partCount = request.stripe?.count ?? 1
    let fault = state.withLock { state -> RegistrationFault? in
      if let claim = state.claims[owner] {
        guard claim.luns == request.luns, claim.virtualLUN == request.virtualLUN,
          claim.partCount == partCount
        else { return RegistrationFault(.badRequest, "the parts of a mirror are alike") }
        guard claim.parts[part] == nil else {
          return RegistrationFault(.busy, "part \(part) of this mirror is here already")
        }
        state.claims[owner]?.parts[part] = claimer.session
        return nil
      }
      let isKept = request.holder != nil
      if let fault = state.taken(units, isKept: isKept) { return fault }
      let virtual = request.virtualLUN
      let ids = units.map(\.id)
      guard
        !state.claims.values.contains(where: {
          let isShared = isKept && $0.isKept && $0.units.map(\.id) == ids
          return $0.virtualLUN == virtual && $0.target == target && !isShared
        })
      else {
        return RegistrationFault(
          .vlunTaken, "virtual LUN \(virtual) is another mirror's: choose another")
      }
      guard !state.coming.contains(UnitPlace(target: target, number: virtual)) else {
        return RegistrationFault(.lunTaken, "LUN \(virtual) exists here")
      }
      state.take(units)
      state.claims[owner] = Claim(
        target: target, luns: request.luns, units: units, virtualLUN: virtual,
        partCount: partCount, isKept: isKept, parts: [part: claimer.session])
      return nil
    }
    if let fault { throw fault }
  }

  /// Takes more disks for an owner that has some.
  func add(_ units: [ServedUnit], to owner: Owner) throws(RegistrationFault) {
    let fault = state.withLock { state -> RegistrationFault? in
      if let fault = state.taken(units, isKept: false) { return fault }
      state.take(units)
      state.claims[owner]?.luns += units.map { Int($0.number.value) }
      state.claims[owner]?.units += units
      return nil
    }
    if let fault { throw fault }
  }

  /// Gives back what was added in vain.
  func remove(_ units: [ServedUnit], from owner: Owner) {
    let ids = Set(units.map(\.id))
    state.withLock { state in
      state.claims[owner]?.luns.removeAll { lun in units.contains { Int($0.number.value) == lun } }
      state.claims[owner]?.units.removeAll { ids.contains($0.id) }
      state.giveBack(units)
    }
  }

  /// A part has ended: with the last one its numbers are free.
  func release(_ request: RegistrationRequest, by owner: Owner) {
    state.withLock { state in
      state.claims[owner]?.parts[request.stripe?.index ?? 0] = nil
      guard let claim = state.claims[owner], claim.parts.isEmpty else { return }
      state.claims[owner] = nil
      state.giveBack(claim.units)
    }
  }

  // MARK: Disks that come and go

  /// Lets disks go, and numbers become LUNs, unless a mirror has one of them: says then which, and
  /// nothing has changed.
  func change(leaving units: [ServedUnit], coming places: [UnitPlace]) -> String? {
    state.withLock { state in
      if let unit = units.first(where: { state.units[$0.id] != nil }) {
        return "LUN \(unit.number.value) of \(unit.logicalUnit.identity.targetName)"
          + " belongs to a mirror"
      }
      for place in places {
        let isTaken = state.claims.values.contains {
          $0.virtualLUN == place.number && $0.target == place.target
        }
        if isTaken { return "LUN \(place.number) of \(place.target) is a mirror's virtual LUN" }
      }
      for unit in units { unit.changes.withdraw() }
      state.coming.formUnion(places)
      return nil
    }
  }

  /// The numbers are LUNs of their targets by now, or never will be.
  func settle(_ places: [UnitPlace]) { state.withLock { $0.coming.subtract(places) } }
}

extension MirroredNumbers.State {
  fileprivate mutating func take(_ wanted: [ServedUnit]) {
    for unit in wanted { units[unit.id, default: 0] += 1 }
  }

  fileprivate mutating func giveBack(_ wanted: [ServedUnit]) {
    for unit in wanted {
      guard let owners = units[unit.id] else { continue }
      units[unit.id] = owners > 1 ? owners - 1 : nil
    }
  }

  private func isShared(_ unit: ServedUnit) -> Bool {
    claims.values.allSatisfy { $0.isKept || !$0.units.contains { $0.id == unit.id } }
  }

  fileprivate func taken(_ wanted: [ServedUnit], isKept: Bool) -> RegistrationFault? {
    if let unit = wanted.first(where: { units[$0.id] != nil && !(isKept && isShared($0)) }) {
      return RegistrationFault(.busy, "LUN \(unit.number.value) belongs to another mirror")
    }
    return wanted.first { $0.changes.isWithdrawn }.map {
      RegistrationFault(.noSuchLUN, "LUN \($0.number.value) is being taken away")
    }
  }
}
