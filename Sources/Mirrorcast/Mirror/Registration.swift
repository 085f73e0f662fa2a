import Bytes
import Datagrams
import ISCSI
import Lanes
import Replication
import SCSI
import Storage

/// One initiator's membership of a mirror, as the lane of a target holds it.
final class Registration {
  let serial: UInt32
  let number: UInt32
  let session: SessionPort
  let request: RegistrationRequest
  let whose: (owner: MirroredNumbers.Owner, target: ServedTarget)
  let place: ReceptionPlace
  let group: SharedPort
  let repairs: SharedPort
  var places: RegistrationPlaces
  /// Nil where nothing is kept of the mirror.
  var kept: KeptPlace?
  var units: [ServedUnit] { didSet { places.judges = UnitJudges(units, of: session.id) } }
  var receiver: Receiver
  /// The word that opens a stream for the answers, and the stream once it is open.
  let token = UInt64.random(in: 1...UInt64.max)
  /// A stream was attached by that token.
  var hadStream = false
  var stream: StreamSocket?
  /// The keys by which its datagrams are opened; nil where they come in the clear.
  var opening: OpeningBench?
  /// By which it proves what it has.
  var proving = ProvingBench()
  /// Who waits for the end.
  var ending: [TaskHandle] = []
  var isEnding = false
  /// Aborts that wait for their fence.
  var aborts: [(number: SerialNumber, reply: TaskHandle)] = []

  init(
    serial: UInt32, session: SessionPort, request: RegistrationRequest,
    whose: (owner: MirroredNumbers.Owner, target: ServedTarget), place: ReceptionPlace,
    ports: (group: SharedPort, repairs: SharedPort), slab: Slab, units: [ServedUnit],
    receiver: Receiver
  ) {
    self.serial = serial
    self.session = session
    self.request = request
    self.whose = whose
    self.place = place
    group = ports.group
    repairs = ports.repairs
    number = request.registration
    self.units = units
    places = RegistrationPlaces(
      number: request.registration, isOpened: request.security != nil, slab: slab,
      memory: units.count == 1 ? units[0].backing as? MemoryBacking : nil,
      judges: UnitJudges(units, of: session.id))
    self.receiver = receiver
    if request.security != nil { opening = OpeningBench() }
  }

  var sender: Endpoint { place.sender }
  var owner: MirroredNumbers.Owner { whose.owner }
  var target: ServedTarget { whose.target }

  /// Whether a datagram comes from this registration's initiator: its exact address and port (or
  /// queue pair), or any port where the patent's text left it open.
  func accepts(_ source: Endpoint) -> Bool { place.source.admits(source) }

  /// Sends what the receiver has to say: by the stream, or on the session's event loop.
  func flushAnswers() {
    guard !receiver.answers.isEmpty else { return }
    if aborts.isEmpty, stream != nil, sendByStream() { return }
    var answers: [ReceiverAnswer] = []
    swap(&answers, &receiver.answers)
    let lun = receiver.configuration.virtualLUN
    let registration = request.registration
    let epoch = receiver.currentEpoch
    let drops = socketDrops
    let finished = takeFencedAborts(answers)
    session.perform { [answers] session in
      for answer in answers {
        session.send(
          answer, lun: lun, registration: registration, epoch: epoch, drops: drops)
      }
      for reply in finished { session.completeTaskManagement(reply, .complete) }
    }
  }

  private func takeFencedAborts(_ answers: [ReceiverAnswer]) -> [TaskHandle] {
    guard !aborts.isEmpty else { return [] }
    var finished: [TaskHandle] = []
    for case .fenced(let number, _) in answers {
      aborts.removeAll { abort in
        guard abort.number == number else { return false }
        finished.append(abort.reply)
        return true
      }
    }
    return finished
  }

  /// Datagrams that its ports lost for want of room, in all, as far as anybody counts them.
  var socketDrops: UInt32 { (group.port.dropCount ?? 0) &+ (repairs.port.dropCount ?? 0) }

  /// The number in the window that a mirrored tag means.
  func number(ofTag tag: UInt32) -> SerialNumber? {
    let lowest = receiver.lowestNumber
    return (0..<Limits.writeWindowMax).lazy.map { lowest.advanced(by: $0) }
      .first { Datagram.taskTag(of: $0) == tag }
  }
}

extension TargetSession {
  /// Puts one answer of the mirror into its PDU.
  mutating func send(
    _ answer: ReceiverAnswer, lun: UInt64, registration: UInt32, epoch: UInt16,
    drops: UInt32
  ) {
    switch answer {
    case .readyToTransfer(let number, let length):
      sendReadyToTransfer(lun: lun, taskTag: Datagram.taskTag(of: number), length: length)
    case .response(let number, let status, let sense, let units):
      let tag = Datagram.taskTag(of: number)
      if !units.isEmpty {
        var header = BasicHeaderSegment(opcode: .mirrorStatuses)
        header.initiatorTaskTag = tag
        header.word20 = registration
        header.word36 = number.rawValue
        header.setUInt16(epoch, at: 40)
        sendMirrorStatuses(header, data: UnitStatus.serialize(units))
      }
      sendMirroredResponse(taskTag: tag, status: status, sense: sense)
    case .report(let number, let epoch, let heard, let missing, let isCommandMissing, let isAsked):
      var answer = MirrorAnswer(
        .report, registration: registration, epoch: epoch, writeNumber: number)
      answer.heard = heard
      answer.isCommandMissing = isCommandMissing
      answer.isAsked = isAsked
      answer.socketDrops = drops
      sendMirrorAnswer(answer.header, data: missing)
    case .distrusted(let number, let epoch):
      var answer = MirrorAnswer(
        .report, registration: registration, epoch: epoch, writeNumber: number)
      answer.isCommandMissing = true
      answer.isDistrusted = true
      answer.socketDrops = drops
      sendMirrorAnswer(answer.header)
    case .fenced(let number, let epoch):
      let answer = MirrorAnswer(
        .fenced, registration: registration, epoch: epoch, writeNumber: number)
      sendMirrorAnswer(answer.header)
    case .proof(let number, let epoch, let proof):
      var answer = MirrorAnswer(
        .proof, registration: registration, epoch: epoch, writeNumber: number)
      answer.proof = proof
      sendMirrorAnswer(answer.header)
    case .probeSeen(let epoch, let byteCount):
      var answer = MirrorAnswer(
        .probeSeen, registration: registration, epoch: epoch, writeNumber: SerialNumber(0))
      answer.probeByteCount = byteCount
      sendMirrorAnswer(answer.header)
    case .deaf(let epoch):
      let answer = MirrorAnswer(
        .deaf, registration: registration, epoch: epoch, writeNumber: SerialNumber(0))
      sendMirrorAnswer(answer.header)
    }
  }
}
