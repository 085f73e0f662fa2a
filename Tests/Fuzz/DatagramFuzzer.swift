// The mirror's wire: datagrams, the mirror's PDUs, the text of a registration, and the machines of
// a leg and of an initiator under peers that may say anything.
//
//     kind │ what the kind wants
import Bytes
import ISCSI
import Replication

func fuzzDatagrams(_ bytes: [UInt8]) {
  guard bytes.count <= 1 << 15 else { return }
  var input = Input(bytes)
  switch input.byte() % 6 {
  case 0: fuzzDatagram(&input)
  case 1: fuzzMirrorPDUs(&input)
  case 2: fuzzRegistration(input.rest())
  case 3: fuzzBitmaps(&input)
  case 4: FuzzedLeg(input.byte()).run(&input)
  default: FuzzedMirror(input.byte()).run(&input)
  }
}

/// The last four bytes made right, unless the input keeps its own.
func sealed(_ bytes: [UInt8]) -> [UInt8] {
  guard bytes.count >= Datagram.overheadByteCount else { return bytes }
  let end = bytes.count - 4
  let isDigested = bytes[end - 5] & 0x02 == 0
  var checksum = Checksum()
  let trailer = bytes.count - Datagram.trailerByteCount
  let digested = Array(bytes[..<(isDigested ? trailer : 48)] + bytes[trailer..<end])
  checksum.update(digested.span.bytes)
  var sealed = Array(bytes[..<end])
  sealed.appendBigEndian(checksum.value)
  return sealed
}

private func fuzzDatagram(_ input: inout Input) {
  let isSealed = input.byte() & 1 == 0
  let rest = input.rest()
  let bytes = isSealed ? sealed(rest) : rest
  _ = Datagram.registration(in: bytes.span.bytes)
  fuzzSealed(bytes)
  guard let datagram = try? Datagram(bytes.span.bytes) else { return }
  require(datagram.dataLength <= bytes.count - Datagram.overheadByteCount, "data past the end")
  require(datagram.header.array == Array(bytes[..<48]), "a header is another")
  // Put together again it is the same, padding apart.
  let trailer = DatagramTrailer(
    registration: datagram.registration, epoch: datagram.epoch, flags: datagram.flags,
    sequence: datagram.sequence)
  var again = [UInt8](repeating: 0, count: bytes.count)
  var span = again.mutableSpan
  var raw = span.mutableBytes
  let data = Array(bytes[48..<48 + datagram.dataLength])
  let made = trailer.assemble(header: datagram.header, data: data.span.bytes, into: &raw)
  require(made.byteCount == bytes.count, "put together again it has another length")
  if datagram.dataLength % 4 == 0 {
    require(again == bytes && made.contentDigest == datagram.contentDigest, "it is another")
  }
}

/// As if whatever tag it has were right.
private func fuzzSealed(_ bytes: [UInt8]) {
  guard let trailer = try? SealedTrailer(bytes.span.bytes) else { return }
  require(trailer.flags.contains(.sealed), "what isn't sealed is taken for it")
  let end = bytes.count - SealedTrailer.tagByteCount
  guard let datagram = try? Datagram(bytes.span.bytes.extracting(0..<end), isOpened: true) else {
    return
  }
  require(datagram.registration == trailer.registration, "a registration is another")
  require(datagram.epoch == trailer.epoch && datagram.sequence == trailer.sequence, "a trailer")
  require(datagram.dataLength <= end - Datagram.overheadByteCount, "data past the end")
}

