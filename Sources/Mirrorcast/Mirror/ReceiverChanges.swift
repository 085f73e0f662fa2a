// A registration that is here already, registered again: a new epoch changes a mirror's members,
// and the patent's text adds LUNs.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Replication
import SCSI
import Storage

extension ReceiverDuty {
  /// A later registration: a new epoch, or more LUNs in the patent's text.
  mutating func registerAgain(
    _ request: RegistrationRequest, _ target: ServedTarget, _ known: Registration
  ) throws(RegistrationFault) -> TextKeys {
    guard !known.isEnding else { throw RegistrationFault(.busy, "this registration ends") }
    let place = try ReceptionPlace(
      request, known.session, configured: configuration.interface, known: known.place)
    if request.isLiteral {
      let added = request.luns.filter { lun in
        !known.units.contains { Int($0.number.value) == lun }
      }
      let units = try mapped(added, of: target, virtualLUN: request.virtualLUN)
      guard units.allSatisfy({ $0.logicalUnit.geometry == known.units[0].logicalUnit.geometry })
      else { throw RegistrationFault(.sizesDiffer, "the mapped LUNs differ in size") }
      try add(units, to: known, request)
      return try grant(known, place: place)
    }
    guard request.blockLength == known.receiver.configuration.blockLength,
      request.stripe == known.request.stripe, request.luns == known.request.luns,
      request.virtualLUN == known.request.virtualLUN,
      request.security?.cipher == known.request.security?.cipher,
      place.group.matches(known.place.group), place.source == known.place.source
    else {
      throw RegistrationFault(.badRequest, "an epoch changes members, not the mirror itself")
    }
    guard known.receiver.handleEpoch(request.epoch, firstWrite: request.firstWrite) else {
      throw RegistrationFault(.staleEpoch, "the epoch is \(known.receiver.currentEpoch) already")
    }
    return try grant(known, place: place)
  }

  /// More LUNs of a mirror without a name.
  private func add(
    _ units: [ServedUnit], to known: Registration, _ request: RegistrationRequest
  ) throws(RegistrationFault) {
    let keeping = try enter(units, request, known.session)
    do throws(RegistrationFault) {
      guard keeping == nil, known.kept == nil || units.isEmpty else {
        throw RegistrationFault(.kept, "a LUN of a mirror with a name is mapped alone")
      }
      try mirrored.add(units, to: known.owner)
      guard known.receiver.addUnits(units.map(\.number.field)) else {
        mirrored.remove(units, from: known.owner)
        throw RegistrationFault(.busy, "LUNs are added while no write is open, and a few at most")
      }
    } catch {
      leave(units, request, isKept: keeping != nil)
      throw error
    }
    known.units += units
  }
}
