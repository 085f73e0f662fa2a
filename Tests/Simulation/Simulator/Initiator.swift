// An initiator: its process, its channels and the sender. A mirror with a name is kept (`Keeping`).
// Who is lost to one without stays lost: whoever opens it next leaves out what the oracle does not
// trust, as the people who run it would.
import Bytes
import ISCSI
import Replication

/// A node that writes.
final class Initiator {
  /// Where an opening stands.
  enum Phase { case down, waiting, opening, connecting, probing, running, ending }

  /// A target as this initiator has it.
  struct Leg {
    var target: Int
    var channel: Int
    var isConnected = false
    var isRegistered = false
    var isLost = false
    /// Its number in the sender.
    var number: Int?
  }

  static let batchMax = 16
  static let paceNanoseconds: UInt64 = 1_000
  static let probesMax = 100

  let index: Int
  unowned let world: World
  private(set) var incarnation: UInt32 = 0
  var phase = Phase.waiting
  var pausedUntil: UInt64?
  /// Until then what was assembled waits for room in the socket.
  var blockedUntil: UInt64 = 0
  var isDeparting = false
  var legs: [Leg] = []
  var sender: Machine<Sender>?
  var waiting: [Submission] = []
  var sendsNextAt: UInt64 = 0
  var carried: [[[UInt8]]] = []
  var probes = 0
  var probedAt: UInt64 = 0
  var unprobed: LegSet = []
  var registration: UInt32 = 0
  var firstWrite = SerialNumber(0)
  private var wakeAt = UInt64.max
  /// The targets of the sender's legs, by leg.
  var targetOf: [Int] = []
  var reads: [Int: (sectors: Range<Int>, floor: [Stamp])] = [:]
  var flushes: [Int: (floor: [Stamp], call: Int)] = [:]
  /// Of a kept mirror: calls that wait for its legs.
  var flushCalls: [FlushCall] = []
  /// Reads and flushes under way, by the channel that they came by.
  var bulkTags: [Int: Int] = [:]
  /// The next token of a piece that is copied; callers' writes have lower ones.
  var nextPiece = Keeping.pieceTokens
  /// Nil where the mirror has no name.
  var keeping: Keeping?
  /// The mirror ends for good.
  var isEndWanted = false
  /// When the mirror was open last.
  var ranAt: UInt64 = 0
  /// Every leg has stored that the mirror was closed.
  var isClosedWhole = false
  var nextTag = 0
  var sharing = SharingCalls()
  var isTerminating = false

  init(_ index: Int, in world: World) {
    self.index = index
    self.world = world
  }

  var isRunning: Bool { phase == .running }

  func awaits(channel: Int) -> Bool {
    phase != .down
      && (legs.contains { $0.channel == channel && !$0.isLost }
        || keeping?.leg(ofLink: channel) != nil || keeping?.join?.channel == channel
        || sharing.seeking?.channel == channel)
  }

  // MARK: Process

  /// Opens the mirror, or tries to.
  func start() {
    guard phase == .down || phase == .waiting else { return }
    isTerminating = false
    guard !world.scenario.isShared else { return seek() }
    guard !world.scenario.isKept else {
      phase = .opening
      world.note(index, "opens the mirror")
      world.happens(.opening)
      keeping = Keeping(self, in: world)
      return turn()
    }
    phase = .connecting
    registration = UInt32(truncatingIfNeeded: world.random.next()) | 1
    legs = []
    for target in world.targets.indices where world.oracle.isTrusted[target] {
      legs.append(Leg(target: target, channel: world.connect(index, target)))
    }
    world.note(index, "opens with % legs", legs.count)
    guard legs.isEmpty else { return }
    guard world.initiators.allSatisfy({ $0 === self || $0.sender == nil }) else { return retry() }
    phase = .waiting
    world.workload.isDead = true
  }

  /// The process ends here and now.
  func stop() {
    guard phase != .down else { return }
    world.note(index, "is killed")
    incarnation += 1
    phase = .down
    wakeAt = .max
    forgetSharing()
    forgetWrites()
    for leg in legs where !leg.isLost { world.dropChannel(leg.channel, atInitiator: true) }
    for seat in keeping?.seats ?? [] {
      if let link = seat.link { world.dropChannel(link, atInitiator: true) }
    }
    if let join = keeping?.join { world.dropChannel(join.channel, atInitiator: true) }
    letGo()
    if world.scenario.isKept { world.oracle.checkMarks(world.complete, world) }
  }

  private func forgetWrites() {
    for stamp in stride(from: Int(world.oracle.lastStamp), to: 0, by: -1)
    where world.oracle.record(Stamp(stamp)).initiator == index && !sharing.isPending(Stamp(stamp)) {
      world.oracle.end(Stamp(stamp), .unknown)
    }
  }

  func letGo() {
    legs = []
    sender = nil
    waiting = []
    carried = []
    reads = [:]
    flushes = [:]
    flushCalls = []
    bulkTags = [:]
    keeping = nil
    sharing.letGo()
    targetOf = []
    blockedUntil = 0
    isDeparting = false
  }

