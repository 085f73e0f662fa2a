@testable import Replication

/// A toy sender of writes through a virtual path, governed by a pacer: virtual time, one seed.
struct VirtualStream {
  enum Event { case answer(write: Int, leg: Int) }

  struct Write {
    var blocks: Int
    var next = 0
    var firstSentAt: UInt64 = 0
    var legs: [Progress]
  }

  struct Progress {
    var lost = 0
    /// The sending that the next answer is about.
    var asked = 0
    var firstSentAt: UInt64 = 0
    var lastSentAt: UInt64 = 0
    var isTailLost = false
    var lastArrival: UInt64 = 0
  }

  struct Repair { var write: Int, leg: Int, blocks: Int, isBegun = false }

  struct Sample { var time: UInt64, rate: Int?, accepted: Int, sent: Int, dropped: Int }

  static let block = 1400
  static let datagram = 1400 + VirtualPath.overhead

  var path: VirtualPath
  var pacer: Pacer
  var random: SeededRandom
  var writeLengths: ClosedRange<Int> = 4096...(1 << 20)
  var window = 16 << 20
  /// Writes open at most; one is an application that waits.
  var openMax = 4096
  /// Nothing new is written in this time.
  var pause: Range<UInt64>?
  private(set) var now: UInt64 = 0
  private(set) var samples: [Sample] = []
  private(set) var freshBytes = 0
  private(set) var repairBytes = 0
  private(set) var completed = 0
  private(set) var completedBytes = 0
  private(set) var unsentSocketDrops: [Int]
  private var writes: [Int: Write] = [:]
  private var sending: [Int] = []
  private var sendingHead = 0
  private var repairs: [Repair] = []
  private var repairHead = 0
  private var nextWrite = 0
  private var openBytes = 0
  private var blocksWaiting = (fresh: 0, repair: 0)
  private var agenda = Agenda<Event>()
  private var nextSampleAt: UInt64 = 0

  init(path: VirtualPath, seed: UInt64, rateMax: Int? = nil) {
    self.path = path
    random = SeededRandom(seed)
    pacer = Pacer(PacingConfiguration(legCount: path.legs.count, rateMax: rateMax), now: 0)
    unsentSocketDrops = path.legs.map { _ in 0 }
  }

  // MARK: Run

  mutating func run(until end: UInt64) {
    while now < end {
      while let event = agenda.popDue(by: now) { handle(event) }
      open()
      let wake = pump()
      sample()
      now = max(now, min(agenda.nextTime ?? .max, wake, nextSampleAt, end))
    }
  }

  private mutating func sample() {
    guard now >= nextSampleAt else { return }
    nextSampleAt = now + 1_000_000
    samples.append(
      Sample(
        time: now, rate: pacer.rate, accepted: path.bottleneck.accepted,
        sent: freshBytes + repairBytes, dropped: path.bottleneck.dropped))
  }

  private mutating func open() {
    if let pause, pause.contains(now) { return }
    while openBytes < window, writes.count < openMax {
      // Lengths spread over the octaves.
      var length = writeLengths.lowerBound
      while length < writeLengths.upperBound, random.chance(0.7) { length *= 2 }
      length = min(length, writeLengths.upperBound)
      let blocks = (length + Self.block - 1) / Self.block
      writes[nextWrite] = Write(blocks: blocks, legs: path.legs.map { _ in Progress() })
      sending.append(nextWrite)
      nextWrite += 1
      openBytes += blocks * Self.block
      blocksWaiting.fresh += blocks
    }
  }

  // MARK: Send

  /// Sends what may go. Returns when to come again.
  private mutating func pump() -> UInt64 {
    while true {
      let writable = path.writable(at: now)
      if writable > now { return writable }
      let fresh = blocksWaiting.fresh * Self.datagram
      let repair = blocksWaiting.repair * Self.datagram
      let freshAllowed = pacer.allowance(.fresh, wanted: fresh, now: now)
      let repairAllowed = pacer.allowance(.repair, wanted: repair, now: now)
      let train = 44 * Self.datagram
      if repairAllowed >= Self.datagram {
        sendRepairs(min(repairAllowed, train) / Self.datagram)
      } else if freshAllowed >= Self.datagram {
        sendFresh(min(freshAllowed, train) / Self.datagram)
      } else {
        return fresh + repair > 0 ? max(pacer.nextDeadline ?? .max, now + 1) : .max
      }
    }
  }

  private mutating func sendFresh(_ count: Int) {
    var count = count
    var bytes = 0
    path.beginTrain(&random)
    while count > 0, sendingHead < sending.count {
      let id = sending[sendingHead]
      // Taken out, so that nothing is copied.
      guard var write = writes.removeValue(forKey: id) else { break }
      if write.next == 0 { write.firstSentAt = now }
      while count > 0, write.next < write.blocks {
        sendBlock(of: &write)
        count -= 1
        bytes += Self.datagram
        blocksWaiting.fresh -= 1
      }
      if write.next == write.blocks {
        sendingHead += 1
        for leg in write.legs.indices {
          write.legs[leg].asked = write.blocks
          write.legs[leg].firstSentAt = write.firstSentAt
          write.legs[leg].lastSentAt = now
          askAnswer(id, leg, write.legs[leg])
        }
      }
      writes[id] = write
    }
    if sendingHead > 4096 {
      sending.removeFirst(sendingHead)
      sendingHead = 0
    }
    freshBytes += bytes
    pacer.handleSent(bytes: bytes, now: now)
  }

