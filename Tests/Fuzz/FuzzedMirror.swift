// An initiator's side of a mirror, under legs that may answer anything.
//
//     shape │ records…     a record: control, leg and number, then by kind
//
// Law: every write ends once; each datagram that is sent reads back.
import Bytes
import ISCSI
import Replication

/// A sender and what its owner holds.
final class FuzzedMirror {
  static let legs = 3

  private var sender: Sender
  private var payloads: [UInt64: [UInt8]] = [:]
  private var completed: Set<UInt64> = []
  private var counted: Set<UInt64> = []
  private var unicasts: [(leg: Int, number: SerialNumber)] = []
  private let waits: Bool
  private let isKept: Bool
  private let provesWrites: Bool
  private var holds: [(token: UInt64, offset: UInt64)] = []
  /// By token less one; all that were asked for.
  private var holdOffsets: [UInt64] = []
  private var now: UInt64 = 1_000_000
  private var isPaused = false

  init(_ shape: UInt8) {
    var configuration = SenderConfiguration(
      registration: FuzzedLeg.registration, virtualLUN: 5 << 48, blockLength: 512,
      unitBlockSize: 512, writeLengthMax: 8192)
    configuration.recovery = RecoveryMode.allCases[Int(shape & 0x03)]
    waits = shape & 0x04 == 0
    configuration.waitsForStatus = waits
    configuration.isSolicited = shape & 0x08 != 0
    configuration.omitsDataDigest = shape & 0x10 != 0
    configuration.firstWrite = SerialNumber(shape & 0x20 != 0 ? 0xffff_fffd : 0)
    configuration.queueMax = 16
    isKept = shape & 0x80 != 0
    configuration.isKept = isKept
    provesWrites = shape & 0x40 != 0
    configuration.wantsProof = provesWrites
    let paths: [LegDescription.Path] =
      shape & 0xc0 != 0
      ? [.datagrams, .datagrams, .datagrams] : [.datagrams, .connection, .foreign]
    sender = Sender(
      configuration,
      legs: paths.map { LegDescription(path: $0, openWritesMax: 4, credit: 16384) })
  }

  func run(_ input: inout Input) {
    var steps = 0
    while !input.isEmpty, steps < 512 {
      step(&input)
      take()
      steps += 1
    }
    if isPaused { sender.resume(now: now) }
    for hold in holds { sender.releaseHold(token: hold.token, now: now) }
    for leg in 0..<Self.legs { sender.handleLost(leg: leg, .dropped, now: now) }
    take()
    if isKept { sender.stop(now: now) }
    take()
    require(sender.isIdle, "without legs writes are open")
    for token in payloads.keys {
      require(completed.contains(token), "a write has no end")
      require(waits || counted.contains(token), "a write was never counted")
    }
  }

  private func step(_ input: inout Input) {
    let (control, byte) = (input.byte(), input.byte())
    let leg = Int(byte & 0x03) % Self.legs
    let number = sender.lowestOpen.advanced(by: Int(byte >> 2) & 0x0f)
    let tag = Datagram.taskTag(of: number)
    switch control & 0x0f {
    case 0, 1: submit(&input)
    case 2, 3: transmit(1 + Int(byte))
    case 4: sender.handleReadyToTransfer(leg: leg, tag: tag, now: now)
    case 5:
      let units = control > 127 ? [UnitStatus(lun: 0, status: 2, sense: [0x70, 0, 5])] : []
      sender.handleResponse(leg: leg, tag: tag, status: control >> 7 * 2, units: units, now: now)
    case 6, 7: report(leg, number, control, &input)
    case 8: sender.handleFenced(leg: leg, number: number, now: now)
    case 9:
      now += UInt64(byte) << (control >> 4 + 14)
      sender.handleTimeout(now: now)
    case 10: if byte > 0xf0 { sender.handleLost(leg: leg, .connection("reset"), now: now) }
    case 11: sender.handleAnswersLost(leg: leg, now: now)
    case 12:
      if sender.proved(leg: leg, number: number) != nil {
        sender.handleProof(leg: leg, number: number, isRight: control < 0xc0, now: now)
      }
      if byte > 0xc0 { sender.handleDeaf(leg: leg) }
    case 13:
      guard !unicasts.isEmpty else { return }
      let unicast = unicasts.remove(at: Int(byte) % unicasts.count)
      sender.handleForeign(
        leg: unicast.leg, number: unicast.number, failure: control > 127 ? .lost : nil, now: now)
    case 14:
      if isPaused {
        sender.resume(epoch: sender.currentEpoch &+ 1, joining: [], now: now)
      } else {
        sender.pause()
      }
      isPaused.toggle()
    case _ where isKept: keep(control >> 4, byte)
    default: if byte > 0xc0 { sender.serveAlone(byConnection: leg) }
    }
  }

