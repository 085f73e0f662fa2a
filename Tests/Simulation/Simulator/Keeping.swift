// The initiator of a kept mirror at work, as its shell does it: all news in one order, told to the
// coordinator; what that orders is carried out. Each leg has two channels: a link, by which its
// record is asked for, and the one of the lane, by which it is written to and read from.
//
// Law of the shell: before the coordinator is told that a leg is lost, the sender is. A leg that is
// lost while it is being taken into the sender is told as lost only when that has ended.
import Bytes
import Replication

/// One leg as the keeping follows it.
struct Seat {
  /// A leg that is gone while it is being taken in.
  enum Departure { case untold, told }

  let target: Int
  /// Counts how often it came; news of an earlier stay are nobody's.
  var stay = 0
  var link: Int?
  var isLinked = false
  /// Its index in the sender, once it has one.
  var place: Int?
  var isJoining = false
  var departure: Departure?
  var wantsConnection = false
}

/// What keeps a mirror at its initiator.
final class Keeping {
  /// An idle sender tells its legs after this time which writes have ended everywhere.
  static let tellNanoseconds: UInt64 = 2_000_000

  unowned let initiator: Initiator
  unowned let world: World
  var machine: KeepingMachine
  /// Where this initiator leads the mirror, or is alone.
  var coordinator: Coordinator {
    get {
      guard let leader = machine.leader else { preconditionFailure("another one leads") }
      return leader
    }
    set { machine = .leader(newValue) }
  }
  /// By which the legs know this initiator.
  let holder: UInt64
  var seats: [Seat]
  var join: Join?
  var joinsWaiting: [(leg: Int, stay: Int)] = []
  /// Legs whose loss is told to the sender when they have been taken in.
  var confirmedLater: Set<Int> = []
  /// Taken in, and a member once no write before this number is open.
  var settling: [(leg: Int, stay: Int, before: SerialNumber)] = []
  var holds: [Hold] = []
  var comparisons: [Comparison] = []
  var copies: [Copy] = []
  var suspects = 0
  /// What was read by channels that are lost: told when the coordinator knows of the loss.
  var readsLost: [Int] = []
  /// Legs whose loss the others have yet to store.
  var awaited: LegSet = []
  var silence: LegSilence
  var toldLowest = SerialNumber(0)
  var tellAt: UInt64?
  var isClosing = false
  var verification: VerificationCall?
  /// All was found equal, or made so, before the mirror ends for good.
  var isVerified = false
  /// The last verification left something as it was.
  var isUndecided = false
  var lastTries = 0
  var writesSeen: UInt64 = 0
  var writtenAt: UInt64?
  /// The mirror was closed, refused or stopped.
  var isOver = false
  /// In a shared mirror, once the sender runs.
  var desk: SharingDesk?
  /// What guests are told by the legs; zero where the mirror isn't shared, or another leads it.
  let secret: UInt64
  /// What legs were asked of that, by token.
  var sharingAsks: (asked: [UInt64: SharingAsk], last: UInt64) = ([:], 0)
  /// Of a guest: its way to the leader.
  var leaderChannel: Int?

  init(_ initiator: Initiator, in world: World) {
    self.initiator = initiator
    self.world = world
    let scenario = world.scenario
    let targets = world.legTargets
    seats = targets.map { Seat(target: $0) }
    var wish = OpeningWish(name: "m", labels: targets.map { "T\($0)" })
    wish.areEqual = scenario.areEqual
    wish.required = scenario.requiredLegs
    for (leg, target) in targets.enumerated()
    where target == world.lateTarget || world.steering.released.contains(target) {
      wish.added.insert(LegSet(leg))
    }
    var configuration = CoordinatorConfiguration(
      wish: wish, holder: world.random.next() | 1, seed: world.random.next() | 1)
    holder = configuration.holder
    secret = scenario.isShared ? world.random.next() | 1 : 0
    configuration.patienceNanoseconds = scenario.patienceNanoseconds
    configuration.retryNanoseconds = scenario.retryNanoseconds
    configuration.retryMaxNanoseconds = scenario.retryNanoseconds * 16
    configuration.copyLength = UInt64(scenario.copyLength)
    configuration.copiesMax = scenario.copiesMax
    machine = .leader(Coordinator(configuration))
    silence = LegSilence(limit: scenario.silenceNanoseconds)
    machine.open(now: world.now)
  }

  /// As a guest of an initiator that leads the mirror.
  init(
    _ initiator: Initiator, in world: World, following mirror: SharedMirror, as number: UInt64,
    by channel: Int
  ) {
    self.initiator = initiator
    self.world = world
    holder = number
    secret = 0
    leaderChannel = channel
    seats = mirror.record.generation.members.map { Seat(target: world.target(labelled: $0.label)) }
    machine = .follower(Follower(mirror))
    silence = LegSilence(limit: world.scenario.silenceNanoseconds)
    machine.open(now: world.now)
  }

  // MARK: Steps

  /// Carries out all that is ordered.
  func step() {
    let (now, isBusy) = (world.now, isBusy)
    machine.lead {
      $0.wallSeconds = now / 1_000_000_000
      $0.isBusy = isBusy
      if let deadline = $0.nextDeadline, deadline <= now { $0.handleTimeout(now: now) }
    }
    attendTime()
    settleIn()
    while let tag = readsLost.popLast() { handleRead(tag: tag, nil, isLost: true) }
    sendToLeader()
    while !machine.orders.isEmpty {
      let orders = machine.orders
      machine.orders = []
      for order in orders { carryOut(order) }
      sendToLeader()
    }
  }

