/// The sender's flow control: how many bytes of datagrams may go now.
package struct Pacer: Sendable {
  /// What is to be sent: for the first time, or again.
  package enum Traffic: Sendable { case fresh, repair }

  private let configuration: PacingConfiguration
  private var finder: RateFinder
  private var tokens: Double
  private var credit: Double
  private var refilledAt: UInt64
  private var now: UInt64
  /// Bytes that the caller has ready, as it told last.
  private var waitingFresh = 0
  private var waitingRepair = 0
  /// The caller wanted more than it got: what accrues while it waits is not lost.
  private var isShort = false
  /// When more of a kind may go, where it was refused last.
  private var nextFresh: UInt64?
  private var nextRepair: UInt64?

  package init(_ configuration: PacingConfiguration, now: UInt64) {
    self.configuration = configuration
    finder = RateFinder(legCount: configuration.legCount)
    tokens = Double(configuration.trainByteCount)
    credit = Double(configuration.trainByteCount)
    refilledAt = now
    self.now = now
  }

  // MARK: Look

  /// The pace in force, in bytes per second; nil is unlimited.
  package var rate: Int? {
    guard configuration.rateMax != nil || finder.rate != nil else { return nil }
    let cap = configuration.rateMax.map { Double($0) } ?? .infinity
    return Self.whole(min(finder.rate ?? .infinity, cap))
  }

  /// Bytes per second as a number that every Int can hold.
  private static func whole(_ rate: Double) -> Int { Int(min(max(rate, 0), Law.rateMax)) }

  /// What losses led to, without the user's cap.
  package var foundRate: Int? { finder.rate.map { Self.whole($0) } }

  package var counters: PacingCounters { finder.counters }

  /// The loss of a leg's path that does not depend on the rate, as far as it is known.
  package func lossFloor(leg: Int) -> Double {
    finder.legs.indices.contains(leg) ? finder.legs[leg].floor : 0
  }

  /// When more may go, if something that waits was refused.
  package var nextDeadline: UInt64? {
    guard let nextFresh, let nextRepair else { return nextFresh ?? nextRepair }
    return min(nextFresh, nextRepair)
  }

  // MARK: Handle

  package mutating func handleSent(bytes: Int, now: UInt64) {
    advance(to: now)
    waitingFresh = max(waitingFresh - bytes, 0)
    credit += configuration.repairShare * Double(bytes)
    spend(bytes)
  }

  package mutating func handleRepairSent(bytes: Int, now: UInt64) {
    advance(to: now)
    waitingRepair = max(waitingRepair - bytes, 0)
    credit -= (1 - configuration.repairShare) * Double(bytes)
    spend(bytes)
  }

  private mutating func spend(_ bytes: Int) {
    tokens -= Double(bytes)
    credit = min(max(credit, -creditMax), creditMax)
    finder.handleSent(bytes: bytes, now: now)
  }

  package mutating func handleDelivery(_ delivery: Delivery, now: UInt64) {
    advance(to: now)
    let before = finder.rate ?? .infinity
    finder.handleDelivery(delivery, now: self.now)
    // What the higher rate had saved up would be a burst into a full queue.
    if (finder.rate ?? .infinity) < before { tokens = min(tokens, 0) }
  }

  /// A leg left, or another took its place: what is known of its path is forgotten.
  package mutating func handleLegChanged(_ leg: Int) { finder.forget(leg: leg) }

  // MARK: Poll

  /// Bytes that may go now, at most `wanted`; all that is ready should be wanted, and zero told
  /// when nothing is. A datagram that is longer may still go: the bucket takes a debt.
  package mutating func allowance(_ traffic: Traffic, wanted: Int, now: UInt64) -> Int {
    advance(to: now)
    switch traffic {
    case .fresh: waitingFresh = wanted
    case .repair: waitingRepair = wanted
    }
    setNext(traffic, nil)
    guard wanted > 0 else {
      if waitingFresh == 0, waitingRepair == 0 { settle() }
      return 0
    }
    let paced = pacedRate
    let isShared = waitingFresh > 0 && waitingRepair > 0
    var allowed = paced == nil ? Double(Int.max / 2) : tokens
    // Repairs find their part of the bucket untouched; never all of it, since those that wait no
    // more are not always told of.
    if traffic == .fresh, isShared, paced != nil {
      allowed -= min(max(credit, 0), Double(waitingRepair), depth / 2)
    }
    let share = traffic == .repair && isShared ? credit : .infinity
    guard min(allowed, share) < Double(wanted) else {
      if !isShared { settle() }
      return wanted
    }
    noteShort(wanted: wanted)
    let least = min(Double(wanted), quantum)
    if min(allowed, share) >= least { return Int(min(allowed, share)) }
    setNext(traffic, now + delay(lack: least - allowed, ofShare: least - share))
    return 0
  }

  /// Nothing that waits was refused.
  private mutating func settle() {
    nextFresh = nil
    nextRepair = nil
    isShort = false
  }

  private mutating func setNext(_ traffic: Traffic, _ time: UInt64?) {
    if traffic == .fresh { nextFresh = time } else { nextRepair = time }
  }

  private mutating func noteShort(wanted: Int) {
    isShort = true
    guard let paced = pacedRate, tokens < Double(wanted),
      paced == finder.rate.map({ Double(Self.whole($0)) })
    else { return }
    finder.noteLimited()
  }

  /// Until so many bytes have come into the bucket, and so many of repairs' share: by time alone,
  /// since what new data adds to the share depends on what will go.
  private func delay(lack: Double, ofShare: Double) -> UInt64 {
    let filling = pacedRate.map { max(lack, 0) / $0 } ?? 0
    let sharing = max(ofShare, 0) / Law.repairRateMin
    return max(UInt64(min((max(filling, sharing) * 1e9).rounded(.up), 1e9)), 1000)
  }

  // MARK: Bucket

  private var pacedRate: Double? { rate.map { Double(max($0, 1)) } }

  /// Sent at once where something waits: smaller trains on slower paths, so that shallow queues
  /// take them.
  private var quantum: Double {
    min(max((pacedRate ?? .infinity) * 200e-6, 1500), Double(configuration.trainByteCount))
  }

  private var creditMax: Double { 4 * Double(configuration.trainByteCount) }

  /// The deepest the bucket gets: a train after a pause; while something waits, as much as a late
  /// wake-up of two milliseconds may cost.
  private var depth: Double {
    let train = Double(configuration.trainByteCount)
    guard isShort, let paced = pacedRate else { return train }
    return max(2 * train, paced * 2e-3)
  }

  private mutating func advance(to time: UInt64) {
    // Sums of a time and a span must not overflow, whatever the clock does.
    now = max(now, min(time, .max / 4))
    let elapsed = Double(min(now - refilledAt, 1_000_000_000)) / 1e9
    refilledAt = now
    tokens = min(tokens + (pacedRate ?? 0) * elapsed, depth)
    if pacedRate == nil { tokens = depth }
    credit = min(credit + Law.repairRateMin * elapsed, creditMax)
  }
}
