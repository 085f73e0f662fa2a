// Whose the LUNs are, for all lanes of a daemon. The parts of one mirror come by different sessions
// to different lanes, at once; what one of them has taken the others may take, too, and nobody
// else. So a claim is made under one lock, all of it or nothing.
import Replication
import Synchronization

/// Which LUNs and virtual LUNs belong to a mirror now: their medium changes only through it.
final class MirroredNumbers: Sendable {
  /// Whose a claim is.
  enum Owner: Hashable, Sendable {
    /// All parts of one initiator's mirror.
    case mirror(UInt64, initiator: String)
    /// A registration that is a mirror by itself.
    case registration(UInt32, session: UInt64)

    init(_ request: RegistrationRequest, initiator: String, session: UInt64) {
      if let stripe = request.stripe {
        self = .mirror(stripe.mirror, initiator: initiator)
      } else {
        self = .registration(request.registration, session: session)
      }
    }
  }

  fileprivate struct Claim {
    var luns: [Int]
    let virtualLUN: Int
    let partCount: Int
    var parts: Set<Int>
  }

  fileprivate struct State {
    var claims: [Owner: Claim] = [:]
    var luns: Set<Int> = []
  }

  private let state = Mutex(State())

  func contains(_ lun: Int) -> Bool { state.withLock { $0.luns.contains(lun) } }

  /// Takes the numbers of a registration for its owner, or throws why they can't be had.
  func claim(_ request: RegistrationRequest, by owner: Owner) throws(RegistrationFault) {
    let part = request.stripe?.index ?? 0
    let partCount = request.stripe?.count ?? 1
    let fault = state.withLock { state -> RegistrationFault? in
      if let claim = state.claims[owner] {
        guard claim.luns == request.luns, claim.virtualLUN == request.virtualLUN,
          claim.partCount == partCount
        else { return RegistrationFault(.badRequest, "the parts of a mirror are alike") }
        let isNew = state.claims[owner]?.parts.insert(part).inserted ?? false
        return isNew ? nil : RegistrationFault(.busy, "part \(part) of this mirror is here already")
      }
      if let fault = state.taken(request.luns) { return fault }
      guard !state.claims.values.contains(where: { $0.virtualLUN == request.virtualLUN }) else {
        return RegistrationFault(
          .vlunTaken, "virtual LUN \(request.virtualLUN) is another mirror's: choose another")
      }
      state.luns.formUnion(request.luns)
      state.claims[owner] = Claim(
        luns: request.luns, virtualLUN: request.virtualLUN, partCount: partCount, parts: [part])
      return nil
    }
    if let fault { throw fault }
  }

  /// Takes more LUNs for an owner that has some.
  func add(_ luns: [Int], to owner: Owner) throws(RegistrationFault) {
    let fault = state.withLock { state -> RegistrationFault? in
      if let fault = state.taken(luns) { return fault }
      state.luns.formUnion(luns)
      state.claims[owner]?.luns += luns
      return nil
    }
    if let fault { throw fault }
  }

  /// Gives back what was added in vain.
  func remove(_ luns: [Int], from owner: Owner) {
    state.withLock { state in
      state.claims[owner]?.luns.removeAll { luns.contains($0) }
      state.luns.subtract(luns)
    }
  }

  /// A part has ended: with the last one its numbers are free.
  func release(_ request: RegistrationRequest, by owner: Owner) {
    state.withLock { state in
      state.claims[owner]?.parts.remove(request.stripe?.index ?? 0)
      guard let claim = state.claims[owner], claim.parts.isEmpty else { return }
      state.claims[owner] = nil
      state.luns.subtract(claim.luns)
    }
  }
}

extension MirroredNumbers.State {
  fileprivate func taken(_ wanted: [Int]) -> RegistrationFault? {
    wanted.first { luns.contains($0) }.map {
      RegistrationFault(.busy, "LUN \($0) belongs to another mirror")
    }
  }
}
