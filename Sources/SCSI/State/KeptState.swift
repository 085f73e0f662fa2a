// What a disk keeps over a restart, as bytes: registrations made with APTPL, the reservation, and a
// SANITIZE that hasn't ended. The room that writes files adds a version and a checksum.
import Bytes

extension Reservations {
  /// SPC-4 §5.13.2: kept only by the wish of whoever registered last.
  var kept: [UInt8] {
    guard isKept else { return [0, 0] }
    var data: [UInt8] = []
    data.appendBigEndian(UInt16(registrations.count))
    for registration in registrations {
      let isHolder = reservation?.holder == registration.port
      data.append(isHolder ? reservation?.type.rawValue ?? 0 : 0)
      data.appendBigEndian(registration.key)
      let name = registration.port.transportID
      data.appendBigEndian(UInt16(name.count))
      data += name
    }
    return data
  }

  /// Reads what `kept` wrote; nil when it isn't that.
  init?(kept data: RawSpan, at offset: inout Int) {
    self.init()
    guard data.byteCount >= offset + 2 else { return nil }
    let count = Int(data.bigEndian16(at: offset))
    offset += 2
    guard count <= Self.registrationsMax else { return nil }
    for _ in 0..<count {
      guard data.byteCount >= offset + 11 else { return nil }
      let type = data.byte(at: offset)
      let key = data.bigEndian64(at: offset + 1)
      let length = Int(data.bigEndian16(at: offset + 9))
      offset += 11
      guard data.byteCount >= offset + length,
        let port = InitiatorPort(transportID: data.extracting(offset..<offset + length)),
        self.key(of: port) == nil
      else { return nil }
      offset += length
      registrations.append(PersistentRegistration(port: port, key: key))
      guard type != 0 else { continue }
      guard let type = ReservationType(rawValue: type), reservation == nil else { return nil }
      reservation = PersistentReservation(type: type, holder: port)
    }
    isKept = count > 0
  }
}

extension SanitizeState {
  /// The operation that is to go on, or the failure that is to stay; one zero byte where neither.
  var kept: [UInt8] {
    switch self {
    case .idle: return [0]
    case .failed(let allowsExit): return [allowsExit ? 3 : 2]
    case .running(let request, _):
      var data: [UInt8] = [
        1, request.action.rawValue, request.allowsUnrestrictedExit ? 1 : 0, request.passes,
        request.inverts ? 1 : 0,
      ]
      data.appendBigEndian(UInt32(request.pattern.count))
      return data + request.pattern
    }
  }

  /// Reads what `kept` wrote; nil when it isn't that.
  init?(kept data: RawSpan, at offset: inout Int) {
    guard data.byteCount > offset else { return nil }
    let kind = data.byte(at: offset)
    offset += 1
    switch kind {
    case 0: self = .idle
    case 2, 3: self = .failed(allowsExit: kind == 3)
    case 1:
      guard data.byteCount >= offset + 8,
        let action = BlockCommand.Sanitize.Action(rawValue: data.byte(at: offset)),
        action != .exitFailureMode, (1...31).contains(data.byte(at: offset + 2))
      else { return nil }
      let length = Int(data.bigEndian32(at: offset + 4))
      guard length <= 65536, data.byteCount >= offset + 8 + length else { return nil }
      let request = SanitizeRequest(
        action: action, pattern: data.extracting(offset + 8..<offset + 8 + length).array(),
        passes: data.byte(at: offset + 2), inverts: data.byte(at: offset + 3) != 0,
        isImmediate: true, allowsUnrestrictedExit: data.byte(at: offset + 1) != 0)
      offset += 8 + length
      self = .running(request, progress: 0)
    default: return nil
    }
  }
}
