// A target: its process, which may end at any step, and its disk, which stays.
import Bytes
import ISCSI
import Replication
import SCSI

/// A node that keeps a leg.
final class Target {
  static let virtualLUN: UInt64 = 5 << 48

  let index: Int
  unowned let world: World
  private(set) var incarnation: UInt32 = 0
  private(set) var isUp = true
  var pausedUntil: UInt64?
  var disk: SimulatedDisk
  var behaviour: DiskBehaviour
  /// Nil in a world of mirrors without names.
  var keeping: TargetKeeping?
  var journal = JournalDisk()
  var journalBehaviour: DiskBehaviour
  private(set) var registrations: [Registration] = []
  private var retired: [Registration] = []
  private var nextSerial = 0
  private var wakeAt = UInt64.max
  /// For ordinary commands.
  var device: DeviceServer
  var gate = MediumGate()
  private let geometry: BlockGeometry

  init(_ index: Int, in world: World) {
    self.index = index
    self.world = world
    disk = SimulatedDisk(sectorCount: world.scenario.sectorCount)
    behaviour = world.scenario.disks[index]
    journalBehaviour = world.scenario.journals[index]
    guard let geometry = BlockGeometry(blockCount: UInt64(world.scenario.sectorCount)) else {
      preconditionFailure("no such disk")
    }
    self.geometry = geometry
    device = Self.device(index, geometry)
    if world.scenario.isKept { load() }
  }

  var node: Int { World.targetsAt + index }

  // MARK: Process

  func start() {
    guard !isUp else { return }
    isUp = true
    world.note(node, "starts")
    turn()
  }

  /// The process ends here and now; what the disk was doing is done or not.
  func stop(losesPower: Bool) {
    guard isUp else { return }
    world.note(node, losesPower ? "loses its power" : "is killed")
    isUp = false
    incarnation += 1
    wakeAt = .max
    var touched: [Int] = []
    for slot in disk.running {
      let operation = disk.take(slot)
      guard case .write = operation.action else { continue }
      if operation.stamp == nil { touched += operation.sectors }
      // A process that is killed ends its system calls, whole ones.
      let isCutOff = losesPower
      let isDone = world.random.chance(0.5)
      for offset in 0..<operation.sectors.count where isCutOff ? world.random.chance(0.5) : isDone {
        apply(operation, offset)
      }
    }
    disk.forgetOperations()
    gate = MediumGate()
    registrations = []
    if losesPower {
      touched += disk.losePower(keeping: world.scenario.keptRate, &world.random)
    }
    if keeping != nil {
      stopJournal(losesPower: losesPower)
      load()
      world.oracle.checkLost(touched, at: self, world)
    }
    world.oracle.noteStopped(self, losesPower: losesPower, world)
    world.dropChannels(ofTarget: index, isSilent: losesPower)
  }

  func handleConnected(_ channel: Int) {}

  func handleLost(_ channel: Int) {
    for registration in registrations where registration.channel == channel {
      world.note(node, "loses channel %", channel)
      end(registration)
    }
    beginDeparture(channel)
    turn()
  }

  func end(_ registration: Registration) {
    guard !registration.isEnding else { return }
    registration.isEnding = true
    registration.receiver.close()
  }

  func handleWake() {
    if wakeAt <= world.now { wakeAt = .max }
    turn()
  }

  // MARK: What comes

  func handle(datagram bytes: UnsafeRawBufferPointer) {
    guard let number = Datagram.registration(in: bytes.bytes) else { return }
    for registration in registrations where registration.number == number {
      guard let datagram = try? Datagram(bytes.bytes) else { return }
      deliver(datagram, bytes, to: registration, isCarried: false)
    }
    turn()
  }

  private func deliver(
    _ datagram: Datagram, _ bytes: UnsafeRawBufferPointer, to registration: Registration,
    isCarried: Bool
  ) {
    registration.receiver.takesCopies = service == .beingCopied
    let placement = registration.receiver.handleDatagram(
      datagram, isCarried: isCarried, now: world.now)
    switch placement {
    case .nowhere: break
    case .medium: world.violate("data is placed in the medium, which is none of memory")
    case .store(let slot, let offset, let length):
      guard offset + length <= registration.slotByteCount else {
        return world.violate("data is placed outside of its slot")
      }
      let start = slot * registration.slotByteCount + offset
      UnsafeMutableRawBufferPointer(rebasing: registration.places[start..<start + length])
        .copyMemory(
          from: UnsafeRawBufferPointer(
            rebasing: bytes[BasicHeaderSegment.byteCount..<BasicHeaderSegment.byteCount + length]))
      registration.receiver.settle(slot)
    }
  }

