import Bytes

@testable import Replication

/// A kept mirror without a network: the coordinator's orders are carried out at once, in order, by
/// legs that are kept units with a few bytes for each region.
final class VirtualKeeping {
  /// One leg: its kept unit, its journal and its data.
  final class Leg {
    var unit: KeptUnit
    var journal: [UInt8]
    var data: [UInt8]
    var isUp = true
    var isConnected = false

    init(_ layout: RegionLayout) throws {
      unit = try KeptUnit(layout: layout, contents: nil)
      journal = [UInt8](repeating: 0, count: 96 << 10)
      data = [UInt8](repeating: 0, count: layout.regionCount)
    }
  }

  static let regionLength: UInt64 = 1 << 20
  let layout = RegionLayout(byteCount: 16 << 20, regionLength: regionLength)
  var legs: [Leg]
  var coordinator: Coordinator
  var now: UInt64 = 0
  var events: [KeepingEvent] = []
  var confirmed: LegSet = []
  /// What a hold keeps writes from, by token.
  var holds: [UInt64: Range<UInt64>] = [:]
  /// Called before an order is carried out; false: it is not.
  var willDo: (CoordinatorOrder) -> Bool = { _ in true }
  private var nextNumber = SerialNumber(0)
  private var nextSession: UInt64 = 1
  private var sessions: [UInt64]

  init(_ count: Int = 3, edit: (inout OpeningWish) -> Void = { _ in }) throws {
    let layout = layout
    legs = try (0..<count).map { _ in try Leg(layout) }
    sessions = [UInt64](repeating: 0, count: count)
    coordinator = Self.coordinator(count, holder: 1, edit)
  }

  private static func coordinator(
    _ count: Int, holder: UInt64, _ edit: (inout OpeningWish) -> Void
  ) -> Coordinator {
    var wish = OpeningWish(name: "m", labels: (0..<count).map { "leg\($0)" })
    edit(&wish)
    return Coordinator(CoordinatorConfiguration(wish: wish, holder: holder, seed: holder))
  }

  /// Another initiator, after the first is gone.
  func restartInitiator(holder: UInt64, edit: (inout OpeningWish) -> Void = { _ in }) {
    for leg in legs.indices { disconnect(leg) }
    coordinator = Self.coordinator(legs.count, holder: holder, edit)
    events = []
    holds = [:]
  }

  /// A leg comes up again, with what its journal has.
  func restartLeg(_ index: Int) throws {
    disconnect(index)
    legs[index].unit = try KeptUnit(layout: layout, contents: legs[index].journal)
    legs[index].isUp = true
  }

  func addLeg(_ leg: Leg) {
    legs.append(leg)
    sessions.append(0)
    let index = coordinator.add(label: "new", now: now)
    precondition(index == legs.count - 1, "a leg has its place")
    run()
  }

  func open() {
    coordinator.open(now: now)
    run()
  }

  /// A leg is gone, as its connection tells.
  func kill(_ leg: Int) {
    legs[leg].isUp = false
    disconnect(leg)
    coordinator.handleLost(leg: leg, words: "killed", now: now)
    run()
  }

  private func disconnect(_ leg: Int) {
    guard legs[leg].isConnected else { return }
    legs[leg].isConnected = false
    legs[leg].unit.handlePartEnded(part: 1, holder: 7)
    legs[leg].unit.handleSessionClosed(sessions[leg], now: now)
    work(leg)
  }

  /// Lets time pass until the coordinator has something to do, or that long.
  func pass(_ nanoseconds: UInt64) {
    let end = now + nanoseconds
    while let due = coordinator.nextDeadline, due <= end {
      now = max(now, due)
      coordinator.handleTimeout(now: now)
      run()
    }
    now = end
  }

  /// A mirrored write of one region, at the legs that it reaches. Ended, or left open, at all.
  func write(_ region: Int, _ value: UInt8, only: LegSet? = nil, isEnded: Bool = true) {
    let number = nextNumber
    nextNumber = number.next
    let bytes = layout.bytes(of: region)
    for leg in legs.indices where coordinator.joinedLegs.contains(LegSet(leg)) {
      if let only, !only.contains(LegSet(leg)) { continue }
      while legs[leg].unit.mayStore(bytes, part: 1, number: number, now: now) == .later {
        work(leg)
      }
      legs[leg].data[region] = value
      if isEnded { legs[leg].unit.handleEnded(part: 1, below: nextNumber, now: now) }
    }
  }

  // MARK: Orders

  func run() {
    for _ in 0..<100_000 {
      guard !coordinator.orders.isEmpty else { return }
      let order = coordinator.orders.removeFirst()
      if willDo(order) { perform(order) }
    }
    fatalError("the coordinator never rests")
  }

  private func perform(_ order: CoordinatorOrder) {
    switch order {
    case .connect(let leg):
      guard legs[leg].isUp else {
        return coordinator.handleUnreachable(leg: leg, words: "refused", now: now)
      }
      legs[leg].isConnected = true
      nextSession += 1
      sessions[leg] = nextSession
      coordinator.handleConnected(leg: leg, now: now)
    case .ask(let leg, let token, let request): ask(leg, token, request)
    case .leave(let leg, _): disconnect(leg)
    case .begin(let set): coordinator.handleBegun(set, now: now)
    case .join(let leg): coordinator.handleJoined(leg: leg, now: now)
    case .confirm(let set): confirmed.formUnion(set)
    case .mended, .stop, .suspend, .endSuspension: break
    case .compare(let token, let source, let targets, let bytes):
      let region = layout.regions(of: bytes).lowerBound
      var differing: LegSet = []
      targets.forEach {
        if legs[$0].data[region] != legs[source].data[region] { differing.insert(LegSet($0)) }
      }
      let pieces =
        (bytes.count + Int(coordinator.configuration.copyLength) - 1)
        / Int(coordinator.configuration.copyLength)
      coordinator.handleCompared(
        token: token, differing: [LegSet](repeating: differing, count: pieces), now: now)
    case .hold(let token, let bytes):
      holds[token] = bytes
      coordinator.handleHeld(token: token, now: now)
    case .copy(let token, let source, let targets, let bytes):
      precondition(holds[token].map { $0 == bytes } ?? false, "a copy without a hold")
      let region = layout.regions(of: bytes).lowerBound
      targets.forEach { legs[$0].data[region] = legs[source].data[region] }
      coordinator.handleCopied(token: token, now: now)
    case .release(let token): holds[token] = nil
    case .tell(let event): events.append(event)
    }
  }

  private func ask(_ leg: Int, _ token: UInt64, _ request: KeepingRequest) {
    guard legs[leg].isConnected else { return }
    legs[leg].unit.handle(request, session: sessions[leg], token: token, now: now)
    work(leg)
    let answers = legs[leg].unit.answers
    legs[leg].unit.answers = []
    for answer in answers where answer.session == sessions[leg] {
      coordinator.handleAnswer(leg: leg, token: answer.token, answer.answer, now: now)
    }
  }

  /// The leg's own I/O, done at once.
  func work(_ leg: Int) {
    while !legs[leg].unit.requests.isEmpty {
      let request = legs[leg].unit.requests.removeFirst()
      if case .write(let offset, let bytes) = request.work {
        legs[leg].journal.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      }
      legs[leg].unit.handleCompleted(token: request.token, succeeded: true, now: now)
    }
  }
}
