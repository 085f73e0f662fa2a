// What a target's lane does: orders of the sessions, completions of the disks, datagrams,
// deadlines; then stores and answers. One thread owns every registration, so nothing here needs a
// lock.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Logging
import Replication
import SCSI
import Storage

/// Completions of the storage workers, on their way to the lane.
final class StoredNotes: StorageCompletion {
  /// One finished store.
  struct Note: Sendable {
    let token: UInt64
    let error: StorageError?
  }

  let ring = Ring<Note>(capacity: 8192)
  private let signal: Signal

  init(signal: Signal) { self.signal = signal }

  func completed(token: UInt64, error: StorageError?) {
    let isPushed = ring.push(Note(token: token, error: error))
    precondition(isPushed, "more stores under way than the ring has room for")
    signal.wake()
  }
}

/// A registration that is granted, but not told yet.
struct Confirmation: Sendable {
  let keys: TextKeys
  let units: [ServedUnit]
  let session: SessionPort
  let reply: TaskHandle
}

/// The duty of a target's lane.
struct ReceiverDuty: LaneDuty, ~Copyable {
  static let datagramMax = 9216 + SealedTrailer.overheadByteCount
  static let storesMax = 4096
  /// Orders of sessions that may wait: what connections carry comes here a datagram an order, so as
  /// many as a leg's whole credit, 64 MiB, has blocks of MTU 1500, and more.
  static let ordersMax = 65_536
  /// How often a registration that waits for ordinary commands looks whether they have ended.
  static let quietCheckNanoseconds: UInt64 = 2_000_000
  /// How long a flood of datagrams may put off reports and answers to questions.
  static let undrainedMaxNanoseconds: UInt64 = 50_000_000
  /// Sockets, listeners and strangers, and a stream for each registration. A queue pair has two
  /// descriptors, but takes the place of two sockets.
  static let descriptorsMax =
    GroupPorts.portsMax + AnswerPort.descriptorsMax + registrationsMax

  let configuration: MirrorService.Configuration
  let inbox: LaneInbox<MirrorOrder>
  let notes: StoredNotes
  let mirrored: MirroredNumbers
  let workers: StorageWorkers
  let logger: Logger
  var ports: GroupPorts
  var registrations: [Registration] = []
  var nextSerial: UInt32 = 0
  var arrivals: ArrivalBatch
  var passage: FaultyPassage?
  var answerPort: AnswerPort
  /// What was ready when the lane looked last, and is not drained.
  var ready = WaitList()
  /// When the next report is due.
  var reportDue: UInt64?
  var waitingStores: [(registration: UInt32, store: StoreRequest)] = []
  var admissions = StoreAdmissions()
  var storesUnderWay = 0
  var drops = DatagramDrops()
  var questions: [(request: MirrorRequest, open: [SerialNumber], session: UInt64)] = []
  var drainedAt: UInt64 = 0
  var workedAt: UInt64 = 0
  /// Registrations to be confirmed once no ordinary command changes their LUNs any more.
  var confirmations: [Confirmation] = []
  /// Who waits for the end of a session's registrations.
  var departures: [(session: UInt64, ended: @Sendable () -> Void)] = []
  /// Who waits for the end of all registrations at some LUNs.
  var vacating: [UnitsVacating] = []
  /// Who has aborted writes, and waits for the end of their I/O.
  var aborting: [WritesAborting] = []
  /// Who waits for the end of all registrations.
  var stopping: (@Sendable () -> Void)?

  init(
    _ configuration: MirrorService.Configuration, inbox: LaneInbox<MirrorOrder>,
    mirrored: MirroredNumbers, workers: StorageWorkers, logger: Logger
  ) {
    self.configuration = configuration
    self.inbox = inbox
    self.mirrored = mirrored
    self.workers = workers
    self.logger = logger
    notes = StoredNotes(signal: inbox.signal)
    answerPort = AnswerPort(logger: logger)
    ports = GroupPorts(coalescing: configuration.settings.coalescing)
    arrivals = ArrivalBatch(
      node: configuration.placement.memoryNode, pages: configuration.settings.pages)
    passage = nil
    if let faults = configuration.faults {
      passage = FaultyPassage(faults, datagramMax: Self.datagramMax)
    }
  }

