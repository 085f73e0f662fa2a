// From whole writes to the medium, and the end of registrations.
import ISCSI
import Lanes
import Logging
import Replication
import SCSI
import Storage

extension ReceiverDuty {
  mutating func takeStores(_ registration: Registration) {
    guard !registration.receiver.stores.isEmpty else { return }
    for store in registration.receiver.stores {
      if registration.kept == nil {
        waitingStores.append((registration.serial, store))
      } else {
        admissions.append(store, of: registration)
      }
    }
    registration.receiver.stores.removeAll(keepingCapacity: true)
  }

  /// Hands whole writes to the workers, as many as they take; memory is written here and now.
  mutating func runStores() {
    var taken = 0
    for (serial, store) in waitingStores {
      guard let registration = registrations.first(where: { $0.serial == serial }) else {
        preconditionFailure("a store of a registration that is gone")
      }
      guard submit(store, registration) else { break }
      taken += 1
    }
    waitingStores.removeFirst(taken)
  }

  private mutating func submit(_ store: StoreRequest, _ registration: Registration) -> Bool {
    let backing = registration.units[store.unit].backing
    let operation = DiskOperation.write(
      ByteRange(offset: store.byteOffset, length: UInt64(store.length)),
      isForced: store.forceUnitAccess)
    let token =
      UInt64(registration.serial) << 32 | UInt64(store.slot) << 16 | UInt64(store.unit)
    // Safe: the slot stays the write's own until the machine was told that it is stored.
    let job = unsafe StorageJob(
      operation, on: backing,
      buffer: UnsafeMutableRawBufferPointer(
        rebasing: registration.places.slab.slot(store.slot)[store.slotOffset...]), token: token,
      completion: notes)
    guard storesUnderWay < Self.storesMax else { return false }
    if backing.isInline {
      storesUnderWay += 1
      job.run()
      return true
    }
    guard workers.submit(job) else { return false }
    storesUnderWay += 1
    return true
  }

  mutating func handle(_ note: StoredNotes.Note) {
    let serial = UInt32(note.token >> 32)
    guard let registration = registrations.first(where: { $0.serial == serial }) else {
      preconditionFailure("a completion of a registration that is gone")
    }
    var status = Status.good
    var sense: [UInt8] = []
    if let error = note.error {
      logger.error("a mirrored write failed: \(error)")
      status = .checkCondition
      sense = Self.sense(
        SenseData(error.diskFailure, registration.receiver.configuration.geometry),
        at: registration.units[Int(note.token & 0xffff)])
    }
    registration.receiver.handleStored(
      slot: Int(note.token >> 16 & 0xffff), unit: Int(note.token & 0xffff),
      status: status.rawValue, sense: sense)
  }

  // MARK: Ending

  mutating func terminate(
    _ request: TerminationRequest, _ session: SessionPort, _ reply: TaskHandle
  ) {
    let found = registrations.first { registration in
      guard registration.session.id == session.id else { return false }
      if let wanted = request.registration {
        return registration.request.registration == wanted
      }
      return registration.request.virtualLUN == request.virtualLUN
    }
    guard let found else {
      let keys = RegistrationFault(.unknownRegistration, "no such mirror was registered by it").keys
      session.perform { $0.respondText(reply, keys) }
      return
    }
    found.ending.append(reply)
    end(found)
  }

  func end(_ registration: Registration) {
    registration.isEnding = true
    registration.receiver.close()
  }

  /// Lets go of registrations that have ended and whose I/O is done, and confirms.
  mutating func finishEndings() {
    defer {
      finishDepartures()
      finishVacating()
    }
    guard registrations.contains(where: { $0.isEnding && $0.receiver.isQuiescent }) else { return }
    for registration in registrations where registration.isEnding {
      guard registration.receiver.isQuiescent else { continue }
      do throws(SystemError) {
        try ports.leave(registration.group, source: registration.sender)
      } catch {
        logger.warning("\(error)")
      }
      ports.release(registration.repairs)
      mirrored.release(registration.request, by: registration.owner)
      leave(registration.units, registration.request, isKept: registration.kept != nil)
      let counters = registration.receiver.counters
      logger.info(
        "mirror ended",
        metadata: [
          "registration": "\(hexadecimal(registration.request.registration))",
          "counters": "\(counters)",
          "drops": .dictionary(drops.summary(of: ports, answerPort)),
          "journal": "\(registration.kept.map { "\($0.keeping.journalCounters)" } ?? "none")",
        ])
      for reply in registration.ending {
        session(registration, confirms: reply)
      }
    }
    registrations.removeAll { $0.isEnding && $0.receiver.isQuiescent }
  }

  private mutating func finishDepartures() {
    guard !departures.isEmpty else { return }
    let busy = Set(registrations.map(\.session.id))
    for departure in departures where !busy.contains(departure.session) { departure.ended() }
    departures.removeAll { !busy.contains($0.session) }
  }

  private func session(_ registration: Registration, confirms reply: TaskHandle) {
    let keys = TextKeys([
      .init(RegistrationKey.result, "terminated"),
      .init(
        RegistrationKey.registration, hexadecimal(registration.request.registration)),
    ])
    registration.session.perform { $0.respondText(reply, keys) }
  }
}
