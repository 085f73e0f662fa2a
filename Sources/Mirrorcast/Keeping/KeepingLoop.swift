// The initiator of a kept mirror at work: one task that hears all news in one order, tells the
// coordinator, and carries out what that orders. What takes time is begun here and comes back as
// news.
//
// Law: before the coordinator is told that a leg is lost, every lane is; what it then orders for
// that loss goes to the lanes behind it. So no lane hears that a loss is confirmed before it knows
// of it, and would wait for ever. A leg that is lost while it is being taken into the lanes is told
// as lost only when that has ended, one way or the other, for the same reason.
import Bytes
import Glibc
import Lanes
import Logging
import Replication

/// The task of one kept mirror.
struct KeepingLoop {
  let keeping: KeptMirror
  var machine: KeepingMachine
  var seats: [LegSeat]
  /// Once the mirror is established; the disk's blocks and the longest write with them.
  var lanes = KeptLanes()
  var copies = CopyBoard()
  var joins = JoinQueue()
  var callers = KeptCallers()
  /// In a shared mirror, once it is established.
  var sharing: SharingDesk?
  var look = OrderLook()
  private var pace = CallerPace()
  private var timer = KeptTimer()
  var isOver = false

  init(_ keeping: KeptMirror) throws(MirrorcastError) {
    self.keeping = keeping
    let options = keeping.options
    seats = options.legs.map { LegSeat(url: $0) }
    var configuration = CoordinatorConfiguration(
      wish: OpeningWish(options), holder: keeping.holder, seed: UInt64.random(in: 1...UInt64.max))
    configuration.patienceNanoseconds = UInt64(options.keeping.patienceSeconds * 1e9)
    machine = .leader(Coordinator(configuration))
  }

  /// As a guest of an initiator that leads the mirror.
  init(_ keeping: KeptMirror, following mirror: SharedMirror) throws(MirrorcastError) {
    self.keeping = keeping
    seats = try mirror.urls.map { LegSeat(url: $0) }
    machine = .follower(Follower(mirror))
  }

  var options: MirrorOptions { keeping.options }
  var inbox: KeptInbox { keeping.inbox }

  mutating func run(_ news: AsyncStream<KeptNews>) async {
    for await item in news {
      let now = MonotonicClock.now()
      keeping.logger.trace("\(item)")
      let isBusy = pace.isBusy(lanes.parts, now: now)
      machine.lead {
        $0.wallSeconds = UInt64(max(time(nil), 0))
        $0.isBusy = isBusy
      }
      handle(item, now: now)
      carryOut(now: now)
      callers.resume(machine.phase, seats, keeping.board)
      guard !isOver else { break }
      timer.set(nextDeadline, now: now, inbox)
    }
    timer.set(nil, now: 0, inbox)
    inbox.finish()
    // What was posted meanwhile finds nobody.
    for await item in news { item.refuse() }
    callers.end()
    endSharing()
    await withTaskGroup(of: Void.self) { group in
      for link in seats.compactMap(\.link) { group.addTask { await link.close() } }
    }
  }

  private var nextDeadline: UInt64? {
    let own = machine.leader != nil && machine.phase == .running ? look.dueAt : nil
    return [own, machine.nextDeadline, sharing?.hall?.nextDeadline].compactMap(\.self).min()
  }

  // MARK: News

  private mutating func handle(_ news: KeptNews, now: UInt64) {
    switch news {
    case .connected, .unreachable, .answered, .lost: handleLink(news, now: now)
    case .left(let place, let stay, let words):
      guard let leg = seats.firstIndex(where: { $0.place == place && $0.stay == stay }) else {
        return
      }
      lose(leg, words, now: now)
    case .silent(let part, let place, let stay): askLife(part: part, place: place, stay: stay)
    case .lives(let leg, let stay): tellLife(leg, stay: stay)
    case .retried(let place, let stay, let words):
      guard let seat = seats.first(where: { $0.place == place && $0.stay == stay }) else { return }
      let told = KeptMirrorEvent.retried(seat.url, reason: words)
      log(told)
      options.keeping.onEvent(told)
    case .held, .suspect, .compared, .copied, .unreadable: handleCopying(news, now: now)
    case .begun(let mirror): begin(mirror, now: now)
    case .notBegun(let error): fail(error)
    case .joined, .notJoined, .settledIn: handleJoining(news, now: now)
    case .said, .gone, .led, .leaderGone, .admitted, .wanted, .givenBack, .entered,
      .keyed:
      handleSharing(news, now: now)
    case .timePassed:
      timer.passed()
      machine.lead { $0.handleTimeout(now: now) }
      attendGuests { $0.handleTimeout(now: now, here: $1) }
      lookForOrders(now: now)
    case .looked(let leg, let stay, let found): takeLook(leg, stay, found, now: now)
    default: handleCaller(news, now: now)
    }
  }

  private mutating func handleLink(_ news: KeptNews, now: UInt64) {
    switch news {
    case .connected(let leg, let stay, let link):
      guard seats[leg].stay == stay else {
        Task { await link.close() }
        return
      }
      seats[leg].link = link
      machine.handleConnected(leg: leg, now: now)
    case .unreachable(let leg, let stay, let words):
      guard seats[leg].stay == stay else { return }
      seats[leg].stay += 1
      callers.ordering.endAttaching(leg, .refused("\(words); it is tried again"))
      machine.handleUnreachable(leg: leg, words: words, now: now)
    case .answered(let leg, let stay, let token, let answer):
      guard seats[leg].stay == stay else { return }
      machine.lead { $0.handleAnswer(leg: leg, token: token, answer, now: now) }
    case .lost(let leg, let stay, let words):
      guard seats[leg].stay == stay else { return }
      lose(leg, words, now: now)
    default: break
    }
  }

