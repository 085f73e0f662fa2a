// Where callers' writes, and holds of ranges, wait in a shared mirror until this initiator may
// write in their regions: the simulated shell's `WriteGate`.
import Bytes
import Replication

/// What a shared mirror's keeping has besides, once its sender runs.
struct SharingDesk {
  /// What waits at the gate.
  enum Parked {
    case write(Submission)
    case hold(token: UInt64, Range<UInt64>)
  }

  var gate: RegionGate
  /// Nil where another initiator leads.
  var hall: GuestHall?
  private var lastID: UInt64 = 0
  private var parked: [UInt64: Parked] = [:]
  /// Holds that were let go before they came through the gate.
  private var dropped: Set<UInt64> = []
  /// Writes that are through it, and have not ended everywhere.
  private var inside: [Stamp: Range<Int>] = [:]
  private(set) var isEnded = false
  /// Legs that are taken in here, and those that all guests have taken in.
  var settled: LegSet = []
  var reached: LegSet = []
  /// What the gate has said, in order, and whether somebody is at it.
  var said: [RegionGate.Output] = []
  var isTaking = false
  /// The same of the hall's orders.
  var orders: [GuestHall.Order] = []
  var isCarryingOut = false

  init(gate: RegionGate, hall: GuestHall?) {
    self.gate = gate
    self.hall = hall
  }

  var waitingCount: Int { parked.count }

  /// Whether it may go on at once.
  mutating func enter(_ one: Parked, _ regions: Range<Int>) -> Bool {
    lastID += 1
    guard !gate.enter(regions, id: lastID) else {
      note(one, regions)
      return true
    }
    parked[lastID] = one
    return false
  }

  /// What waited under that number goes on; nil: it is not wanted any more.
  mutating func go(_ id: UInt64, in layout: RegionLayout) -> Parked? {
    guard let one = parked.removeValue(forKey: id) else { return nil }
    switch one {
    case .write(let submission): note(one, layout.regions(of: submission.bytes))
    case .hold(let token, let bytes):
      guard dropped.remove(token) == nil else {
        gate.leave(layout.regions(of: bytes))
        return nil
      }
    }
    return one
  }

  private mutating func note(_ one: Parked, _ regions: Range<Int>) {
    if case .write(let submission) = one { inside[Stamp(submission.token)] = regions }
  }

  /// What the gate has said is carried out behind what it said before.
  mutating func listen() {
    said += gate.outputs
    gate.outputs = []
  }

  /// The regions of a write that was through the gate, once.
  mutating func leave(_ stamp: Stamp) -> Range<Int>? { inside.removeValue(forKey: stamp) }

  /// Whether a hold was let go while it waited here.
  mutating func drop(_ token: UInt64) -> Bool {
    let isWaiting = parked.values.contains { one in
      if case .hold(token, _) = one { true } else { false }
    }
    if isWaiting { dropped.insert(token) }
    return isWaiting
  }

  /// Nothing is let in any more; the writes that waited, in order.
  mutating func end() -> [Submission] {
    isEnded = true
    _ = gate.end()
    said = []
    defer { parked = [:] }
    return parked.keys.sorted().compactMap { id in
      if case .write(let submission)? = parked[id] { submission } else { nil }
    }
  }
}

extension Submission {
  var bytes: Range<UInt64> { byteOffset..<byteOffset + UInt64(length) }
}

extension Keeping {
  // MARK: Writes

  /// A caller's write waits for its regions, or goes to the sender.
  func enterGate(_ submission: Submission) {
    let regions = world.scenario.layout.regions(of: submission.bytes)
    guard desk?.enter(.write(submission), regions) == true else { return takeGate() }
    initiator.waiting.append(submission)
    if !isLeader { world.happens(.guestWrote) }
    takeGate()
    if world.plants(.earlyRelease) { leaveGate(Stamp(submission.token)) }
  }

  /// It has ended at every leg.
  func leaveGate(_ stamp: Stamp) {
    guard let regions = desk?.leave(stamp) else { return }
    leaveGate(regions)
  }

  // MARK: Holds

  /// Whether a range may be held at once.
  func enterGate(_ bytes: Range<UInt64>, token: UInt64) -> Bool {
    guard desk != nil else { return true }
    let isIn =
      desk?.enter(.hold(token: token, bytes), world.scenario.layout.regions(of: bytes)) == true
    takeGate()
    return isIn
  }

  func leaveGate(_ regions: Range<Int>) {
    desk?.gate.leave(regions)
    takeGate()
  }

  /// Nothing is let in any more.
  func endGate() {
    guard let left = desk?.end() else { return }
    for submission in left { initiator.refuse(submission) }
  }

  // MARK: Steps

  /// Carries out what the gate says, in the order in which it said it.
  func takeGate() {
    guard desk != nil, desk?.isEnded != true else { return }
    desk?.listen()
    guard desk?.isTaking == false else { return }
    desk?.isTaking = true
    while let output = desk?.said.first {
      desk?.said.removeFirst()
      carryOut(output)
      desk?.listen()
    }
    desk?.isTaking = false
  }

  private func carryOut(_ output: RegionGate.Output) {
    switch output {
    case .ask(let regions):
      machine.follow { $0.messages.append(.ask(regions)) }
      attend { hall, _ in hall.handleAsked(regions) }
    case .released(let regions):
      machine.follow { $0.messages.append(.released(regions)) }
      attend { hall, _ in hall.handleReleased(regions) }
    case .go(let id):
      switch desk?.go(id, in: world.scenario.layout) {
      case .write(let submission): initiator.waiting.append(submission)
      case .hold(let token, let bytes): holdNow(token, bytes)
      case nil: break
      }
    }
  }
}
