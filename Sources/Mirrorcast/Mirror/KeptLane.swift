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
  func nextDeadline(isBusy: Bool) -> UInt64 { isBusy ? silence.nextLook : tellAt ?? .max }

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
    guard
      let isTold = kept?.isToBeTold(
        sender.lowestOpen, isBusy: sender.openWrites > 0, now: now)
    else { return }
    if isTold { tellLowest() }
    guard sender.openWrites > 0, let due = kept?.silence.nextLook, due <= now,
      let verdict = kept?.silence.look(owing: sender.owingLegs, now: now)
    else { return }
    verdict.asked.forEach { leg in
      legs[leg].connection.perform { _ = $0.ping() }
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
    case .tellLowest: tellLowest()
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

  private mutating func tellLowest() {
    kept?.noteTold(sender.lowestOpen)
    let header = request(.sync, number: sender.firstUnusedNumber)
    sender.activeLegs.forEach { leg in
      legs[leg].connection.perform { $0.sendMirrorRequest(header, data: []) }
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
