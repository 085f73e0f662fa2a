// The mirror's own PDUs on a leg's connection: requests (0x1c), answers (0x3c), statuses (0x3d).
// Protocol.md gives the layouts; a malformed one is a typed error and costs a Reject, no more.
package import Bytes
package import ISCSI

/// A mirror PDU on a connection that breaks the layout.
package struct MirrorPDUFault: Error, Sendable, Equatable {
  package var reason: String
}

/// What an initiator asks on a leg's connection, opcode 0x1c.
package struct MirrorRequest: Sendable {
  /// The kinds of request; `attach` is the first and only word on a stream for answers.
  package enum Kind: UInt8, Sendable { case carried = 0, sync = 1, fence = 2, attach = 3 }

  package var kind: Kind
  package var registration: UInt32
  package var epoch: UInt16
  package var writeNumber: SerialNumber
  package var lowestOpen: SerialNumber

  package init(
    _ kind: Kind, registration: UInt32, epoch: UInt16, writeNumber: SerialNumber,
    lowestOpen: SerialNumber
  ) {
    self.kind = kind
    self.registration = registration
    self.epoch = epoch
    self.writeNumber = writeNumber
    self.lowestOpen = lowestOpen
  }

  package init(_ header: BasicHeaderSegment) throws(MirrorPDUFault) {
    guard header.isFinal, let kind = Kind(rawValue: header.flags & 0x7f) else {
      throw MirrorPDUFault(reason: "unknown kind of mirror request")
    }
    self.init(
      kind, registration: header.word20, epoch: header.uint16(at: 32),
      writeNumber: SerialNumber(header.word36), lowestOpen: SerialNumber(header.word40))
  }

  package var header: BasicHeaderSegment {
    var header = BasicHeaderSegment(
      opcode: .mirrorRequest, flags: 0x80 | kind.rawValue, isImmediate: true)
    header.initiatorTaskTag = 0xffff_ffff
    header.word20 = registration
    header.setUInt16(epoch, at: 32)
    header.word36 = writeNumber.rawValue
    header.word40 = lowestOpen.rawValue
    return header
  }

  /// What opens a stream for the answers of a registration: its number, and the word that the
  /// grant told over the session, in the place of the LUN.
  package static func attach(registration: UInt32, token: UInt64) -> BasicHeaderSegment {
    let zero = SerialNumber(0)
    var header = MirrorRequest(
      .attach, registration: registration, epoch: 0, writeNumber: zero, lowestOpen: zero
    ).header
    header.lun = token
    return header
  }

  /// Reads what opens a stream; nil when it is anything else.
  package static func attached(
    _ header: BasicHeaderSegment
  ) -> (registration: UInt32, token: UInt64)? {
    guard header.opcode == .mirrorRequest, header.totalAHSLength == 0,
      header.dataSegmentLength == 0, header.flags == 0x80 | Kind.attach.rawValue
    else { return nil }
    return (header.word20, header.lun)
  }

  /// The open write numbers in the data of a sync.
  package static func openWrites(_ data: RawSpan) throws(MirrorPDUFault) -> [SerialNumber] {
    guard data.byteCount % 4 == 0, data.byteCount / 4 <= Limits.openWritesMax else {
      throw MirrorPDUFault(reason: "list of open writes of a wrong length")
    }
    var numbers: [SerialNumber] = []
    for index in 0..<data.byteCount / 4 {
      numbers.append(SerialNumber(data.bigEndian32(at: index * 4)))
    }
    return numbers
  }
}

/// How far a leg has heard one stream of datagrams, the group's or its own: what was sent there
/// before is not on its way any more.
package struct Heard: Sendable, Equatable {
  /// The highest sequence that came; 0 for none.
  package var sequence: UInt32
  /// Time since the last one came, in units of 2^16 ns; 255 for more.
  package var silence: UInt8

  package init(_ sequence: UInt32 = 0, silence: UInt8 = 0) {
    self.sequence = sequence
    self.silence = silence
  }

  package init(_ sequence: UInt32, silenceNanoseconds: UInt64) {
    self.init(sequence, silence: UInt8(min(silenceNanoseconds >> 16, 255)))
  }

  /// The longest silence that can be told, in nanoseconds.
  static let silenceMax: UInt64 = 255 << 16

  package var silenceNanoseconds: UInt64 { UInt64(silence) << 16 }
}

/// What a leg has heard of both.
package struct HeardStreams: Sendable, Equatable {
  package var group = Heard()
  package var own = Heard()

  package init(group: Heard = Heard(), own: Heard = Heard()) {
    self.group = group
    self.own = own
  }
}

