// A connection's bytes, cut anywhere, into a target's session or an initiator's.
//
//     shape │ cuts │ records…                     or, raw:   shape │ cuts │ bytes of the stream
//     a record: control, 48 bytes of header, counted data
//
// The control byte says what the fuzzer fills in, since no mutation finds it: numbers, transfer
// tags, lengths, digests; a set bit leaves the input's own. Its upper bits have the owner act.
import Bytes
import ISCSI

/// How a connection's life begins; byte 0 of an input.
struct StreamShape: OptionSet {
  let rawValue: UInt8

  static let initiator = StreamShape(rawValue: 0x01)
  static let raw = StreamShape(rawValue: 0x02)
  static let headerDigest = StreamShape(rawValue: 0x04)
  static let dataDigest = StreamShape(rawValue: 0x08)
  static let initialR2T = StreamShape(rawValue: 0x10)
  static let discovery = StreamShape(rawValue: 0x20)
  static let login = StreamShape(rawValue: 0x40)
  static let small = StreamShape(rawValue: 0x80)
}

/// What the fuzzer leaves as it stands in a record.
struct RecordControl: OptionSet {
  let rawValue: UInt8

  static let ownNumbers = RecordControl(rawValue: 0x01)
  static let ownTags = RecordControl(rawValue: 0x02)
  static let ownLengths = RecordControl(rawValue: 0x04)
  static let damaged = RecordControl(rawValue: 0x08)
  static let cutShort = RecordControl(rawValue: 0x10)

  /// What the owner does behind the record.
  var action: UInt8 { rawValue >> 5 }
}

let fuzzedTarget = "iqn.2026-01.org.example:disk"

func fuzzedTargetConfiguration(_ shape: StreamShape) -> TargetConfiguration {
  var configuration = TargetConfiguration(
    targets: [
      TargetListing(name: fuzzedTarget, portals: ["127.0.0.1:3260,1", "[::1]:3260,1"]),
      TargetListing(name: "iqn.2026-01.org.example:tape", portals: ["127.0.0.1:3260,1"]),
    ], tsih: 7)
  configuration.asksForAdmission = shape.contains(.login)
  configuration.commandWindow = 8
  configuration.immediateCommandsMax = 4
  configuration.writeLengthMax = 1 << 16
  configuration.writeBytesMax = 3 << 15
  configuration.wanted.maxBurstLength = shape.contains(.small) ? 1024 : 16384
  configuration.wanted.firstBurstLength = shape.contains(.small) ? 512 : 4096
  configuration.wanted.receiveDataSegmentLengthMax = 8192
  configuration.recoveriesMax = 3
  configuration.recoveryBytesMax = 8192
  configuration.resendingOutputMax = 64
  configuration.skippedBytesMax = 1 << 16
  return configuration
}

func fuzzedInitiatorConfiguration(_ shape: StreamShape) -> InitiatorConfiguration {
  var configuration = InitiatorConfiguration(
    initiatorName: "iqn.2026-01.org.example:host",
    targetName: shape.contains(.discovery) ? nil : fuzzedTarget, isid: 0x8000_0000_0001)
  if shape.contains(.headerDigest) { configuration.wanted.digests.insert(.header) }
  if shape.contains(.dataDigest) { configuration.wanted.digests.insert(.data) }
  configuration.wanted.initialR2T = shape.contains(.initialR2T)
  configuration.wanted.receiveDataSegmentLengthMax = shape.contains(.small) ? 512 : 8192
  configuration.wanted.maxBurstLength = 16384
  configuration.wanted.firstBurstLength = 4096
  return configuration
}

func fuzzStream(_ bytes: [UInt8]) {
  guard bytes.count <= 1 << 16 else { return }
  var input = Input(bytes)
  let shape = StreamShape(rawValue: input.byte())
  let cuts = Cuts(input.byte())
  if shape.contains(.initiator) {
    InitiatorStream(shape, cuts).run(&input)
  } else {
    TargetStream(shape, cuts).run(&input)
  }
}

/// The bytes of one PDU whose fields are as odd as they like, and what is done to them.
struct StreamRecord {
  var control: RecordControl
  var header: BasicHeaderSegment
  var data: [UInt8]

  init(_ input: inout Input) {
    control = RecordControl(rawValue: input.byte())
    let bytes = input.bytes(48)
    let padded = bytes + [UInt8](repeating: 0, count: 48 - bytes.count)
    header = BasicHeaderSegment(padded.span.bytes) ?? BasicHeaderSegment()
    data = input.counted()
  }

