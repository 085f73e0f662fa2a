// An initiator of a mirror without a name: its process, its channels and the sender. Who is lost to
// such a mirror stays lost: whoever opens it next leaves out what the oracle does not trust, as the
// people who run it would.
import Bytes
import ISCSI
import Replication

/// A node that writes.
final class Initiator {
  /// Where an opening stands.
  enum Phase { case down, waiting, connecting, probing, running, ending }

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
  var sender: Sender?
  var waiting: [Submission] = []
  var sendsNextAt: UInt64 = 0
  var carried: [[[UInt8]]] = []
  var probes = 0
  var probedAt: UInt64 = 0
  var unprobed: LegSet = []
  var registration: UInt32 = 0
  private var wakeAt = UInt64.max
  /// The targets of the sender's legs, by leg.
  var targetOf: [Int] = []
  var reads: [Int: (sectors: Range<Int>, floor: [Stamp])] = [:]
  var flushes: [Int: [Stamp]] = [:]
  var nextTag = 0
  var isTerminating = false

  init(_ index: Int, in world: World) {
    self.index = index
    self.world = world
  }

  var isRunning: Bool { phase == .running }

  func awaits(channel: Int) -> Bool {
    phase != .down && legs.contains { $0.channel == channel && !$0.isLost }
  }

  // MARK: Process

  /// Opens the mirror, or tries to.
  func start() {
    guard phase == .down || phase == .waiting else { return }
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
    forgetWrites()
    for leg in legs where !leg.isLost { world.dropChannel(leg.channel, atInitiator: true) }
    letGo()
  }

  private func forgetWrites() {
    for stamp in stride(from: Int(world.oracle.lastStamp), to: 0, by: -1)
    where world.oracle.record(Stamp(stamp)).initiator == index {
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
    targetOf = []
    blockedUntil = 0
    isDeparting = false
  }

  /// Tries again, unless others have the mirror by then.
  func retry() {
    for leg in legs where !leg.isLost { world.close(leg.channel, atInitiator: true) }
    letGo()
    phase = .waiting
    world.wake(index, at: world.now + world.random.octaves(1_000_000...100_000_000), incarnation)
  }

  // MARK: Channels

  func handleConnected(_ channel: Int) {
    guard let leg = legs.firstIndex(where: { $0.channel == channel }) else { return }
    legs[leg].isConnected = true
    world.send(
      .register(
        RegistrationOrder(registration: registration, epoch: 1, firstWrite: SerialNumber(0))),
      on: channel)
  }

  func handleLost(_ channel: Int) {
    guard let leg = legs.firstIndex(where: { $0.channel == channel && !$0.isLost }) else { return }
    world.note(index, "loses target %", legs[leg].target)
    legs[leg].isLost = true
    switch phase {
    case .connecting: proceed()
    case .probing, .running, .ending:
      if let number = legs[leg].number {
        sender?.handleLost(leg: number, .connection("lost"), now: world.now)
      }
      turn()
    case .down, .waiting: break
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
    sender = Sender(
      configuration,
      legs: targetOf.map { _ in
        LegDescription(
          path: .datagrams, openWritesMax: scenario.openWritesMax, credit: scenario.credit)
      })
    world.workplace.payloads.reset()
  }

  /// The leg of the sender that a channel is of.
  func number(of channel: Int) -> Int? { legs.first { $0.channel == channel }?.number }

  func channel(ofLeg number: Int) -> Int? { legs.first { $0.number == number }?.channel }

  // MARK: Time

  func handleWake() {
    if wakeAt <= world.now { wakeAt = .max }
    switch phase {
    case .waiting: start()
    case .down, .connecting: break
    case .probing, .running, .ending: turn()
    }
  }

  func wake(at time: UInt64) {
    guard time < wakeAt else { return }
    wakeAt = max(time, world.now)
    world.wake(index, at: wakeAt, incarnation)
  }
}