  /// Tries again, unless others have the mirror by then.
  func retry() {
    handOver()
    for leg in legs where !leg.isLost { world.close(leg.channel, atInitiator: true) }
    keeping?.close()
    if let join = keeping?.join { world.close(join.channel, atInitiator: true) }
    forgetWrites()
    letGo()
    phase = .waiting
    world.wake(index, at: world.now + world.random.octaves(1_000_000...100_000_000), incarnation)
  }

  // MARK: Channels

  func handleConnected(_ channel: Int) {
    guard sharing.seeking?.channel != channel else { return askForLeader() }
    if let leg = keeping?.leg(ofLink: channel) {
      keeping?.handleLinked(leg)
      return turn()
    }
    if keeping?.join?.channel == channel {
      keeping?.handleJoinConnected()
      return turn()
    }
    guard let leg = legs.firstIndex(where: { $0.channel == channel }) else { return }
    legs[leg].isConnected = true
    world.send(
      .register(
        RegistrationOrder(
          registration: registration, epoch: 1, firstWrite: firstWrite,
          holder: keeping?.holder)),
      on: channel)
  }

  func handleLost(_ channel: Int) {
    guard sharing.seeking?.channel != channel else { return seekNext() }
    if let leg = keeping?.leg(ofLink: channel) {
      keeping?.handleLinkLost(leg)
      return turn()
    }
    if keeping?.join?.channel == channel {
      keeping?.handleJoinLost()
      return turn()
    }
    guard let leg = legs.firstIndex(where: { $0.channel == channel && !$0.isLost }) else { return }
    world.note(index, "loses target %", legs[leg].target)
    legs[leg].isLost = true
    switch phase {
    case .connecting where keeping != nil: failOpening()
    case .connecting: proceed()
    case .probing, .running, .ending:
      if let number = legs[leg].number {
        sender?.value.handleLost(leg: number, .connection("lost"), now: world.now)
        handleEvents()
        loseBulk(on: channel)
      }
      turn()
    case .down, .waiting, .opening: break
    }
  }

  /// All legs have answered or were lost: the sender begins.
  func proceed() {
    guard phase == .connecting, legs.allSatisfy({ $0.isRegistered || $0.isLost }) else { return }
    guard legs.contains(where: { $0.isRegistered && !$0.isLost }) else { return retry() }
    makeSender()
    world.counters.openings += 1
    phase = .probing
    probes = 0
    turn()
  }

  /// A leg of a kept mirror can't be registered: all is left, and tried again.
  func failOpening() {
    world.note(index, "can't register")
    retry()
  }

  /// The legs of a kept mirror that is open are registered.
  func establish(_ chosen: LegSet) {
    phase = .connecting
    registration = UInt32(truncatingIfNeeded: world.random.next()) | 1
    firstWrite = SerialNumber(UInt32(truncatingIfNeeded: world.random.next()))
    legs = []
    chosen.forEach { leg in
      guard let target = keeping?.seats[leg].target else { return }
      keeping?.seats[leg].place = legs.count
      legs.append(Leg(target: target, channel: world.connect(index, target)))
    }
  }

  private func makeSender() {
    let scenario = world.scenario
    var configuration = SenderConfiguration(
      registration: registration, virtualLUN: Target.virtualLUN,
      blockLength: scenario.blockLength, unitBlockSize: Sector.byteCount,
      writeLengthMax: scenario.writeSectorsMax * Sector.byteCount)
    configuration.recovery = RecoveryMode.allCases[scenario.recovery]
    configuration.isSolicited = scenario.isSolicited
    configuration.deadlineNanoseconds = scenario.deadlineNanoseconds
    configuration.queueMax = 16
    configuration.firstWrite = firstWrite
    (configuration.isKept, configuration.retriesMax) = (keeping != nil, Int(scenario.seed % 3))
    targetOf = []
    for leg in legs.indices {
      guard legs[leg].isRegistered, !legs[leg].isLost else {
        // It misses what is written from now on.
        world.oracle.isTrusted[legs[leg].target] = false
        continue
      }
      legs[leg].number = targetOf.count
      targetOf.append(legs[leg].target)
    }
    carried = Array(repeating: [], count: targetOf.count)
    unprobed = LegSet(targetOf.indices)
    sender = Machine(
      Sender(
        configuration,
        legs: targetOf.map { _ in
          LegDescription(
            path: .datagrams, openWritesMax: scenario.openWritesMax, credit: scenario.credit)
        }))
    world.workplace.payloads.reset()
  }

  /// The leg of the sender that a channel is of.
  func number(of channel: Int) -> Int? {
    legs.first { $0.channel == channel && !$0.isLost }?.number
  }

  func channel(ofLeg number: Int) -> Int? { legs.first { $0.number == number }?.channel }

  // MARK: Time

  func handleWake() {
    if wakeAt <= world.now { wakeAt = .max }
    switch phase {
    case .waiting: start()
    case .down: break
    case .connecting, .opening: if keeping != nil { turn() }
    case .probing, .running, .ending: turn()
    }
  }

  func wake(at time: UInt64) {
    guard time < wakeAt else { return }
    wakeAt = max(time, world.now)
    world.wake(index, at: wakeAt, incarnation)
  }
}
