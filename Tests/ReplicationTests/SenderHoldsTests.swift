import Bytes
import Testing

@testable import Replication

/// Holds among writes: what stands, what waits for it, and what goes on.
@Suite struct SenderHoldsTests {
  /// A sender of one leg whose writes end when the test says so.
  final class Desk {
    var sender: Sender
    var now: UInt64 = 1_000_000
    var held: [UInt64] = []
    var ended: [UInt64] = []
    /// Tokens in the order in which their writes began.
    var began: [UInt64] = []
    private var numbersSeen: UInt32 = 0

    init(open: Int = 8, credit: Int = 1 << 20, queueMax: Int = 4096) {
      var configuration = SenderConfiguration(
        registration: 1, virtualLUN: 5 << 48, blockLength: 512, unitBlockSize: 512,
        writeLengthMax: 64 * 512)
      configuration.isKept = true
      configuration.queueMax = queueMax
      sender = Sender(
        configuration,
        legs: [LegDescription(path: .datagrams, openWritesMax: open, credit: credit)])
    }

    @discardableResult
    func write(_ token: UInt64, _ blocks: Range<Int>) -> Bool {
      let isTaken = sender.submit(
        Submission(
          token: token, byteOffset: UInt64(blocks.lowerBound) * 512, length: blocks.count * 512),
        now: now)
      settle()
      return isTaken
    }

    @discardableResult
    func hold(_ token: UInt64, _ blocks: Range<Int>) -> Bool {
      let isTaken = sender.hold(
        token: token, byteOffset: UInt64(blocks.lowerBound) * 512, length: blocks.count * 512,
        now: now)
      settle()
      return isTaken
    }

    func copy(_ token: UInt64, _ blocks: Range<Int>, to leg: Int = 0) -> Bool {
      sender.submitCopy(
        token: token, byteOffset: UInt64(blocks.lowerBound) * 512, length: blocks.count * 512,
        to: LegSet(leg), now: now)
    }

    func release(_ token: UInt64) {
      sender.releaseHold(token: token, now: now)
      settle()
    }

    var open: [Submission] {
      sender.writes.filter { $0.phase != .idle }.map(\.submission)
    }

    /// The leg does a write.
    func end(_ token: UInt64) {
      guard
        let write = sender.writes.first(where: {
          $0.phase != .idle && $0.submission.token == token
        })
      else { return }
      let tag = Datagram.taskTag(of: write.number)
      sender.handleResponse(leg: 0, tag: tag, status: 0, now: now)
      settle()
    }

    /// Sends what waits, and takes what is told.
    func settle() {
      now += 1_000_000
      var bytes = [UInt8](repeating: 0, count: 1024)
      while let next = sender.pollTransmission(now: now) {
        let data = [UInt8](repeating: 7, count: sender.submission(inSlot: next.slot).length)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        _ = sender.assemble(next, data: data.span.bytes, into: &raw, now: now)
        now += 1_000
      }
      sender.handleDeparted(now: now)
      let fresh = sender.writes.filter { $0.phase != .idle && $0.number.rawValue >= numbersSeen }
      for write in fresh.sorted(by: { $0.number.rawValue < $1.number.rawValue }) {
        began.append(write.submission.token)
      }
      numbersSeen = sender.firstUnusedNumber.rawValue
      for event in sender.events {
        switch event {
        case .held(let token): held.append(token)
        case .completed(let token, _), .copied(let token, _): ended.append(token)
        default: break
        }
      }
      sender.events = []
    }
  }

  @Test func `a hold stands when what overlaps it has ended`() {
    let desk = Desk()
    desk.hold(100, 50..<60)
    #expect(desk.held == [100])
    desk.write(1, 0..<4)
    desk.write(2, 4..<8)
    desk.hold(101, 2..<6)
    desk.write(3, 5..<7)
    desk.write(4, 8..<12)
    desk.write(5, 6..<9)
    desk.write(6, 20..<24)
    #expect(desk.held == [100] && desk.began == [1, 2, 4, 6])
    desk.end(1)
    #expect(desk.held == [100])
    desk.end(2)
    #expect(desk.held == [100, 101] && desk.began == [1, 2, 4, 6])
    desk.end(4)
    // 5 keeps its place behind 3, which waits for the hold.
    #expect(desk.began == [1, 2, 4, 6] && !desk.sender.isIdle)
    desk.release(101)
    #expect(desk.began == [1, 2, 4, 6, 3])
    desk.end(3)
    #expect(desk.began == [1, 2, 4, 6, 3, 5])
    desk.end(6)
    desk.end(5)
    #expect(desk.sender.isIdle)
    #expect(desk.sender.counters.writes == 6 && desk.sender.firstUnusedNumber.rawValue == 6)
  }

