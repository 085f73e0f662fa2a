import Bytes
import ISCSI

@testable import Replication

/// A sender of one leg whose writes end when the test says so.
final class HoldsDesk {
  var sender: Sender
  var now: UInt64 = 1_000_000
  var held: [UInt64] = []
  var marked: [UInt64] = []
  /// Numbers of writes that the leg is to fence.
  var fenced: [UInt32] = []
  var failures: [UInt64: [LegOutcome]] = [:]
  var suspects = 0
  var ended: [UInt64] = []
  /// Commands as they went out.
  var commands: [BasicHeaderSegment] = []
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
  func write(
    _ token: UInt64, _ blocks: Range<Int>, _ attribute: Submission.Attribute = .simple
  ) -> Bool {
    let isTaken = sender.submit(
      Submission(
        token: token, byteOffset: UInt64(blocks.lowerBound) * 512, length: blocks.count * 512,
        attribute: attribute),
      now: now)
    settle()
    return isTaken
  }

  @discardableResult
  func mark(_ token: UInt64) -> Bool {
    let isTaken = sender.submitMark(token: token, now: now)
    settle()
    return isTaken
  }

  func pass(_ token: UInt64) {
    sender.passMark(token: token, now: now)
    settle()
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

  func abort(_ token: UInt64) -> Bool {
    let isThere = sender.abort(token: token, now: now)
    settle()
    return isThere
  }

  /// The leg lets a write touch the medium no more.
  func fence(_ token: UInt64) {
    let write = sender.writes.first { $0.phase != .idle && $0.submission.token == token }
    guard let number = write?.number else { return }
    sender.handleFenced(leg: 0, number: number, now: now)
    settle()
  }

  /// The leg ends a write.
  func end(_ token: UInt64, status: UInt8 = 0) {
    guard
      let write = sender.writes.first(where: {
        $0.phase != .idle && $0.submission.token == token
      })
    else { return }
    let tag = Datagram.taskTag(of: write.number)
    sender.handleResponse(leg: 0, tag: tag, status: status, now: now)
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
      let count = sender.assemble(next, data: data.span.bytes, into: &raw, now: now)
      if next.content == .command, let count,
        let datagram = try? Datagram(Array(bytes[..<count]).span.bytes)
      {
        commands.append(datagram.header)
      }
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
      case .marked(let token): marked.append(token)
      case .fence(_, let number, _): fenced.append(number.rawValue)
      case .suspect: suspects += 1
      case .completed(let token, let failures), .copied(let token, let failures):
        ended.append(token)
        self.failures[token] = failures
      default: break
      }
    }
    sender.events = []
  }
}
