// The lane's part of kept mirrors: a registration is let in by the record of its LUN; each store
// waits until what it may touch is marked; what has ended everywhere is told along.
//
// Stores that wait for marks stand apart from those that wait for the workers: a mirror whose
// journal is slow must not hold another's writes up. They ask again only when a round of their
// journal has ended, which wakes the lane.
import Bytes
import ISCSI
import Lanes
import Logging
import Replication
import SCSI
import Storage

/// A registration's LUN, which belongs to a kept mirror.
struct KeptPlace {
  let keeping: UnitKeeping
  /// Below it all writes have ended, as the LUN was told last.
  var toldLowest: SerialNumber
}

/// Stores that may begin only when what they touch is marked.
struct StoreAdmissions {
  private struct Waiting {
    let registration: Registration
    let store: StoreRequest
    /// The rounds that had ended when it asked last; nil: it hasn't.
    var askedAt: UInt64?
  }

  private var waiting: [Waiting] = []

  var isEmpty: Bool { waiting.isEmpty }

  mutating func append(_ store: StoreRequest, of registration: Registration) {
    waiting.append(Waiting(registration: registration, store: store))
  }

  /// Asks for all that may have become possible; `begin` gets what may be stored, `refuse` what
  /// never will be.
  mutating func ask(
    now: UInt64, begin: (Registration, StoreRequest) -> Void,
    refuse: (Registration, StoreRequest) -> Void
  ) {
    waiting = waiting.compactMap { one in
      guard let keeping = one.registration.kept?.keeping else {
        preconditionFailure("a store of a LUN that nothing is kept of")
      }
      // Read before the question: a round that ends meanwhile is asked about once more.
      let rounds = keeping.roundsEnded
      guard one.askedAt != rounds else { return one }
      let start = one.store.byteOffset
      let admission = keeping.mayStore(
        start..<start + UInt64(one.store.length), part: one.registration.number,
        number: one.store.number, now: now)
      switch admission {
      case .now: begin(one.registration, one.store)
      case .never: refuse(one.registration, one.store)
      case .later:
        var again = one
        again.askedAt = rounds
        return again
      }
      return nil
    }
  }
}

extension ReceiverDuty {
  /// Lets a registration in at all of its LUNs, or at none.
  /// - Returns: the LUN's keeping where that has a record.
  func enter(
    _ units: [ServedUnit], _ request: RegistrationRequest, _ session: SessionPort
  ) throws(RegistrationFault) -> UnitKeeping? {
    let signal = inbox.signal
    var entered: [(unit: ServedUnit, isKept: Bool)] = []
    do throws(RegistrationFault) {
      for unit in units {
        let isKept = try unit.keeping.enter(
          request.registration, session: session.id, holder: request.holder
        ) { signal.wake() }
        entered.append((unit, isKept))
        guard !isKept || units.count == 1 else {
          throw RegistrationFault(
            .kept, "LUN \(unit.number.value) belongs to a mirror with a name: map it alone")
        }
      }
    } catch {
      for (unit, isKept) in entered {
        unit.keeping.leave(request.registration, holder: request.holder, isKept: isKept)
      }
      throw error
    }
    return entered.first.flatMap { $0.isKept ? $0.unit.keeping : nil }
  }

  /// The stores of a registration that was let in have ended.
  func leave(_ units: [ServedUnit], _ request: RegistrationRequest, isKept: Bool) {
    for unit in units {
      unit.keeping.leave(request.registration, holder: request.holder, isKept: isKept)
    }
  }

  /// Stores that may begin by now, begin.
  mutating func admitStores(now: UInt64) {
    guard !admissions.isEmpty else { return }
    var admitted: [(registration: UInt32, store: StoreRequest)] = []
    admissions.ask(now: now) { registration, store in
      admitted.append((registration.serial, store))
    } refuse: { registration, store in
      let sense = Self.sense(
        SenseData(.hardwareError, .internalTargetFailure), at: registration.units[store.unit])
      registration.receiver.handleStored(
        slot: store.slot, unit: store.unit, status: Status.checkCondition.rawValue, sense: sense)
    }
    waitingStores += admitted
  }

  /// Tells the LUNs what has ended at every member.
  func tellEnded(now: UInt64) {
    for registration in registrations {
      let lowest = registration.receiver.lowestNumber
      guard let kept = registration.kept, kept.toldLowest != lowest else { continue }
      registration.kept?.toldLowest = lowest
      kept.keeping.ended(part: registration.number, below: lowest, now: now)
    }
  }

  /// Copies are for a leg that lacks something, as long as it does.
  func noteCopies() {
    for registration in registrations {
      guard let kept = registration.kept else { continue }
      registration.receiver.takesCopies = kept.keeping.takesCopies
    }
  }

  /// A failure in the format that a disk's sense has.
  static func sense(_ sense: SenseData, at unit: ServedUnit) -> [UInt8] {
    var result = CommandResult(sense)
    result.usesDescriptors = unit.device.with { $0.usesDescriptors }
    return result.senseBytes
  }

  // MARK: The end of a claim

  /// Ends the registrations at some LUNs, whichever session's they are.
  mutating func endAll(
    at units: Set<UInt64>, of holder: UInt64?, _ ended: @escaping @Sendable () -> Void
  ) {
    var serials: [UInt32] = []
    for registration in registrations
    where (holder == nil || registration.request.holder == holder)
      && registration.units.contains(where: { units.contains($0.id) })
    {
      end(registration)
      serials.append(registration.serial)
    }
    vacating.append(UnitsVacating(registrations: serials, ended: ended))
  }

  mutating func finishVacating() {
    guard !vacating.isEmpty else { return }
    let busy = Set(registrations.map(\.serial))
    vacating.removeAll { waiter in
      let isOver = !waiter.registrations.contains { busy.contains($0) }
      if isOver { waiter.ended() }
      return isOver
    }
  }
}

/// Registrations that are ended since their LUNs' claims end, and who waits for that.
struct UnitsVacating: Sendable {
  let registrations: [UInt32]
  let ended: @Sendable () -> Void
}
