// From a target's machines to its disk, and what they have to say to its channels.
import Bytes
import ISCSI
import Replication
import SCSI

extension Target {
  // MARK: Operations

  func begin(_ store: StoreRequest, _ registration: Registration) {
    guard store.byteOffset % 512 == 0, store.length % 512 == 0, store.length > 0,
      store.slotOffset + store.length <= registration.slotByteCount
    else { return world.violate("a store that is no sectors of its slot") }
    var first = Int(store.byteOffset) / 512
    if world.plants(.shiftedStore), first > 0 { first -= 1 }
    let sectors = first..<first + store.length / 512
    guard sectors.upperBound <= disk.live.count else {
      return world.violate("a store beyond the disk's end")
    }
    if disk.overlapsRunningWrite(sectors), world.isFollowed(index),
      !registrations.contains(where: { world.hasLeft(index, initiatorOf: $0) })
    {
      return world.violate("two stores at one place run at once")
    }
    let start = store.slot * registration.slotByteCount + store.slotOffset
    let operation = SimulatedDisk.Operation(
      action: .write(isForced: store.forceUnitAccess), sectors: sectors,
      bytes: registration.bytes(at: start),
      owner: registration.serial, tag: store.slot)
    world.note(node, "stores sectors % to %", sectors.lowerBound, sectors.upperBound)
    enter(operation)
    if world.plants(.earlyGood) {
      registration.receiver.handleStored(slot: store.slot, unit: 0, status: 0, sense: [])
    }
  }

  func begin(_ action: SimulatedDisk.Action, _ sectors: Range<Int>, owner: Int, tag: Int) {
    enter(
      SimulatedDisk.Operation(action: action, sectors: sectors, bytes: nil, owner: owner, tag: tag))
  }

  func enter(_ operation: SimulatedDisk.Operation) {
    let slot = disk.begin(operation)
    let time = behaviour.nanoseconds + world.random.below(behaviour.jitterNanoseconds)
    world.enter(
      .stored, node: node, at: world.now + time, first: slot, incarnation: incarnation)
  }

  /// An operation ends.
  func finish(_ slot: Int) {
    let operation = disk.take(slot)
    var fails = world.random.chance(behaviour.errorRate)
    switch operation.action {
    case .flush where operation.owner < 0:
      if !fails, !world.plants(.idleMediumFlush) { disk.finishFlush(operation) }
      finishMediumFlush(token: operation.tag, isDone: !fails)
    case .flush:
      if !fails { disk.finishFlush(operation) }
      world.send(.flushed(tag: operation.tag, isGood: !fails), on: operation.owner)
    case .read:
      let stamps = fails ? nil : Array(disk.live[operation.sectors])
      guard operation.owner >= 0 else {
        world.finishPlainRead(operation.tag, stamps, at: self)
        break
      }
      world.send(.data(tag: operation.tag, stamps), on: operation.owner)
    case .write(let isForced):
      fails = fails || behaviour.isFull
      for offset in 0..<operation.sectors.count where !fails || world.random.chance(0.3) {
        apply(operation, offset)
      }
      guard operation.stamp == nil else {
        finishPlainWrite()
        break
      }
      if isForced, !fails, !world.plants(.ignoredForce) { disk.makeDurable(operation.sectors) }
      finishStore(operation, fails: fails)
    }
    turn()
  }

  private func finishStore(_ operation: SimulatedDisk.Operation, fails: Bool) {
    guard !world.plants(.earlyGood) else { return }
    guard let registration = registrations.first(where: { $0.serial == operation.owner }) else {
      return world.violate("a registration went while a store of it ran")
    }
    world.note(
      node, "has stored sectors % to %, failing: %", operation.sectors.lowerBound,
      operation.sectors.upperBound, fails ? 1 : 0)
    registration.receiver.handleStored(
      slot: operation.tag, unit: 0,
      status: fails ? Status.checkCondition.rawValue : Status.good.rawValue,
      sense: fails ? Self.mediumError : [])
  }

  /// SPC-4 §4.5.3: fixed format, MEDIUM ERROR, write error.
  private static let mediumError: [UInt8] = [
    0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0,
  ]

  /// One sector of a write reaches the disk's cache.
  func apply(_ operation: SimulatedDisk.Operation, _ offset: Int) {
    guard operation.stamp == nil else { return applyPlain(operation, offset) }
    guard let bytes = operation.bytes else { return }
    let sector = operation.sectors.lowerBound + offset
    guard let stamp = Sector.stamp(of: bytes + offset * Sector.byteCount, address: sector) else {
      return world.violate("target \(index) stores bytes at sector \(sector) that are none of it")
    }
    world.oracle.checkStore(stamp, over: disk.live[sector], at: sector, target: index, world)
    disk.put(stamp, at: sector)
  }

  // MARK: Answers

  func say(_ answer: ReceiverAnswer, _ registration: Registration) {
    let number = registration.number
    switch answer {
    case .readyToTransfer(let write, _):
      world.send(.readyToTransfer(tag: Datagram.taskTag(of: write)), on: registration.channel)
    case .response(let write, let status, let sense, let units):
      world.note(node, "answers write % with status %", Int(write.rawValue), Int(status))
      world.send(
        .response(tag: Datagram.taskTag(of: write), status: status, sense: sense, units: units),
        on: registration.channel)
    // The simulated mirrors have no keys.
    case .proof: world.violate("a proof that nobody has asked for")
    case .report(let write, let epoch, let heard, let missing, let isCommandMissing, let isAsked):
      var header = MirrorAnswer(.report, registration: number, epoch: epoch, writeNumber: write)
      header.heard = heard
      header.isCommandMissing = isCommandMissing
      header.isAsked = isAsked
      send(header, missing, registration)
    case .distrusted(let write, let epoch):
      var header = MirrorAnswer(.report, registration: number, epoch: epoch, writeNumber: write)
      header.isCommandMissing = true
      header.isDistrusted = true
      send(header, [], registration)
    case .fenced(let write, let epoch):
      send(
        MirrorAnswer(.fenced, registration: number, epoch: epoch, writeNumber: write), [],
        registration)
    case .probeSeen(let epoch, let byteCount):
      var header = MirrorAnswer(
        .probeSeen, registration: number, epoch: epoch, writeNumber: SerialNumber(0))
      header.probeByteCount = byteCount
      send(header, [], registration)
    case .deaf(let epoch):
      send(
        MirrorAnswer(.deaf, registration: number, epoch: epoch, writeNumber: SerialNumber(0)), [],
        registration)
    }
  }

  private func send(_ answer: MirrorAnswer, _ missing: [UInt8], _ registration: Registration) {
    world.send(.answer(answer.header, missing: missing), on: registration.channel)
  }
}
