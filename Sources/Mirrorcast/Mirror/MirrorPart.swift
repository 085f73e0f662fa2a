// One part of a mirror: a lane, its sockets, a session with every leg, a registration of its own. A
// mirror of one lane is one part. What is asked here goes to the lane, what the lane tells comes
// back by completion.
import Datagrams
import Lanes
import Logging
import Replication
import Synchronization

/// What one lane carries of a mirror.
final class MirrorPart: Sendable {
  let options: MirrorOptions
  let interface: NetworkInterface
  let ways: LegWays
  let inbox: LaneInbox<SenderOrder>
  let calls: WriteCalls
  let lane: Lane<SenderDuty>
  let started: StartedLane
  let board: MirrorBoard
  /// Writes that the legs allow to be open at once in this part.
  let depthMax: Int
  let membership: Mutex<Membership>
  let epochTurn = EpochTurn()
  let renewal: KeyRenewal

  /// The members, as the control side knows them.
  struct Membership: Sendable {
    var legs: [MirrorLeg]
    var request: RegistrationRequest
    var deaf: LegSet = []
    var dropped: LegSet = []
    /// The lane is handed nothing more but what the end itself needs.
    var hasEnded = false

    /// Epochs begun since no write was open.
    var epochsBegun = 0

    /// The epoch of the next members; zero is none.
    var nextEpoch: UInt16 { request.epoch == .max ? 1 : request.epoch + 1 }

    /// The legs that are members still.
    var present: [(index: Int, leg: MirrorLeg)] {
      legs.enumerated().compactMap { index, leg in
        leg.isGone || dropped.contains(LegSet(index)) ? nil : (index, leg)
      }
    }
  }

  /// The shared ends of a lane: what is handed to it, and where it tells.
  struct Ends: Sendable {
    let inbox: LaneInbox<SenderOrder>
    let calls: WriteCalls
    let board = MirrorBoard()
    let renewal = KeyRenewal()

    init() throws(SystemError) {
      inbox = try LaneInbox(capacity: SenderDuty.ordersMax)
      calls = WriteCalls(signal: inbox.signal)
    }
  }

  init(
    _ options: MirrorOptions, _ membership: Membership, _ ends: Ends,
    ways: LegWays, depthMax: Int, lane: Lane<SenderDuty>, started: StartedLane
  ) {
    self.options = options
    self.ways = ways
    interface = ways.interface
    self.depthMax = depthMax
    self.lane = lane
    self.started = started
    self.membership = Mutex(membership)
    inbox = ends.inbox
    calls = ends.calls
    board = ends.board
    renewal = ends.renewal
    guard options.security != nil else { return }
    renewal.begin { [weak self] in await self?.renewKey() }
  }

  /// Hands a write of at most the longest length to the lane.
  func submit(_ call: WriteCall) {
    guard let refusal = offer(call) else { return }
    refuse(call, refusal)
  }

  /// The same, with words where it is not taken: then the call is still its owner's.
  func offer(_ call: WriteCall) -> String? {
    let isTaken = membership.withLock { $0.hasEnded ? nil : calls.offer(call) }
    guard let isTaken else { return Self.endedWords }
    return isTaken ? nil : Self.tooManyWords
  }

  /// A write ends without having been begun; it leaves the gate if it was let in.
  func refuse(_ call: WriteCall, _ words: String) {
    call.release()
    call.leaveGate()
    call.completion(refusal(words))
  }

  static let endedWords = "mirror ended"
  static let tooManyWords = "more than \(WriteCalls.underWayMax) writes under way"

  /// The same of what room was kept for; false, and nobody is told, when the mirror has ended.
  func submitReserved(_ call: WriteCall) -> Bool {
    membership.withLock { membership in
      guard !membership.hasEnded else {
        calls.ended()
        return false
      }
      calls.push(call)
      return true
    }
  }

  /// A write that was not begun at any leg.
  func refusal(_ words: String) -> WriteResult {
    let failures = membership.withLock { $0.legs }.flatMap(\.urls).map {
      LegStatus(url: $0, isGood: false, text: words)
    }
    return WriteResult(isGood: false, failures: failures)
  }

  /// Hands the lane an order as soon as there is room; false when the mirror has ended.
  func post(_ order: SenderOrder) -> Bool {
    while true {
      // Never waiting for room under the lock: the lane's completions may want it, too.
      let isTaken = membership.withLock { $0.hasEnded ? nil : inbox.offer(order) }
      if isTaken != false { return isTaken == true }
    }
  }

  /// Waits until nothing is open and nothing waits; false when the mirror has ended.
  func isIdle() async -> Bool {
    await withCheckedContinuation { continuation in
      let isTaken = post(.whenIdle { continuation.resume(returning: true) })
      if !isTaken { continuation.resume(returning: false) }
    }
  }

  /// Finds out which legs hear full datagrams; the others are served over their connections.
  func probe(_ legs: LegSet) async -> LegSet {
    let epoch = membership.withLock { $0.request.epoch }
    let deaf = await withCheckedContinuation { continuation in
      inbox.post(.probe(legs, epoch: epoch) { continuation.resume(returning: $0) })
    }
    membership.withLock { $0.deaf.formUnion(deaf) }
    return deaf
  }

  /// The legs of a kept mirror know which writes have ended everywhere.
  func tellLowest() async {
    await withCheckedContinuation { continuation in
      inbox.post(.kept(.tellLowest { continuation.resume() }))
    }
  }

  // MARK: The end

  /// From now on callers' writes are refused.
  func refuseCalls() { membership.withLock { $0.hasEnded = true } }

  /// Waits until nothing is open, ended or not.
  func finishWrites() async {
    await withCheckedContinuation { continuation in
      inbox.post(.whenIdle { continuation.resume() })
    }
  }

  /// The map is removed at each leg that is still here.
  func removeMaps() async {
    inbox.post(.end)
    let membership = membership.withLock { $0 }
    let limit = options.deadlineSeconds
    await withTaskGroup(of: Void.self) { group in
      for (_, leg) in membership.present where !leg.isForeign {
        group.addTask {
          do {
            try await leg.connection.terminate(membership.request, leg.urls, within: limit)
          } catch {
            leg.record("termination: \(error)")
          }
        }
      }
    }
  }

  /// The sessions end, then the lane.
  func close() async {
    // Again where no map was removed before.
    inbox.post(.end)
    await withTaskGroup(of: Void.self) { group in
      for leg in membership.withLock({ $0.legs }) {
        group.addTask { await leg.connection.close() }
      }
    }
    lane.stop()
  }
}