  mutating func doWork(now: UInt64) -> Int {
    workedAt = now
    var work = 0
    while let order = inbox.take() {
      handle(order, now: now)
      work += 1
    }
    while let note = notes.ring.pop() {
      storesUnderWay -= 1
      handle(note)
      work += 1
    }
    noteCopies()
    // What is missing is said only when nothing waits in a socket.
    let mustLook = !questions.isEmpty || reportDue ?? .max <= now
    var isDrained = true
    for port in ports.ports {
      if port.newsDescriptor >= 0, ready.isReady(descriptor: port.newsDescriptor) { hear(port) }
      let isReady = ready.isReady(descriptor: port.descriptor)
      guard mustLook || isReady || port.port.mayHold else { continue }
      work += receive(port, now: now)
      if arrivals.mayHaveMore {
        isDrained = false
      } else {
        ready.clear(descriptor: port.descriptor)
      }
    }
    if work == 0 { work += releaseHeld(now: now) }
    if isDrained || now > drainedAt + Self.undrainedMaxNanoseconds {
      drainedAt = now
      judge(now: now)
    }
    for registration in registrations { takeStores(registration) }
    admitStores(now: now)
    runStores()
    tellEnded(now: now)
    MemoryBacking.finishPlacing()
    work += attachStreams(now: now)
    for registration in registrations { registration.flushAnswers() }
    reportDue = nil
    for registration in registrations {
      guard let due = registration.receiver.nextDeadline else { continue }
      reportDue = min(reportDue ?? .max, due)
    }
    confirmQuiet()
    finishEndings()
    finishAborting()
    if registrations.isEmpty, let done = stopping {
      stopping = nil
      done()
    }
    return work
  }

  /// Says what is missing: only when nothing waits in a socket, since a question on the connection
  /// overtakes datagrams, and a lane that was held up must not take its own delay for loss.
  private mutating func judge(now: UInt64) {
    for (request, open, session) in questions {
      registration(request.registration, session)?.receiver.handleSync(
        open, lowestOpen: request.lowestOpen, now: now)
    }
    questions.removeAll(keepingCapacity: true)
    for registration in registrations { registration.receiver.handleTimeout(now: now) }
  }

  mutating func noteReady(_ list: WaitList) { ready = list }

  func registration(_ number: UInt32, _ session: UInt64) -> Registration? {
    registrations.first { $0.request.registration == number && $0.session.id == session }
  }

  var nextDeadline: UInt64? {
    var deadline = reportDue
    if let due = answerPort.nextDeadline { deadline = min(deadline ?? .max, due) }
    guard !confirmations.isEmpty else { return deadline }
    return min(deadline ?? .max, workedAt + Self.quietCheckNanoseconds)
  }

  /// Confirms registrations whose LUNs are the mirror's alone by now.
  private mutating func confirmQuiet() {
    guard !confirmations.isEmpty else { return }
    confirmations.removeAll { confirmation in
      let isQuiet = confirmation.units.allSatisfy(\.changes.isQuiet)
      if isQuiet {
        let (keys, reply) = (confirmation.keys, confirmation.reply)
        confirmation.session.perform { $0.respondText(reply, keys) }
      }
      return isQuiet
    }
  }

  func fileDescriptors(into list: inout WaitList) {
    for port in ports.ports {
      if port.descriptor >= 0 { list.append(port.descriptor) }
      if port.newsDescriptor >= 0 { list.append(port.newsDescriptor) }
    }
    answerPort.fileDescriptors(into: &list)
    for registration in registrations {
      guard let stream = registration.stream else { continue }
      list.append(stream.descriptor, wantsWrite: stream.wantsWrite)
    }
  }
}