  private func submit(_ input: inout Input) {
    let (address, count) = (input.byte(), input.byte())
    let length = (1 + Int(count & 0x0f)) * 512
    let token = UInt64(payloads.count) + 1
    let isTaken = sender.submit(
      Submission(
        token: token, byteOffset: UInt64(address) * 512, length: length,
        forceUnitAccess: count & 0x80 != 0), now: now)
    if isTaken { payloads[token] = [UInt8](repeating: count, count: length) }
  }

  /// What the owner of a kept mirror does.
  private func keep(_ control: UInt8, _ byte: UInt8) {
    let offset = UInt64(byte) << 12
    switch control {
    case 0..<6:
      holdOffsets.append(offset)
      let token = UInt64(holdOffsets.count)
      _ = sender.hold(token: token, byteOffset: offset, length: 8192, now: now)
    case 6..<9:
      guard let hold = holds.first else { return }
      let token = UInt64(payloads.count) + 1
      let isTaken = sender.submitCopy(
        token: token, byteOffset: hold.offset, length: 4096,
        to: LegSet(rawValue: UInt64(byte & 0x07)), now: now)
      if isTaken { payloads[token] = [UInt8](repeating: byte, count: 4096) }
    case 9..<12:
      if !holds.isEmpty { sender.releaseHold(token: holds.removeFirst().token, now: now) }
    case 12, 13: sender.confirmDetached(LegSet(rawValue: UInt64(byte & 0x07)), now: now)
    case 14: sender.confirmMended(now: now)
    default: if byte == 0xff { sender.stop(now: now) }
    }
  }

  private func report(
    _ leg: Int, _ number: SerialNumber, _ control: UInt8, _ input: inout Input
  ) {
    var answer = MirrorAnswer(
      .report, registration: FuzzedLeg.registration, epoch: sender.currentEpoch,
      writeNumber: number)
    let flags = input.byte()
    answer.isCommandMissing = flags & 0x01 != 0
    answer.isAsked = flags & 0x02 != 0
    answer.isDistrusted = flags & 0x0c == 0x0c
    answer.heard = HeardStreams(
      group: Heard(UInt32(input.byte()), silence: flags), own: Heard(UInt32(flags >> 4)))
    if control > 127 { answer.heard.group.sequence = input.uint32() }
    let missing = input.bytes(Int(control >> 4 & 0x07))
    sender.handleReport(leg: leg, answer, missing: missing.span.bytes, now: now)
  }

  private func transmit(_ most: Int) {
    var bytes = [UInt8](repeating: 0, count: 512 + Datagram.overheadByteCount)
    for _ in 0..<most {
      guard let transmission = sender.pollTransmission(now: now) else { return }
      let token = sender.submission(inSlot: transmission.slot).token
      guard let data = payloads[token] else { fatalError("a write of nobody's") }
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      let count = sender.assemble(transmission, data: data.span.bytes, into: &raw, now: now)
      sender.handleDeparted(now: now)
      now += 1_000
      guard let count else { fatalError("data that did not change is taken for changed") }
      let sent = Array(bytes[..<count])
      guard let datagram = try? Datagram(sent.span.bytes) else {
        fatalError("a datagram of ours can't be read")
      }
      require(datagram.registration == FuzzedLeg.registration, "a registration is another")
      take()
    }
  }

  private func take() {
    while !sender.events.isEmpty {
      let events = sender.events
      sender.events.removeAll(keepingCapacity: true)
      for event in events { take(event) }
    }
  }

  private func take(_ event: SenderEvent) {
    switch event {
    case .completed(let token, let failures):
      require(completed.insert(token).inserted, "a write ends twice")
      require(Set(failures.map(\.leg)).count == failures.count, "a leg fails a write twice")
    case .counted(let token, _):
      require(counted.insert(token).inserted, "a write is counted twice")
    case .unicast(let leg, let number, _): unicasts.append((leg, number))
    case .sync(_, let open):
      require(open.count <= Limits.openWritesMax, "a sync of more writes than may be open")
    case .news, .retried: break
    case .bufferChanged: fatalError("a buffer changed that did not")
    case .unproven(_, let token):
      require(provesWrites && payloads[token] != nil, "a proof that nobody has made")
    case .fence, .legFailed, .forged, .deaf, .suspect: break
    // It is told later.
    case .withheld(let token):
      require(!completed.contains(token), "a write that was told is withheld")
    case .marked(let token): sender.passMark(token: token, now: now)
    case .held(let token): holds.append((token, holdOffsets[Int(token) - 1]))
    case .copied(let token, _):
      require(completed.insert(token).inserted, "a copy ends twice")
      counted.insert(token)
    }
  }
}