  @Test func `a hold comes after the writes before it, whatever these wait for`() {
    let desk = Desk()
    desk.hold(100, 0..<10)
    desk.write(1, 5..<15)
    desk.hold(101, 12..<20)
    desk.write(2, 18..<22)
    #expect(desk.held == [100])
    desk.release(100)
    #expect(desk.began == [1] && desk.held == [100])
    desk.end(1)
    #expect(desk.held == [100, 101] && desk.began == [1])
    // Two on one byte: the second has its turn after the first.
    desk.hold(102, 15..<16)
    desk.hold(103, 30..<31)
    #expect(desk.held == [100, 101, 103])
    desk.release(101)
    #expect(desk.held == [100, 101, 103, 102] && desk.began == [1, 2])
  }

  @Test func `a hold that waits may be let go`() {
    let desk = Desk()
    desk.write(1, 0..<8)
    desk.hold(100, 4..<12)
    desk.write(2, 10..<14)
    #expect(desk.began == [1])
    desk.release(100)
    #expect(desk.held == [] && desk.began == [1, 2])
    // In the queue, too: behind a write that waits for another.
    desk.write(3, 0..<2)
    desk.hold(101, 20..<24)
    desk.write(4, 20..<24)
    #expect(desk.held == [] && desk.began == [1, 2])
    desk.release(101)
    desk.release(999)
    desk.end(1)
    #expect(desk.began == [1, 2, 3, 4] && desk.held == [])
    for token in 1...4 { desk.end(UInt64(token)) }
    #expect(desk.sender.isIdle && desk.sender.holds.isIdle)
  }

  @Test func `holds have a limit, and what is parked, and the queue`() {
    let desk = Desk(queueMax: 300)
    for index in 0..<Limits.holdsMax {
      #expect(desk.hold(UInt64(100 + index), index..<index + 1))
    }
    #expect(!desk.hold(200, 50..<51) && desk.held.count == Limits.holdsMax)
    desk.release(100)
    #expect(desk.hold(200, 0..<8) && desk.held.count == Limits.holdsMax)
    var taken: UInt64 = 0
    while desk.write(taken + 1, 5..<6) { taken += 1 }
    #expect(taken == 300 && desk.began.isEmpty)
    for token in desk.held { desk.release(token) }
    desk.release(200)
    for token in 1...taken { desk.end(token) }
    #expect(desk.began == Array(1...taken) && desk.sender.isIdle)
  }

  @Test func `a pause lets nothing begin, and ends no hold`() {
    let desk = Desk()
    desk.write(1, 0..<4)
    desk.hold(100, 8..<12)
    desk.hold(101, 2..<6)
    desk.sender.pause()
    desk.hold(102, 20..<24)
    desk.write(2, 9..<10)
    desk.write(3, 30..<31)
    desk.end(1)
    #expect(desk.held == [100] && desk.began == [1])
    desk.sender.resume(epoch: 2, joining: [], now: desk.now)
    desk.settle()
    #expect(desk.held == [100, 101, 102] && desk.began == [1, 3])
    desk.sender.pause()
    desk.release(100)
    #expect(desk.began == [1, 3])
    desk.sender.resume(now: desk.now)
    desk.settle()
    #expect(desk.began == [1, 3, 2])
  }

