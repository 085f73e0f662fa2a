// What an initiator's lane does: orders of callers and connections, deadlines, datagrams out,
// events. One thread owns the sender, its socket and the callers' buffers while their writes are
// open.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Logging
import Replication

/// The duty of an initiator's lane.
struct SenderDuty: LaneDuty, ~Copyable {
  static let datagramMax = Limits.blockLengthMax + Datagram.overheadByteCount
  static let ordersMax = 8192
  /// Batches sent before answers are looked at again.
  static let batchesPerCycle = 4

  let inbox: LaneInbox<SenderOrder>
  let newCalls: WriteCalls
  let board: MirrorBoard
  let logger: Logger
  let socket: DatagramSocket
  let group: Endpoint
  var sender: Sender
  var legs: [MirrorLeg]
  var calls: [WriteCall?] = []
  var freeCalls: [Int] = []
  var waitingCalls: [WriteCall] = []
  var departures: DepartureBatch
  var passage: FaultyPassage?
  /// Assembled here what doesn't go straight into the batch.
  let scratch: DatagramScratch
  var carried: [[ArraySlice<UInt8>]]
  var probing: Probing?
  var idleWaiters: [@Sendable () -> Void] = []
  var openWaiters: [@Sendable () -> Void] = []
  /// Statuses by LUN that came before their response, by leg and tag.
  var unitStatuses: [LegTag: [UnitStatus]] = [:]
  /// Legs whose connection ended before they were members.
  var earlyLosses: [Int: String] = [:]
  var isBlocked = false
  var wireBytes: UInt64 = 0
  var sendErrors: UInt64 = 0

  /// A task tag at a leg.
  struct LegTag: Hashable {
    let leg: Int
    let tag: UInt32
  }

  init(
    sender: Sender, legs: [MirrorLeg], path: SendingPath,
    shared: (
      inbox: LaneInbox<SenderOrder>, calls: WriteCalls, board: MirrorBoard, logger: Logger
    ),
    faults: FaultInjector?
  ) {
    self.sender = sender
    self.legs = legs
    socket = path.socket
    group = path.group
    inbox = shared.inbox
    newCalls = shared.calls
    board = shared.board
    logger = shared.logger
    departures = DepartureBatch(
      capacity: DepartureBatch.capacityMax, datagramMax: Self.datagramMax)
    passage = nil
    if let faults { passage = FaultyPassage(faults, datagramMax: Self.datagramMax) }
    scratch = DatagramScratch(byteCount: Self.datagramMax)
    carried = [[ArraySlice<UInt8>]](repeating: [], count: Limits.legsMax)
  }

  mutating func doWork(now: UInt64) -> Int {
    var work = 0
    while let order = inbox.take() {
      handle(order, now: now)
      work += 1
    }
    while let call = newCalls.take() {
      waitingCalls.append(call)
      work += 1
    }
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
    board.publish(sender, legCount: legs.count, wireBytes: wireBytes)
  }

  var nextDeadline: UInt64? {
    guard let probing else { return sender.nextDeadline }
    return min(probing.nextSend, sender.nextDeadline ?? .max)
  }

  func fileDescriptors(into list: inout WaitList) {
    if isBlocked { list.append(socket.descriptor, wantsWrite: true) }
  }

  // MARK: Datagrams out

  private mutating func transmit(now: UInt64) -> Int {
    var work = 0
    for _ in 0..<Self.batchesPerCycle {
      guard send() else { break }
      var count = 0
      while !departures.isFull, let transmission = sender.pollTransmission(now: now) {
        assemble(transmission, now: now)
        count += 1
      }
      if count == 0 { break }
      work += count
    }
    _ = send()
    if work == 0, !isBlocked { work += releaseHeld() }
    flushCarried()
    return work
  }

  /// Sends what waits. False when the socket takes no more now.
  private mutating func send() -> Bool {
    isBlocked = false
    while !departures.isEmpty {
      do throws(SystemError) {
        if try socket.send(&departures) == 0 {
          isBlocked = true
          return false
        }
      } catch {
        // The datagram is lost; its block will be reported and repaired, at last over TCP.
        if sendErrors == 0 { logger.warning("a datagram could not be sent: \(error)") }
        sendErrors += 1
        departures.discardFirst()
      }
    }
    return true
  }

  private mutating func assemble(_ transmission: Transmission, now: UInt64) {
    let token = sender.submission(inSlot: transmission.slot).token
    guard let call = calls[Int(token)] else {
      preconditionFailure("a transmission of a call that is over")
    }
    // Safe: the caller's buffer stays until its completion; the spans end with the statements.
    let data = unsafe call.bytes.bytes
    let destination: Endpoint
    switch transmission.destination {
    case .group: destination = group
    case .leg(let leg): destination = legs[leg].repair ?? group
    case .connection(let leg):
      if let count = assembleAside(transmission, data: data, now: now) {
        carried[leg].append(scratch.prefix(count))
      }
      return
    }
    if passage != nil {
      guard let count = assembleAside(transmission, data: data, now: now) else { return }
      passFaulty(count, to: destination)
    } else {
      // Safe: the next slot is ours until `append`.
      var bytes = unsafe departures.nextSlot.mutableBytes
      guard let count = sender.assemble(transmission, data: data, into: &bytes, now: now) else {
        return
      }
      departures.append(byteCount: count, to: destination)
      countWire(count)
    }
  }

  private mutating func assembleAside(
    _ transmission: Transmission, data: RawSpan, now: UInt64
  ) -> Int? {
    scratch.fill { sender.assemble(transmission, data: data, into: &$0, now: now) }
  }

  mutating func countWire(_ byteCount: Int) {
    wireBytes += UInt64(byteCount + (group.family == .v4 ? 28 : 48))
  }

  /// Through the faults that were asked for.
  mutating func passFaulty(_ count: Int, to destination: Endpoint) {
    // Safe: the scratch stays as it is until everything was taken out of the passage.
    unsafe passage?.admit(scratch.filled(count), peer: destination)
    countWire(count)
    takeFromPassage()
  }

  private mutating func takeFromPassage() {
    // Safe: what the passage gives stays until its next `admit`.
    while let datagram = unsafe passage?.next() {
      if departures.isFull { _ = send() }
      // A full batch that won't go loses the datagram, as a full queue on the way would.
      guard !departures.isFull else { continue }
      unsafe departures.append(copying: datagram.bytes.bytes, to: datagram.peer)
    }
  }

  private mutating func releaseHeld() -> Int {
    guard let held = passage?.heldCount, held > 0 else { return 0 }
    passage?.releaseAll()
    takeFromPassage()
    _ = send()
    return held
  }

  /// What datagrams could not deliver goes over the legs' connections, a batch a leg.
  private mutating func flushCarried() {
    for leg in legs.indices where !carried[leg].isEmpty {
      let batch = carried[leg]
      carried[leg].removeAll(keepingCapacity: true)
      let header = request(.carried, number: sender.lowestOpen)
      wireBytes += UInt64(batch.reduce(0) { $0 + $1.count + BasicHeaderSegment.byteCount })
      legs[leg].connection.perform { session in
        for datagram in batch { session.sendMirrorRequest(header, data: datagram) }
      }
    }
  }

  func request(_ kind: MirrorRequest.Kind, number: SerialNumber) -> BasicHeaderSegment {
    MirrorRequest(
      kind, registration: sender.configuration.registration, epoch: sender.currentEpoch,
      writeNumber: number, lowestOpen: sender.lowestOpen
    ).header
  }
}
