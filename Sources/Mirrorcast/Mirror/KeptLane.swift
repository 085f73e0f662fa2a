// What a lane of a kept mirror does besides: it gives up legs that fall silent, holds ranges, sends
// copies, holds completions back until it is told that they may be told, and tells what happens.
import Bytes
import Datagrams
import ISCSI
import Replication

/// A lane's part of keeping a mirror.
struct KeptLane: Sendable {
  let part: Int
  private let inbox: KeptInbox
  private let limitWords: String
  var silence: LegSilence
  /// The ranges on which nothing begins now.
  var standing: Set<UInt64> = []
  /// The lowest open number as the idle legs know it, and when they are to be told of another.
  private var toldLowest: SerialNumber
  private var tellAt: UInt64?

  /// Legs that have yet to say that they know which writes have ended.
  private var telling: Telling?

  /// A question that only orders what comes behind it.
  private struct Telling: Sendable {
    let number: SerialNumber
    var pending: LegSet
    /// Whoever has not answered by then isn't waited for.
    let due: UInt64
    let done: @Sendable () -> Void
  }

  private static let answerNanoseconds: UInt64 = 1_000_000_000

  /// An idle lane tells its legs after this time which writes have ended everywhere.
  private static let tellNanoseconds: UInt64 = 100_000_000

  init(part: Int, _ inbox: KeptInbox, _ options: KeepingOptions, _ sender: borrowing Sender) {
    self.part = part
    self.inbox = inbox
    limitWords = "it said nothing for \(options.silenceSeconds) s"
    silence = LegSilence(limit: UInt64(options.silenceSeconds * 1e9))
    toldLowest = sender.lowestOpen
  }

  func tell(_ news: KeptNews) { inbox.post(news) }

  /// Why a silent leg is given up.
  var silenceWords: String { limitWords }

  /// When there is something to do for a sender that has writes open, or none.
  func nextDeadline(isBusy: Bool) -> UInt64 {
    min(isBusy ? silence.nextLook : tellAt ?? .max, telling?.due ?? .max)
  }

  /// Whether idle legs are to be told of this number now.
  mutating func isToBeTold(_ lowest: SerialNumber, isBusy: Bool, now: UInt64) -> Bool {
    guard !isBusy, lowest != toldLowest else {
      tellAt = nil
      return false
    }
    let due = tellAt ?? now + Self.tellNanoseconds
    tellAt = due
    guard due <= now else { return false }
    noteTold(lowest)
    return true
  }

  mutating func noteTold(_ lowest: SerialNumber) {
    toldLowest = lowest
    tellAt = nil
  }

  /// These legs are asked about a number that no write has.
  mutating func beginTelling(
    _ legs: LegSet, _ number: SerialNumber, now: UInt64, done: @escaping @Sendable () -> Void
  ) {
    telling?.done()
    telling = Telling(
      number: number, pending: legs, due: now + Self.answerNanoseconds, done: done)
  }

  mutating func noteReport(leg: Int, number: SerialNumber) {
    if telling?.number == number { telling?.pending.remove(LegSet(leg)) }
  }

  mutating func stepTelling(active: LegSet, now: UInt64) {
    guard let one = telling, one.pending.isDisjoint(with: active) || one.due <= now else { return }
    telling = nil
    one.done()
  }
}

/// Which stay of each leg its lane listens to.
struct LegStays {
  private var present: [Int: Int] = [:]
  /// Legs whose connection ended before they were members.
  var earlyLosses: [Int: String] = [:]

  func isPresent(_ stay: Int, of leg: Int) -> Bool { present[leg] ?? 0 == stay }

  /// A leg is about to come; what was of an earlier stay is nothing any more.
  mutating func expect(_ stay: Int, of leg: Int) {
    present[leg] = stay
    earlyLosses[leg] = nil
  }
}

extension SenderDuty {
  var keptDeadline: UInt64 {
    kept?.nextDeadline(isBusy: sender.openWrites > 0) ?? .max
  }

  /// Looks for silent legs, and tells idle ones what has ended.
  mutating func attendKept(now: UInt64) {
    kept?.stepTelling(active: sender.activeLegs, now: now)
    guard
      let isTold = kept?.isToBeTold(
        sender.lowestOpen, isBusy: sender.openWrites > 0, now: now)
    else { return }
    if isTold { tellLowest(asking: []) }
    guard sender.openWrites > 0, let due = kept?.silence.nextLook, due <= now,
      let verdict = kept?.silence.look(owing: sender.owingLegs, now: now)
    else { return }
    verdict.asked.forEach { leg in
      legs[leg].connection.perform { _ = $0.ping() }
      kept?.tell(.silent(part: kept?.part ?? 0, place: leg, stay: legs[leg].stay))
    }
    guard let words = kept?.silenceWords else { return }
    verdict.silent.forEach { sender.handleLost(leg: $0, .connection(words), now: now) }
  }

  mutating func handle(_ order: KeptOrder, now: UInt64) {
    switch order {
    case .hold(let token, let bytes):
      _ = sender.hold(
        token: token, byteOffset: bytes.lowerBound, length: bytes.count, now: now)
    case .release(let token):
      kept?.standing.remove(token)
      sender.releaseHold(token: token, now: now)
    case .copy(let call, let hold, let targets): copy(call, under: hold, to: targets, now: now)
    case .confirm(let legs): sender.confirmDetached(legs, now: now)
    case .suspend: sender.suspend()
    case .endSuspension: sender.endSuspension(now: now)
    case .mended(let count): sender.confirmMended(count, now: now)
    case .stop: sender.stop(now: now)
    case .tellLowest(let done):
      // A leg answers a question about a number that it doesn't know; what it had to note by then
      // is noted.
      let number = sender.firstUnusedNumber
      kept?.beginTelling(sender.activeLegs, number, now: now, done: done)
      tellLowest(asking: [number])
    }
  }

  /// A range is held from now on.
  mutating func noteHeld(_ token: UInt64) {
    kept?.standing.insert(token)
    kept?.tell(.held(part: kept?.part ?? 0, token: token))
  }

  /// A copy whose range was let go meanwhile could land over a newer write: it is none.
  private mutating func copy(
    _ call: WriteCall, under hold: UInt64, to targets: LegSet, now: UInt64
  ) {
    // Safe: only the length is read.
    let length = unsafe call.bytes.count
    let token = calls.takeAtOnce(call)
    guard kept?.standing.contains(hold) == true,
      sender.submitCopy(
        token: token, byteOffset: call.byteOffset, length: length, to: targets, now: now)
    else { return endCopy(token, isGood: false) }
  }

  mutating func endCopy(_ token: UInt64, isGood: Bool) {
    let call = calls[token]
    calls.end(token)
    call.completion(WriteResult(isGood: isGood, failures: []))
  }

  private mutating func tellLowest(asking numbers: [SerialNumber]) {
    kept?.noteTold(sender.lowestOpen)
    let header = request(.sync, number: sender.firstUnusedNumber)
    var data: [UInt8] = []
    for number in numbers { data.appendBigEndian(number.rawValue) }
    sender.activeLegs.forEach { [data] leg in
      legs[leg].connection.perform { $0.sendMirrorRequest(header, data: data[...]) }
    }
  }

  /// Calls who waits for the end of writes before a number.
  mutating func completeEnded() {
    guard !waiters.ended.isEmpty else { return }
    var rest: [(before: SerialNumber, done: @Sendable () -> Void)] = []
    for waiter in waiters.ended {
      if sender.hasOpen(before: waiter.before) { rest.append(waiter) } else { waiter.done() }
    }
    waiters.ended = rest
  }
}