  func handle(_ message: TargetMessage, on channel: Int) {
    let registration = registrations.first { $0.channel == channel }
    switch message {
    case .register(let order): register(order, on: channel, known: registration)
    case .carried(let bytes):
      guard let registration else { break }
      bytes.withUnsafeBytes { bytes in
        guard let datagram = try? Datagram(bytes.bytes) else {
          return world.violate("a carried datagram that can't be read")
        }
        deliver(datagram, bytes, to: registration, isCarried: true)
      }
    case .sync(let open, let lowestOpen):
      registration?.receiver.handleSync(open, lowestOpen: lowestOpen, now: world.now)
    case .fence(let number, let epoch): registration?.receiver.handleFence(number, epoch: epoch)
    case .terminate:
      guard let registration else {
        world.send(.terminated, on: channel)
        break
      }
      registration.isTerminated = true
      end(registration)
    case .flush(let tag): begin(.flush, 0..<0, owner: channel, tag: tag)
    case .read(let tag, let sectors):
      guard isHolder(channel) else {
        world.send(.data(tag: tag, nil), on: channel)
        break
      }
      begin(.read, sectors, owner: channel, tag: tag)
    case .keep(let token, let request): ask(request, token: token, on: channel)
    case .ping: world.send(.pong, on: channel)
    case .findLeader: world.send(.leader(keeping?.tenancy.leader), on: channel)
    }
    turn()
  }

  private func register(_ order: RegistrationOrder, on channel: Int, known: Registration?) {
    if let known {
      guard known.receiver.handleEpoch(order.epoch, firstWrite: order.firstWrite) else {
        return world.send(.refused("stale epoch"), on: channel)
      }
      return world.send(.registered(epoch: known.receiver.currentEpoch), on: channel)
    }
    guard !registrations.contains(where: { !world.scenario.isShared || $0.holder == order.holder })
    else {
      return world.send(.refused("the virtual LUN is another's"), on: channel)
    }
    if let words = refusal(of: order, on: channel) {
      return world.send(.refused(words), on: channel)
    }
    let scenario = world.scenario
    var configuration = ReceiverConfiguration(
      registration: order.registration, epoch: order.epoch, firstWrite: order.firstWrite,
      virtualLUN: Self.virtualLUN, units: [0], geometry: geometry)
    configuration.blockLength = scenario.blockLength
    configuration.writeLengthMax = scenario.writeSectorsMax * Sector.byteCount
    configuration.openWritesMax = scenario.openWritesMax
    configuration.credit = UInt32(scenario.credit)
    configuration.storeAheadByteCount = scenario.storeAheadByteCount
    nextSerial += 1
    registrations.append(
      Registration(
        serial: nextSerial, channel: channel, order: order,
        receiver: Receiver(configuration), slots: scenario.openWritesMax,
        slotByteCount: configuration.writeLengthMax))
    world.note(
      node, "registers epoch % from write %", Int(order.epoch), Int(order.firstWrite.rawValue))
    world.send(.registered(epoch: order.epoch), on: channel)
  }

  // MARK: A turn

  /// What a lane does after something has come.
  func turn() {
    guard isUp else { return }
    var due = UInt64.max
    for registration in registrations {
      if let deadline = registration.receiver.nextDeadline, deadline <= world.now {
        registration.receiver.handleTimeout(now: world.now)
      }
      takeStores(registration)
    }
    admitStores()
    for registration in registrations {
      tellEnded(registration)
      takeAnswers(registration)
      if let deadline = registration.receiver.nextDeadline { due = min(due, deadline) }
    }
    finishEndings()
    finishExpulsions()
    finishDepartures()
    settleKeeping()
    if let keeping { due = min(due, keeping.deadline) }
    checkGrowth()
    guard due < wakeAt else { return }
    wakeAt = max(due, world.now)
    world.wake(node, at: wakeAt, incarnation)
  }

  private func takeStores(_ registration: Registration) {
    guard !registration.receiver.stores.isEmpty else { return }
    for store in registration.receiver.stores {
      if keeping?.record == nil {
        begin(store, registration)
      } else {
        keeping?.admissions.append(
          TargetKeeping.Admission(registration: registration, store: store))
      }
    }
    registration.receiver.stores.removeAll(keepingCapacity: true)
  }

  private func takeAnswers(_ registration: Registration) {
    guard !registration.receiver.answers.isEmpty else { return }
    for answer in registration.receiver.answers[registration.answersTaken...] {
      say(answer, registration)
    }
    if world.plants(.hoardedAnswers) {
      registration.answersTaken = registration.receiver.answers.count
    } else {
      registration.receiver.answers.removeAll(keepingCapacity: true)
    }
  }

  private func finishEndings() {
    guard registrations.contains(where: { $0.isEnding && $0.receiver.isQuiescent }) else { return }
    for registration in registrations
    where registration.isEnding && registration.receiver.isQuiescent {
      let (part, holder) = (registration.number, registration.holder ?? 0)
      keeping?.act { $0.handlePartEnded(part: part, holder: holder) }
      if registration.isTerminated { world.send(.terminated, on: registration.channel) }
    }
    // With a fault planted the disk may still be at work for one.
    if world.plant != nil { retired += registrations.filter { $0.isEnding } }
    registrations.removeAll { $0.isEnding && $0.receiver.isQuiescent }
  }
}