  /// As it goes onto the stream, under these digests.
  func encoded(_ digests: Digests) -> [UInt8] {
    var bytes: [UInt8] = []
    var pdu = PDU(header: header, data: data)
    pdu.digests = digests
    pdu.encode(into: &bytes)
    if control.contains(.ownLengths) { bytes.replaceSubrange(0..<48, with: header.array) }
    if control.contains(.damaged) { bytes[bytes.count - 1] ^= 0x10 }
    if control.contains(.cutShort) { bytes.removeLast(bytes.count / 3) }
    return bytes
  }
}

/// Feeds bytes in pieces, and compares with the same in one piece.
struct CutStream {
  private var cuts: Cuts

  init(_ cuts: Cuts) { self.cuts = cuts }

  /// The next PDU of `bytes` from `offset` on.
  mutating func next(
    _ bytes: [UInt8], _ offset: inout Int, _ decoder: inout FrameDecoder
  ) throws(FramingError) -> PDU? {
    var whole = decoder
    var wholeOffset = offset
    let expected = Result { () throws(FramingError) in try whole.next(bytes, from: &wholeOffset) }
    while offset < bytes.count {
      let end = min(bytes.count, offset + cuts.next(upTo: 97))
      let piece = Array(bytes[offset..<end])
      var used = 0
      do throws(FramingError) {
        if let pdu = try decoder.next(piece, from: &used) {
          offset += used
          guard case .success(let same?) = expected else {
            fatalError("a cut stream has a PDU that the whole one has not")
          }
          require(
            pdu.header.array == same.header.array && pdu.data == same.data
              && pdu.additional == same.additional && pdu.fault == same.fault
              && offset == wholeOffset, "a cut stream has another PDU than the whole one")
          return pdu
        }
      } catch {
        offset += used
        guard case .failure = expected else { fatalError("only the cut stream is refused") }
        throw error
      }
      require(used == piece.count, "a decoder leaves bytes though it has no PDU")
      offset = end
    }
    if case .success(nil) = expected { return nil }
    require(wholeOffset == bytes.count, "the whole stream has a PDU that the cut one has not")
    return nil
  }
}

/// Judges what a session sends: each PDU reads back as it was, within the other side's limits.
struct SentPDUs {
  private var status: UInt32?
  private var expected: SerialNumber?
  private var last: SerialNumber?

  /// With recovery, statuses come again.
  mutating func check(
    _ pdu: PDU, lengthMax: Int, isTargets: Bool, recovers: Bool = false
  ) {
    var bytes: [UInt8] = []
    pdu.encode(into: &bytes)
    require(bytes.count == pdu.encodedCount, "encodedCount is wrong")
    var decoder = FrameDecoder(dataSegmentLengthMax: lengthMax)
    decoder.digests = pdu.digests
    var offset = 0
    guard let read = try? decoder.next(bytes, from: &offset) else {
      fatalError("a PDU of ours can't be read, or is longer than \(lengthMax)")
    }
    require(
      read.fault == nil && offset == bytes.count && read.data == pdu.data
        && read.header.array == pdu.sealedHeader.array, "a PDU of ours reads as another")
    require(
      pdu.header.opcode != nil && (pdu.header.storage[0] & 0x20 != 0) == isTargets,
      "an opcode of the other side")
    if isTargets { checkNumbers(pdu.header, recovers) }
  }

  // RFC 7143 §4.2.2.2: a StatSN for each status; ExpCmdSN and MaxCmdSN never go back.
  private mutating func checkNumbers(_ header: BasicHeaderSegment, _ recovers: Bool) {
    let isUsedUp =
      switch header.opcode {
      case .readyToTransfer?, .mirrorAnswer?, .mirrorStatuses?: false
      case .dataIn?: header.flags & 0x01 != 0
      case .nopIn?: header.initiatorTaskTag != reservedTag
      default: true
      }
    if header.opcode == .dataIn, !isUsedUp {
      require(header.word24 == 0, "Data-In with a StatSN and no status")
    } else {
      let isAgain =
        recovers && status.map { SerialNumber(header.word24).precedes(.init($0)) } == true
      require(status == nil || status == header.word24 || isAgain, "StatSN leaps")
      if !isAgain { status = header.word24 &+ (isUsedUp ? 1 : 0) }
    }
    let (now, most) = (SerialNumber(header.word28), SerialNumber(header.word32))
    require(expected.map { !now.precedes($0) } ?? true, "ExpCmdSN goes back")
    require(last.map { !most.precedes($0) } ?? true, "MaxCmdSN goes back")
    require((-1..<1024).contains(now.distance(to: most)), "a window that is none")
    (expected, last) = (now, most)
  }
}