/// What a leg answers on its connection, opcode 0x3c.
package struct MirrorAnswer: Sendable {
  /// The kinds of answer.
  package enum Kind: UInt8, Sendable {
    case report = 0
    case fenced = 1
    case probeSeen = 2
    case deaf = 3
    case proof = 4
  }

  package var kind: Kind
  package var registration: UInt32
  package var epoch: UInt16
  package var writeNumber: SerialNumber
  /// Of a report.
  package var heard = HeardStreams()
  package var isCommandMissing = false
  /// The leg was asked by a sync: what the connection carried before that has come.
  package var isAsked = false
  /// Two checksums came for one piece of the write: only the connection is believed.
  package var isDistrusted = false
  /// Datagrams that the leg's sockets lost for want of room, in all, modulo 2^32.
  package var socketDrops: UInt32 = 0
  /// Length of the probe that was seen.
  package var probeByteCount: UInt32 = 0
  /// Of a write's data.
  package var proof = WriteProof.none

  package init(
    _ kind: Kind, registration: UInt32, epoch: UInt16, writeNumber: SerialNumber
  ) {
    self.kind = kind
    self.registration = registration
    self.epoch = epoch
    self.writeNumber = writeNumber
  }

  package init(_ header: BasicHeaderSegment) throws(MirrorPDUFault) {
    guard header.isFinal, let kind = Kind(rawValue: header.flags & 0x7f) else {
      throw MirrorPDUFault(reason: "unknown kind of mirror answer")
    }
    self.init(
      kind, registration: header.word20, epoch: header.uint16(at: 40),
      writeNumber: SerialNumber(header.word36))
    isCommandMissing = header.storage[43] & 1 != 0
    isDistrusted = header.storage[43] & 2 != 0
    isAsked = header.storage[43] & 4 != 0
    socketDrops = UInt32(truncatingIfNeeded: header.lun)
    switch kind {
    case .report:
      heard.group = Heard(UInt32(truncatingIfNeeded: header.lun >> 32), silence: header.byte2)
      heard.own = Heard(header.word44, silence: header.byte3)
    case .probeSeen: probeByteCount = header.word44
    case .proof: proof = WriteProof(counter: header.word44, tag: header.lun)
    case .fenced, .deaf: break
    }
  }

  package var header: BasicHeaderSegment {
    var header = BasicHeaderSegment(opcode: .mirrorAnswer, flags: 0x80 | kind.rawValue)
    header.initiatorTaskTag = 0xffff_ffff
    header.word20 = registration
    header.word36 = writeNumber.rawValue
    header.setUInt16(epoch, at: 40)
    header.byte2 = heard.group.silence
    header.byte3 = heard.own.silence
    header.storage[43] =
      (isCommandMissing ? 1 : 0) | (isDistrusted ? 2 : 0) | (isAsked ? 4 : 0)
    header.word44 = kind == .report ? heard.own.sequence : probeByteCount
    header.lun = UInt64(heard.group.sequence) << 32 | UInt64(socketDrops)
    if kind == .proof { (header.lun, header.word44) = (proof.tag, proof.counter) }
    return header
  }
}

/// One LUN's status in a mirror statuses PDU, opcode 0x3d.
package struct UnitStatus: Sendable, Equatable {
  package var lun: UInt64
  package var status: UInt8
  package var sense: [UInt8]

  package init(lun: UInt64, status: UInt8, sense: [UInt8] = []) {
    self.lun = lun
    self.status = status
    self.sense = sense
  }

  package static func serialize(_ statuses: [UnitStatus]) -> [UInt8] {
    var bytes: [UInt8] = []
    for status in statuses {
      bytes.appendBigEndian(status.lun)
      bytes.append(status.status)
      bytes.append(0)
      bytes.appendBigEndian(UInt16(status.sense.count))
      bytes += status.sense
      bytes += [UInt8](repeating: 0, count: (4 - status.sense.count % 4) % 4)
    }
    return bytes
  }

  package static func parse(_ data: RawSpan) throws(MirrorPDUFault) -> [UnitStatus] {
    var statuses: [UnitStatus] = []
    var offset = 0
    while offset < data.byteCount {
      guard data.byteCount - offset >= 12, statuses.count < Limits.unitsMax else {
        throw MirrorPDUFault(reason: "statuses cut short")
      }
      let senseLength = Int(data.bigEndian16(at: offset + 10))
      guard (senseLength + 3) & ~3 <= data.byteCount - offset - 12 else {
        throw MirrorPDUFault(reason: "sense cut short")
      }
      let sense = data.extracting(offset + 12..<offset + 12 + senseLength).array()
      statuses.append(
        UnitStatus(
          lun: data.bigEndian64(at: offset), status: data.byte(at: offset + 8), sense: sense))
      offset += 12 + (senseLength + 3) & ~3
    }
    return statuses
  }
}
