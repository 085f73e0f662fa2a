// What PERSISTENT RESERVE IN tells, SPC-4 §6.15, and the name of a port as TransportIDs have it.
import Bytes

extension Reservations {
  /// The parameter data of a service action; `canKeep`: APTPL is supported.
  func data(_ action: BlockCommand.PersistentReserveIn, canKeep: Bool) -> [UInt8] {
    switch action {
    case .readKeys:
      var data = header(byteCount: registrations.count * 8)
      for registration in registrations { data.appendBigEndian(registration.key) }
      return data
    case .readReservation: return reservationData
    case .reportCapabilities: return capabilities(canKeep)
    case .readFullStatus:
      let descriptors = registrations.flatMap(fullStatus)
      return header(byteCount: descriptors.count) + descriptors
    }
  }

  private func header(byteCount: Int) -> [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(generation)
    data.appendBigEndian(UInt32(byteCount))
    return data
  }

  private var reservationData: [UInt8] {
    guard let reservation else { return header(byteCount: 0) }
    var data = header(byteCount: 16)
    // SPC-4 §6.15.3.2: key zero where all registrants hold it.
    data.appendBigEndian(reservation.type.isOfAll ? 0 : key(of: reservation.holder) ?? 0)
    return data + [0, 0, 0, 0, 0, reservation.type.rawValue, 0, 0]
  }

  /// SPC-4 §6.15.4: CRH, SIP_C, ATP_C, PTPL_C; TMV, ALLOW COMMANDS 001b, PTPL_A; and all types.
  private func capabilities(_ canKeep: Bool) -> [UInt8] {
    let kept: UInt8 = canKeep ? 1 : 0
    // Bits 1, 3, 5, 6 and 7 stand for those types, in the first byte; bit 0 of the second for 8.
    return [0, 8, 0x1c | kept, 0x90 | (isKept ? 1 : 0), 0xea, 0x01, 0, 0]
  }

  private func fullStatus(_ registration: PersistentRegistration) -> [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(registration.key)
    let isHolder = isHolder(registration.port)
    // SPC-4 §6.15.5: ALL_TG_PT zero, R_HOLDER; scope and type of what it holds.
    data += [0, 0, 0, 0, isHolder ? 1 : 0, isHolder ? reservation?.type.rawValue ?? 0 : 0]
    data += [0, 0, 0, 0]
    data.appendBigEndian(1 as UInt16)
    let name = registration.port.transportID
    data.appendBigEndian(UInt32(name.count))
    return data + name
  }
}

extension InitiatorPort {
  /// The longest name that iSCSI allows, with what follows it here.
  static let transportIDMax = 260

  /// SPC-4 §7.6.4.5: format 01b, iSCSI; name, separator and ISID, padded to four bytes.
  var transportID: [UInt8] {
    var name = Array(text.utf8) + [0]
    name += [UInt8](repeating: 0, count: max(20 - name.count, 0))
    name += [UInt8](repeating: 0, count: (4 - name.count % 4) % 4)
    var data: [UInt8] = [0x45, 0]
    data.appendBigEndian(UInt16(clamping: name.count))
    return data + name
  }

  /// Reads a TransportID; nil when it names no initiator port of iSCSI.
  init?(transportID bytes: RawSpan) {
    guard bytes.byteCount >= 24, bytes.byteCount <= Self.transportIDMax,
      bytes.byte(at: 0) == 0x45, Int(bytes.bigEndian16(at: 2)) == bytes.byteCount - 4
    else { return nil }
    let name = bytes.extracting(4...).array().prefix { $0 != 0 }
    guard let text = String(validating: name, as: UTF8.self) else { return nil }
    self.init(text: text)
    // Told again, and read back, as long as it may be: an ISID is written out then.
    guard transportID.count <= Self.transportIDMax else { return nil }
  }
}
