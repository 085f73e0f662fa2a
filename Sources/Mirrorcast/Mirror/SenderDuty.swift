// What an initiator's lane does: orders of callers and connections, answers, deadlines, datagrams
// out, events. One thread owns the sender, its sockets and the callers' buffers while their writes
// are open.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Logging
import Replication

/// The duty of an initiator's lane.
struct SenderDuty: LaneDuty, ~Copyable {
  static let ordersMax = 8192
  /// Batches sent before answers are looked at again.
  static let batchesPerCycle = 1
  /// A stream for each leg, and the port's two.
  static let descriptorsMax = Limits.legsMax + 2

  let inbox: LaneInbox<SenderOrder>
  let newCalls: WriteCalls
  let board: MirrorBoard
  let logger: Logger
  var sender: Sender
  var legs: [MirrorLeg]
  var calls = CallTable()
  /// Marks that stand, or have come to nothing, until their barriers are open.
  var marks: [UInt64] = []
  var outlet: SenderOutlet
  var streams: LegStreams
  var carried: [[ArraySlice<UInt8>]]
  var probing: Probing?
  /// What the sender told last, while it is being done.
  var events: [SenderEvent] = []
  /// What was ready when the lane looked last.
  var ready = WaitList()
  /// Datagrams went out since then: answers may be there though the lane did not sleep.
  var mustLook = false
  /// What was assembled in an earlier cycle waits for room in the socket.
  private var isDeparting = false
  private var isPortLost = false
  var waiters = SenderWaiters()
  /// Statuses by LUN that came before their response, by leg and tag.
  var unitStatuses: [LegTag: [UnitStatus]] = [:]
  var stays = LegStays()
  /// Nil where the mirror is not kept.
  var kept: KeptLane?
  /// By which legs prove what they have, by leg.
  var proofs = [ProvingBench](repeating: ProvingBench(), count: Limits.legsMax)
  /// Has new keys agreed on.
  let renewal: KeyRenewal

  /// A task tag at a leg.
  struct LegTag: Hashable {
    let leg: Int
    let tag: UInt32
  }

  /// - Parameter ways: to the legs, in their order.
  init(
    sender: Sender, legs: [MirrorLeg], ways: [DepartureWay?], outlet: consuming SenderOutlet,
    ends: MirrorPart.Ends, logger: Logger, kept: KeptLane? = nil
  ) {
    self.sender = sender
    self.legs = legs
    self.outlet = outlet
    inbox = ends.inbox
    newCalls = ends.calls
    board = ends.board
    renewal = ends.renewal
    self.logger = logger
    self.kept = kept
    carried = [[ArraySlice<UInt8>]](repeating: [], count: Limits.legsMax)
    streams = LegStreams(registration: sender.configuration.registration, logger: logger)
    for index in legs.indices { attach(index, by: ways[index]) }
  }

  /// Makes a leg's private address and answers the lane's own.
  mutating func attach(_ leg: Int, by way: DepartureWay?) {
    outlet.setWay(way, toLeg: leg)
    if way == nil { sender.serveAlone(byConnection: leg) }
    streams.open(legs[leg].answers, ofLeg: leg)
  }

  mutating func doWork(now: UInt64) -> Int {
    var work = 0
    while let order = inbox.take() {
      handle(order, now: now)
      work += 1
    }
    while let call = newCalls.take() {
      calls.append(call)
      work += 1
    }
    if mustLook { lookAtStreams() }
    hear()
    passMarks(now: now)
    work += takeAnswers(now: now)
    attendKept(now: now)
    submitWaiting(now: now)
    sender.handleTimeout(now: now)
    work += probe(now: now)
    work += transmit(now: now)
    work += handleEvents(now: now)
    if work > 0 { publish() }
    completeIdle()
    return work
  }

  func publish() {
    board.publish(
      sender, legCount: legs.count, wireBytes: outlet.wireBytes + outlet.port.copiedByteCount,
      segmentation: outlet.port.segmentation)
  }

  var nextDeadline: UInt64? {
    // What a send has found out is still to be told to the machine.
    if outlet.isLost, !isPortLost { return 0 }
    let probe = probing?.nextDeadline(isBlocked: outlet.isBlocked) ?? .max
    let due = min(
      min(probe, keptDeadline), min(sender.nextDeadline ?? .max, outlet.nextLook ?? .max))
    return due == .max ? nil : due
  }