  @Test func `a copy whose hold is let go doesn't begin any more`() {
    let desk = Desk(open: 1)
    desk.hold(100, 0..<64)
    for token in [500, 501] as [UInt64] {
      #expect(
        desk.copy(token, 0..<8))
    }
    desk.settle()
    desk.write(1, 4..<8)
    #expect(desk.began == [500])
    desk.release(100)
    #expect(desk.ended == [501] && desk.began == [500])
    desk.end(500)
    #expect(desk.began == [500, 1])
    desk.hold(101, 100..<200)
    // None of its legs is there.
    #expect(
      desk.copy(502, 100..<108, to: 5))
    #expect(
      desk.sender.events == [.copied(token: 502, failures: [LegOutcome(leg: 0, failure: .lost)])]
    )
    desk.settle()
    var taken = 0
    while desk.copy(600, 100..<101), taken < 100 { taken += 1 }
    #expect(taken == Limits.copiesMax, "one write is open, so none begins")
  }

  // MARK: Against a model

  /// What was asked for, in order, and what has become of it.
  private struct Asked {
    enum State { case waits, open, over }

    var submission: Submission
    var isHold: Bool
    var state = State.waits
  }

  @Test(arguments: 1...40) func `random writes and holds keep their order, and none starves`(
    seed: UInt64
  ) {
    var random = SeededRandom(seed)
    let desk = Desk(open: 1 + Int(random.below(12)), credit: 40 * 512)
    var asked: [Asked] = []
    var isPaused = false
    let width = 16 + random.below(200)
    func range() -> Range<Int> {
      let start = Int(random.below(width))
      return start..<start + 1 + Int(random.below(12))
    }
    for step in 0..<600 {
      let isOver = step >= 500
      switch random.below(isOver ? 5 : 10) {
      case 0, 1, 2:
        if let one = desk.open.randomElement(using: &random) { desk.end(one.token) }
      case 3:
        let standing = asked.filter { $0.isHold && $0.state != .over }
        guard let one = standing.randomElement(using: &random) else { break }
        if one.state == .open || random.chance(0.1) {
          mark(&asked, one.submission.token, .over)
          desk.release(one.submission.token)
        }
      case 4:
        if isPaused {
          desk.sender.resume(now: desk.now)
          desk.settle()
        } else if !isOver, random.chance(0.3) {
          desk.sender.pause()
        } else {
          break
        }
        isPaused.toggle()
      case 5:
        let token = UInt64(asked.count) + 1
        let blocks = range()
        asked.append(Asked(submission: submission(token, blocks), isHold: true))
        if !desk.hold(token, blocks) { asked[asked.count - 1].state = .over }
      default:
        let token = UInt64(asked.count) + 1
        let blocks = range()
        asked.append(Asked(submission: submission(token, blocks), isHold: false))
        desk.write(token, blocks)
      }
      check(desk, &asked, isPaused: isPaused, "seed \(seed) step \(step)")
    }
    if isPaused { desk.sender.resume(now: desk.now) }
    desk.settle()
    var rounds = 0
    while !desk.sender.isIdle || !desk.sender.holds.isIdle, rounds < 2000 {
      rounds += 1
      check(desk, &asked, isPaused: false, "seed \(seed) round \(rounds)")
      for one in desk.open { desk.end(one.token) }
      check(desk, &asked, isPaused: false, "seed \(seed) round \(rounds)")
      for one in asked where one.isHold && one.state == .open {
        mark(&asked, one.submission.token, .over)
        desk.release(one.submission.token)
      }
    }
    check(desk, &asked, isPaused: false, "seed \(seed) end")
    #expect(asked.allSatisfy { $0.state == .over }, "seed \(seed)")
  }

  private func submission(_ token: UInt64, _ blocks: Range<Int>) -> Submission {
    Submission(
      token: token, byteOffset: UInt64(blocks.lowerBound) * 512, length: blocks.count * 512)
  }

  private func mark(_ asked: inout [Asked], _ token: UInt64, _ state: Asked.State) {
    asked[Int(token) - 1].state = state
  }

  private func check(
    _ desk: Desk, _ asked: inout [Asked], isPaused: Bool, _ label: String
  ) {
    let events = (began: desk.began, held: desk.held, ended: desk.ended)
    (desk.began, desk.held, desk.ended) = ([], [], [])
    for token in events.began where asked[Int(token) - 1].state == .waits {
      mark(&asked, token, .open)
    }
    for token in events.held where asked[Int(token) - 1].state == .waits {
      mark(&asked, token, .open)
    }
    for token in events.ended { mark(&asked, token, .over) }
    for (index, one) in asked.enumerated() where one.state == .open {
      // Nothing that overlaps it is open or stands, nor does any wait that came before it.
      for (other, earlier) in asked[..<index].enumerated()
      where earlier.state != .over && earlier.submission.overlaps(one.submission) {
        Issue.record("\(label): \(other + 1) \(earlier.state) before \(index + 1)")
      }
    }
    guard !isPaused else { return }
    // Who waits does so for something that overlaps, for room, or behind who does.
    let head = desk.sender.holds.freed.first ?? desk.sender.queue.first
    if let head, !desk.open.contains(where: { $0.overlaps(head) }),
      desk.open.count < desk.sender.legs[0].description.openWritesMax,
      desk.open.reduce(head.length, { $0 + $1.length }) <= 40 * 512
    {
      Issue.record("\(label): \(head.token) waits for nothing")
    }
    let isHeadOfLine = head != nil
    for (index, one) in asked.enumerated() where one.state == .waits {
      let isJustified =
        isHeadOfLine && !one.isHold
        || asked[..<index].contains {
          $0.state != .over && $0.submission.overlaps(one.submission)
        } || isHeadOfLine && one.isHold
      if !isJustified { Issue.record("\(label): \(index + 1) waits for nothing") }
    }
  }
}
