import Testing

@testable import Replication

/// Holds and writes at random, against a model of what may overlap what.
@Suite struct SenderHoldsModelTests {
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
    let desk = HoldsDesk(open: 1 + Int(random.below(12)), credit: 40 * 512)
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
    finish(desk, &asked, "seed \(seed)")
  }

  /// Ends all that is open until nothing waits.
  private func finish(_ desk: HoldsDesk, _ asked: inout [Asked], _ label: String) {
    var rounds = 0
    while !desk.sender.isIdle || !desk.sender.holds.isIdle, rounds < 2000 {
      rounds += 1
      check(desk, &asked, isPaused: false, "\(label) round \(rounds)")
      for one in desk.open { desk.end(one.token) }
      check(desk, &asked, isPaused: false, "\(label) round \(rounds)")
      for one in asked where one.isHold && one.state == .open {
        mark(&asked, one.submission.token, .over)
        desk.release(one.submission.token)
      }
    }
    check(desk, &asked, isPaused: false, "\(label) end")
    #expect(asked.allSatisfy { $0.state == .over }, "\(label)")
  }

  private func submission(_ token: UInt64, _ blocks: Range<Int>) -> Submission {
    Submission(
      token: token, byteOffset: UInt64(blocks.lowerBound) * 512, length: blocks.count * 512)
  }

  private func mark(_ asked: inout [Asked], _ token: UInt64, _ state: Asked.State) {
    asked[Int(token) - 1].state = state
  }

  private func check(
    _ desk: HoldsDesk, _ asked: inout [Asked], isPaused: Bool, _ label: String
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
        isHeadOfLine
        || asked[..<index].contains {
          $0.state != .over && $0.submission.overlaps(one.submission)
        }
      if !isJustified { Issue.record("\(label): \(index + 1) waits for nothing") }
    }
  }
}