  private mutating func handleCaller(_ news: KeptNews, now: UInt64) {
    switch news {
    case .open(let waiter):
      callers.opening = waiter
      machine.open(now: now)
    case .add(let url, let waiter): add(url, waiter, now: now)
    case .ordered(let order, let reply): obey(order, reply, now: now)
    case .readable(let waiter): waiter.resume(returning: bulks(ofWhole: true))
    case .flushable(let waiter): waiter.resume(returning: bulks(ofWhole: false))
    case .whenConfirmed(let waiter): callers.confirming.append(waiter)
    case .whenInSync(let waiter): callers.syncing.append(waiter)
    case .verify(let order): verify(order, now: now)
    case .endVerification(let number): endVerification(number, now: now)
    case .close(let waiter):
      callers.closing.append(waiter)
      closeWhenJoined(now: now)
    case .end: isOver = true
    default: break
    }
  }

  /// The ways to legs; of those that have everything, or of all that are here. What is flushed is
  /// flushed at all: who becomes in sync a moment later has it on its medium, too.
  private func bulks(ofWhole: Bool) -> [FlushedLeg] {
    let joined = machine.joinedLegs
    return seats.indices.compactMap { leg in
      guard joined.contains(LegSet(leg)),
        !ofWhole || machine.state(ofLeg: leg).hasEverything,
        let bulk = lanes.bulk(seats[leg])
      else { return nil }
      return FlushedLeg(leg: leg, stay: seats[leg].stay, bulk: bulk)
    }
  }

  /// Once nobody is being taken into the lanes.
  mutating func closeWhenJoined(now: UInt64) {
    guard callers.isClosing, !joins.isRunning else { return }
    joins.waiting = []
    // Guests go on: one of them opens the mirror as one does whose initiator is gone.
    guard sharing?.hall?.isEmpty ?? true else { return callers.endClosing() }
    machine.close(now: now)
  }

  // MARK: Losing a leg

  mutating func lose(_ leg: Int, _ words: String, now: UInt64) {
    closeLink(leg)
    tellLanes(leg, words)
    guard !seats[leg].isJoining else {
      if seats[leg].departure == nil { seats[leg].departure = .untold(words) }
      return
    }
    seats[leg].stay += 1
    if machine.joinedLegs.contains(LegSet(leg)) { callers.awaited.insert(LegSet(leg)) }
    callers.ordering.endAttaching(leg, .refused("\(words); it is tried again"))
    machine.handleLost(leg: leg, words: words, now: now)
    tellGuestsLost(leg, words)
  }

  /// The coordinator doesn't want a leg any more.
  mutating func leave(_ leg: Int, _ words: String) {
    callers.ordering.endAttaching(leg, .refused(words))
    seats[leg].wantsConnection = false
    closeLink(leg)
    tellLanes(leg, words)
    tellGuestsLost(leg, words)
    if seats[leg].isJoining { seats[leg].departure = .told(words) } else { seats[leg].stay += 1 }
  }

  private mutating func closeLink(_ leg: Int) {
    guard let link = seats[leg].link else { return }
    seats[leg].link = nil
    Task { await link.close() }
  }

  func tellLanes(_ leg: Int, _ words: String) {
    guard let place = seats[leg].place else { return }
    for part in lanes.parts {
      part.inbox.post(.lost(leg: place, stay: seats[leg].stay, words))
    }
  }

  /// The mirror could not be opened.
  mutating func fail(_ error: any Error) {
    callers.opening?.resume(throwing: error)
    callers.opening = nil
    isOver = true
  }
}

/// One leg as the keeping follows it.
struct LegSeat: Sendable {
  /// A leg that is gone while it is being taken into the lanes.
  enum Departure: Sendable {
    /// The coordinator has yet to hear of it.
    case untold(String)
    case told(String)

    var words: String {
      switch self {
      case .untold(let words), .told(let words): words
      }
    }
  }

  let url: LogicalUnitURL
  /// Counts how often it came; news of an earlier stay are nobody's.
  var stay = 0
  var link: LegLink?
  /// Lanes that want to know whether its host lives.
  var askingParts: Set<Int> = []
  /// Its index in the lanes, once it has one.
  var place: Int?
  var isJoining = false
  var departure: Departure?
  /// It is to be connected to again, once it has left the lanes.
  var wantsConnection = false
}

extension OpeningWish {
  init(_ options: MirrorOptions) {
    let keeping = options.keeping
    func places(_ urls: some Sequence<LogicalUnitURL>) -> LegSet {
      LegSet(urls.compactMap { options.legs.firstIndex(of: $0) })
    }
    self.init(name: options.name ?? "", labels: options.legs.map { "\($0)" })
    added = places(keeping.added)
    areEqual = keeping.areEqual
    leavesOutFormer = keeping.isSuccession
    kept = keeping.kept.flatMap { options.legs.firstIndex(of: $0) }
    required = keeping.required.map {
      switch $0 {
      case .usual: .usual
      case .all: .all
      case .count(let count): .count(count)
      case .named(let urls): .named(places(urls))
      }
    }
  }
}