  private mutating func sendBlock(of write: inout Write) {
    let shared = path.enterShared(bytes: Self.datagram, now: now)
    write.next += 1
    for leg in write.legs.indices {
      guard let shared, let arrival = arrive(leg, at: shared) else {
        write.legs[leg].isTailLost = true
        write.legs[leg].lost += 1
        continue
      }
      write.legs[leg].isTailLost = false
      write.legs[leg].lastArrival = max(write.legs[leg].lastArrival, arrival)
    }
  }

  private mutating func sendRepairs(_ count: Int) {
    var count = count
    var bytes = 0
    path.beginTrain(&random)
    while count > 0, repairHead < repairs.count {
      let job = repairs[repairHead]
      if !job.isBegun {
        repairs[repairHead].isBegun = true
        writes[job.write]?.legs[job.leg].asked = job.blocks
        writes[job.write]?.legs[job.leg].firstSentAt = now
      }
      writes[job.write]?.legs[job.leg].lastSentAt = now
      let shared = path.enterShared(bytes: Self.datagram, now: now)
      let arrival = shared.flatMap { arrive(job.leg, at: $0) }
      if let arrival {
        writes[job.write]?.legs[job.leg].lost -= 1
        writes[job.write]?.legs[job.leg].lastArrival = arrival
      }
      writes[job.write]?.legs[job.leg].isTailLost = arrival == nil
      count -= 1
      bytes += Self.datagram
      blocksWaiting.repair -= 1
      repairs[repairHead].blocks -= 1
      if repairs[repairHead].blocks == 0 {
        repairHead += 1
        if let progress = writes[job.write]?.legs[job.leg] {
          askAnswer(job.write, job.leg, progress)
        }
      }
    }
    if repairHead > 4096 {
      repairs.removeFirst(repairHead)
      repairHead = 0
    }
    repairBytes += bytes
    pacer.handleRepairSent(bytes: bytes, now: now)
  }

  private mutating func arrive(_ leg: Int, at time: UInt64) -> UInt64? {
    guard let end = path.enterBranch(leg, bytes: Self.datagram, at: time, &random) else {
      return nil
    }
    if end.isSocketDrop { unsentSocketDrops[leg] += 1 }
    return end.isSocketDrop ? nil : end.time
  }

  private mutating func askAnswer(_ id: Int, _ leg: Int, _ progress: Progress) {
    let arrival = max(progress.lastArrival, now + path.delayNanoseconds)
    let storage =
      progress.lost > 0
      ? 0
      : path.legs[leg].storageNanoseconds + random.below(path.legs[leg].storageNanoseconds / 2)
    let quiet: UInt64 = progress.isTailLost ? 2_000_000 : 0
    agenda.enter(
      .answer(write: id, leg: leg), at: arrival + storage + quiet + path.delayNanoseconds)
  }

  // MARK: Answers

  private mutating func handle(_ event: Event) {
    guard case .answer(let id, let leg) = event, var write = writes.removeValue(forKey: id) else {
      return
    }
    let lost = write.legs[leg].lost
    let drops = unsentSocketDrops[leg]
    unsentSocketDrops[leg] = 0
    let progress = write.legs[leg]
    pacer.handleDelivery(
      Delivery(
        leg: leg, blocks: progress.asked, lostBlocks: lost, socketDrops: drops,
        firstSentAt: progress.firstSentAt, lastSentAt: progress.lastSentAt), now: now)
    if lost > 0 {
      writes[id] = write
      repairs.append(Repair(write: id, leg: leg, blocks: lost))
      blocksWaiting.repair += lost
      return
    }
    write.legs[leg].lost = -1
    writes[id] = write
    if write.legs.allSatisfy({ $0.lost == -1 }) {
      writes[id] = nil
      openBytes -= write.blocks * Self.block
      completed += 1
      completedBytes += write.blocks * Self.block
    }
  }

  // MARK: Figures

  /// Bytes that the bottleneck took in a span of time, as a part of what it could have carried.
  func utilisation(_ from: Double, _ to: Double, of rate: Double) -> Double {
    let span = slice(from, to)
    guard let first = span.first, let last = span.last else { return 0 }
    return Double(last.accepted - first.accepted) / (Double(last.time - first.time) / 1e9 * rate)
  }

  func dropped(_ from: Double, _ to: Double) -> Int {
    let span = slice(from, to)
    return (span.last?.dropped ?? 0) - (span.first?.dropped ?? 0)
  }

  func sent(_ from: Double, _ to: Double) -> Int {
    let span = slice(from, to)
    return (span.last?.sent ?? 0) - (span.first?.sent ?? 0)
  }

  func slice(_ from: Double, _ to: Double) -> ArraySlice<Sample> {
    let first = samples.firstIndex { Double($0.time) / 1e9 >= from } ?? samples.endIndex
    let last = samples.lastIndex { Double($0.time) / 1e9 <= to } ?? samples.startIndex - 1
    return first <= last ? samples[first...last] : []
  }

  /// The lowest and highest pace in a span of time.
  func rates(_ from: Double, _ to: Double) -> (min: Double, max: Double)? {
    let rates = slice(from, to).compactMap(\.rate)
    guard let least = rates.min(), let most = rates.max() else { return nil }
    return (Double(least), Double(most))
  }
}
