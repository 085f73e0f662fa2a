// A kept virtual mirror: legs that leave are confirmed to have, a stale leg gets what the others
// have, and what the law says of both is checked in every instant.
import Bytes

@testable import Replication

extension VirtualMirror {
  /// Tokens of copies; those of writes count from 1.
  static let firstCopy: UInt64 = 1 << 32

  func noteLeft(_ leg: Int) {
    guard shape.isKept else { return }
    if lowestMax == nil { lowestMax = sender.lowestOpen }
    guard let delay = shape.confirmNanoseconds else { return }
    agenda.enter(.act { [unowned self] in confirm([leg]) }, at: now + delay)
  }

  func confirm(_ legs: [Int]) {
    sender.confirmDetached(LegSet(legs), now: now)
    if sender.unconfirmedLegs.isEmpty { lowestMax = nil }
  }

  /// Nothing is told while a leg that left is not known to have.
  func checkMayTell(_ token: UInt64) {
    guard shape.isKept, !sender.unconfirmedLegs.isEmpty, !sender.isStopped else { return }
    violations.append("token \(token) is told too early")
  }

  /// The lowest open number stands still as long.
  func checkTold(_ bytes: [UInt8]) {
    guard let lowestMax, let datagram = try? Datagram(bytes.span.bytes) else { return }
    if lowestMax.precedes(datagram.lowestOpen) || lowestMax.precedes(sender.lowestOpen) {
      violations.append("\(datagram.lowestOpen) is told, past \(lowestMax)")
    }
  }

  func hold(_ token: UInt64, _ blocks: Range<Int>) -> Bool {
    sender.hold(
      token: token, byteOffset: UInt64(blocks.lowerBound) * 512, length: blocks.count * 512,
      now: now)
  }

  func copy(_ token: UInt64, _ blocks: Range<Int>, to leg: Int) -> Bool {
    sender.submitCopy(
      token: token, byteOffset: UInt64(blocks.lowerBound) * 512, length: blocks.count * 512,
      to: LegSet(leg), now: now)
  }

  /// Copies all of the disk from leg 0 to a stale one, `blocks` at once, in holds of four copies.
  func resync(_ leg: Int, blocks: Int) {
    legs[leg].receiver.takesCopies = true
    let region = blocks * 4
    var pending = 0
    var next = Self.firstCopy
    let begin = { [unowned self] (start: Int) in
      guard start < shape.diskBlocks else { return }
      let isTaken = hold(UInt64(start), start..<start + region)
      if !isTaken { violations.append("a hold is not taken") }
    }
    didHold = { [unowned self] token in
      if sender.writes.contains(where: {
        $0.phase != .idle
          && $0.submission.overlaps(
            Submission(token: 0, byteOffset: token * 512, length: region * 512))
      }) {
        violations.append("a hold stands on an open write")
      }
      for piece in 0..<4 {
        next += 1
        let offset = Int(token) * 512 + piece * blocks * 512
        payloads[next] = Array(legs[0].disks[0][offset..<offset + blocks * 512])
        offsets[next] = UInt64(offset)
        pending += 1
        let first = offset / 512
        let isTaken = copy(next, first..<first + blocks, to: leg)
        if !isTaken { violations.append("a copy is not taken") }
      }
      held.removeAll { $0 != token }
    }
    didCopy = { [unowned self] _ in
      pending -= 1
      guard pending == 0, let token = held.last else { return }
      sender.releaseHold(token: token, now: now)
      begin(Int(token) + region)
    }
    begin(0)
  }
}