  func fileDescriptors(into list: inout WaitList) {
    if outlet.isBlocked { list.append(outlet.port.descriptor, wantsWrite: true) }
    if outlet.newsDescriptor >= 0 { list.append(outlet.newsDescriptor) }
    streams.fileDescriptors(into: &list)
  }

  mutating func noteReady(_ list: WaitList) {
    ready = list
    mustLook = false
  }

  private mutating func lookAtStreams() {
    mustLook = false
    ready.removeAll()
    streams.fileDescriptors(into: &ready)
    do throws(SystemError) {
      try ready.wait(nanoseconds: 0)
    } catch {
      preconditionFailure("a look at streams: \(error)")
    }
  }

  /// Hears what the port tells. By one that is lost nothing goes, so all goes over connections.
  private mutating func hear() {
    let news = outlet.newsDescriptor
    if news >= 0, ready.isReady(descriptor: news) {
      ready.clear(descriptor: news)
      outlet.hear(looking: true)
    }
    guard outlet.isLost, !isPortLost else { return }
    isPortLost = true
    for leg in legs.indices where legs[leg].hearsDatagrams { sender.serveByConnection(leg) }
  }

  // MARK: Datagrams out

  private mutating func transmit(now: UInt64) -> Int {
    var work = 0
    for _ in 0..<Self.batchesPerCycle {
      guard outlet.send() else { break }
      var count = 0
      while !outlet.isFull, let transmission = sender.pollTransmission(now: now) {
        assemble(transmission, now: now)
        count += 1
      }
      if count == 0 { break }
      work += count
    }
    if outlet.isKeyRenewalDue { renewal.want() }
    if outlet.send(), work > 0 || isDeparting { sender.handleDeparted(now: MonotonicClock.now()) }
    isDeparting = outlet.isBlocked
    if work > 0 { mustLook = true }
    if work == 0, !outlet.isBlocked { work += outlet.releaseHeld() }
    flushCarried()
    return work
  }

  private mutating func assemble(_ transmission: Transmission, now: UInt64) {
    let token = sender.submission(inSlot: transmission.slot).token
    // Safe: the caller's buffer stays until its completion; the span ends with this call.
    let data = unsafe calls.bytes(of: token).bytes
    let destination: Int
    switch transmission.destination {
    case .group: destination = SenderOutlet.group
    case .leg(let leg): destination = leg + 1
    case .connection(let leg):
      let bytes = outlet.assembleAside {
        sender.assemble(transmission, data: data, into: &$0, now: now)
      }
      if let bytes { carried[leg].append(bytes) }
      return
    }
    outlet.assemble(to: destination) {
      sender.assemble(transmission, data: data, into: &$0, now: now)
    }
  }

  /// What datagrams could not deliver goes over the legs' connections, a batch a leg.
  private mutating func flushCarried() {
    for leg in legs.indices where !carried[leg].isEmpty {
      let batch = carried[leg]
      carried[leg].removeAll(keepingCapacity: true)
      let header = request(.carried, number: sender.lowestOpen)
      outlet.wireBytes += UInt64(
        batch.reduce(0) { $0 + $1.count + BasicHeaderSegment.byteCount })
      legs[leg].connection.perform { session in
        for datagram in batch { session.sendMirrorRequest(header, data: datagram) }
      }
    }
  }

  /// RFC 7143 §11.4.7.2: two bytes of length, then the sense data.
  static func sense(_ data: RawSpan) -> [UInt8] {
    guard data.byteCount >= 2 else { return [] }
    let length = min(Int(data.bigEndian16(at: 0)), data.byteCount - 2)
    return data.extracting(2..<2 + length).array()
  }

  func request(_ kind: MirrorRequest.Kind, number: SerialNumber) -> BasicHeaderSegment {
    MirrorRequest(
      kind, registration: sender.configuration.registration, epoch: sender.currentEpoch,
      writeNumber: number, lowestOpen: sender.lowestOpen
    ).header
  }
}

/// Who waits for an initiator's lane to have nothing open.
struct SenderWaiters {
  /// Nothing is open and nothing waits.
  var idle: [@Sendable () -> Void] = []
  /// Nothing is open; what waits may go on waiting.
  var noneOpen: [@Sendable () -> Void] = []
  /// Nothing before a number is open.
  var ended: [(before: SerialNumber, done: @Sendable () -> Void)] = []
}