  /// Whether callers have written lately.
  private var isBusy: Bool {
    let counted = initiator.sender?.value.counters.writes ?? 0
    if counted != writesSeen {
      writesSeen = counted
      writtenAt = world.now
    }
    return writtenAt.map { world.now < $0 + 2_000_000 } ?? false
  }

  var nextDeadline: UInt64 {
    var due = machine.nextDeadline ?? .max
    if let time = desk?.hall?.nextDeadline { due = min(due, time) }
    if let tellAt { due = min(due, tellAt) }
    if let join { due = min(due, join.nextDeadline) }
    if initiator.sender?.value.openWrites ?? 0 > 0 { due = min(due, silence.nextLook) }
    return due
  }

  private func carryOut(_ order: CoordinatorOrder) {
    switch order {
    case .connect(let leg): connect(leg)
    case .ask(let leg, let token, let request):
      ask(leg, token, request)
    case .leave(let leg, _):
      world.note(initiator.index, "lets leg % go", leg)
      seats[leg].wantsConnection = false
      closeLink(leg)
      tellSender(leg)
      tellGuestsLost(leg)
      if seats[leg].isJoining { seats[leg].departure = .told } else { seats[leg].stay += 1 }
    case .begin(let legs): initiator.establish(legs)
    case .join(let leg):
      joinsWaiting.append((leg, seats[leg].stay))
      joinNext()
    case .confirm(let legs): confirm(legs)
    case .suspend:
      initiator.sender?.value.suspend()
      attend { hall, _ in hall.tell(.suspend) }
    case .endSuspension:
      initiator.sender?.value.endSuspension(now: world.now)
      attend { hall, _ in hall.tell(.resume) }
    case .mended(let count): mend(count)
    case .stop(let words):
      initiator.sender?.value.stop(now: world.now)
      attend { hall, _ in hall.tell(.stop(words)) }
      endGate()
    case .compare(let token, let source, let targets, let bytes):
      compare(token, source, targets, bytes)
    case .hold(let token, let bytes): hold(token, bytes)
    case .copy(let token, let source, let targets, let bytes):
      copy(token, source, targets, bytes)
    case .release(let token): release(token)
    case .tell(let event): tell(event)
    }
  }

  private func ask(_ leg: Int, _ token: UInt64, _ request: KeepingRequest) {
    guard let link = seats[leg].link, seats[leg].isLinked else { return }
    switch request {
    // Where there is nothing to ask.
    case .mark([]), .synced([]): handleAnswer(leg, token: token, .done)
    default:
      world.note(initiator.index, "asks leg % for %", leg, request.number)
      world.send(.keep(token: token, request), on: link)
    }
  }

  private func confirm(_ legs: LegSet) {
    legs.forEach { leg in
      awaited.remove(LegSet(leg))
      if seats[leg].isJoining {
        confirmedLater.insert(leg)
      } else if let place = seats[leg].place {
        initiator.sender?.value.confirmDetached(LegSet(place), now: world.now)
      }
    }
    attend { hall, _ in hall.noteConfirmed(legs) }
  }

  /// All that were told as suspect are equal again, or so many.
  private func mend(_ count: Int?) {
    let count = count ?? suspects
    initiator.sender?.value.confirmMended(count, now: world.now)
    suspects -= count
    attend { hall, _ in hall.noteMended() }
  }

  private func tell(_ event: KeepingEvent) {
    switch event {
    case .opened(let generation, _):
      world.note(initiator.index, "has the mirror open, generation %", Int(generation))
      beginWeather()
      world.happens(.opened)
    case .refused(let refusal):
      world.note(initiator.index, "is refused the mirror: %", refusal.kind.number)
      if refusal.kind == .splitBrain {
        world.violate("a split brain: \(refusal.words); \(refusal.lines)")
      }
      isOver = true
    case .leg(let leg, let state, let generation, _):
      world.note(
        initiator.index, "leg % is in state %, generation %", leg, Int(state.rawValue),
        Int(generation))
      attend { hall, _ in
        guard hall.members.indices.contains(leg) else { return }
        hall.tell(
          .state(member: hall.members[leg], state, generation: generation, reason: "as it is"))
      }
      if state == .inSync {
        world.happens(.inSync)
        world.oracle.checkMarks(world.complete, world)
        beginWeather()
      }
    case .notTaken(let leg, let reason):
      world.violate("target \(seats[leg].target) is not taken back: \(reason)")
    case .suspended:
      world.note(initiator.index, "is suspended")
      world.happens(.suspended)
    case .resumed: world.note(initiator.index, "is resumed")
    case .stopped:
      world.note(initiator.index, "has stopped")
      isOver = true
    case .closed(let failures):
      world.note(initiator.index, "has closed the mirror, failures: %", failures.count)
      world.happens(.closed)
      initiator.handleClosed(isWhole: failures.isEmpty)
    case .forgotten: world.note(initiator.index, "has forgotten a member")
    case .differing(let difference): checkDifference(difference)
    case .verified(let report): handleVerified(report)
    case .copying, .unreadable, .verifying, .unverified: break
    }
  }

  private func beginWeather() {
    world.weather.begin(world.eventCount)
  }
}