private func fuzzMirrorPDUs(_ input: inout Input) {
  let kind = input.byte()
  let bytes = input.bytes(48)
  guard let header = BasicHeaderSegment(bytes.span.bytes) else { return }
  if let request = try? MirrorRequest(header) {
    let again = try? MirrorRequest(request.header)
    require(
      again?.kind == request.kind && again?.registration == request.registration
        && again?.writeNumber == request.writeNumber && again?.lowestOpen == request.lowestOpen,
      "a mirror request reads as another")
  }
  if let attached = MirrorRequest.attached(header) {
    let again = MirrorRequest.attached(
      MirrorRequest.attach(registration: attached.registration, token: attached.token))
    require(again?.token == attached.token, "an attach reads as another")
  }
  if let answer = try? MirrorAnswer(header) {
    let again = try? MirrorAnswer(answer.header)
    require(
      again?.kind == answer.kind && again?.heard == answer.heard
        && again?.isCommandMissing == answer.isCommandMissing
        && again?.socketDrops == answer.socketDrops, "a mirror answer reads as another")
  }
  let data = input.rest()
  if kind & 1 == 0 {
    guard let open = try? MirrorRequest.openWrites(data.span.bytes) else { return }
    require(open.count <= Limits.openWritesMax, "more writes than may be open")
  } else if let statuses = try? UnitStatus.parse(data.span.bytes) {
    require(statuses.count <= Limits.unitsMax, "more statuses than units")
    let again = try? UnitStatus.parse(UnitStatus.serialize(statuses).span.bytes)
    require(again == statuses, "statuses read as others")
  }
}

private func fuzzRegistration(_ bytes: [UInt8]) {
  guard let keys = try? TextKeys(tolerant: bytes[...]) else { return }
  if let text = try? MirrorText(keys) {
    switch text {
    case .register(let request):
      require(request.luns.count <= Limits.unitsMax, "more LUNs than a map has")
      require(request.writeLengthMax <= Limits.writeLengthMax, "a write's length")
      require(
        (Limits.blockLengthMin...Limits.blockLengthMax).contains(request.blockLength), "a block")
      guard !request.isLiteral, request.plainSender == nil else { return }
      guard let again = try? MirrorText(request.keys) else {
        fatalError("a registration's keys can't be read")
      }
      require(again == text, "a registration reads as another")
    case .terminate(let request):
      guard request.registration != nil else { return }
      require((try? MirrorText(request.keys)) == text, "a termination reads as another")
    case .keep(let request):
      require((try? MirrorText(request.keys)) == text, "a request reads as another")
    case .digest(let request):
      require((try? MirrorText(request.keys)) == text, "what is to be digested reads as another")
    case .key(let text):
      require((32...48).contains(text.sealed.count), "a sealed key's length")
      require((try? MirrorText(text.keys)) == .key(text), "a key reads as another")
    case .leader(let lun): require((0...16383).contains(lun), "a LUN")
    }
  }
  do throws(RegistrationFault) {
    let grant = try RegistrationGrant(keys)
    let again = try RegistrationGrant(grant.keys(firstWrite: SerialNumber(3), port: 5000))
    require(again == grant, "a grant reads as another")
    var request = RegistrationRequest(
      registration: grant.registration, group: "239.1.1.1", port: 5000, luns: [0], virtualLUN: 5)
    request.epoch = grant.epoch
    _ = try? grant.checked(against: request)
  } catch {
    // What it says is for people and for the wire.
    require(error.keys.encoded.count < 1024, "a refusal's words are too many")
  }
}

private func fuzzBitmaps(_ input: inout Input) {
  let blockCount = 1 + Int(input.uint16() % 2048)
  let start = Int(input.uint16()) % blockCount
  let most = Int(input.byte())
  let bytes = input.rest()
  if let bitmap = BlockBitmap(bytes.span.bytes, blockCount: blockCount) {
    require(bitmap.serialize() == bytes, "a bitmap reads as another")
    var model = 0
    for block in 0..<blockCount where bitmap.isMissing(block) { model += 1 }
    require(model == bitmap.missingCount, "missing blocks are miscounted")
    let first = (start..<blockCount).first { bitmap.isMissing($0) }
    require(bitmap.firstMissing(from: start) == first, "the first missing block is another")
    let end = min(start + most, blockCount)
    let run = (start..<end).first { !bitmap.isMissing($0) } ?? end
    require(bitmap.missingRun(from: start, most: most) == run - start, "a run is another")
    var narrowed = bitmap
    _ = narrowed.narrow(to: start)
    require((0...start).contains(narrowed.missingCount), "a narrowed bitmap is miscounted")
  }
  guard
    let reaching = BlockBitmap(
      reaching: bytes.span.bytes, blockCount: blockCount, capacity: 2048)
  else { return }
  require((0...blockCount).contains(reaching.missingCount), "a reaching bitmap is miscounted")
}
