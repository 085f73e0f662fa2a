import Bytes
import ISCSI
import SCSI
import Testing

@testable import Replication

/// What device servers say in the place of a mirrored write, at the leg and at the initiator.
@Suite struct NewsTests {
  let bench = DatagramWorkbench()
  static let sense = SenseData(.unitAttention, .resetOccurred).fixedFormat
  static let attention = UnitStatus(lun: 0, status: 2, sense: sense)

  /// The responses among what a leg says.
  private func responses(_ receiver: inout Receiver) -> [SerialNumber: [UnitStatus]] {
    var found: [SerialNumber: [UnitStatus]] = [:]
    for case .response(let number, let status, let sense, let units) in receiver.takeAnswers() {
      #expect(found[number] == nil)
      #expect(units.first.map { [$0.status] + $0.sense } ?? [0] == [status] + sense)
      found[number] = units
    }
    return found
  }

  @Test func `an attention ends the next write, and that alone`() throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 1))
    // Data that came ahead of its command goes with it.
    try receiver.take(bench.data(1, block: 1, of: 2, edit: { $0.word20 = reservedTag }))
    _ = receiver.takeAnswers()
    receiver.attentions = [Self.attention]
    receiver.refusals = [UnitStatus(lun: 0, status: 0x18)]
    // What has begun goes on; what can't begin a write hears nothing.
    try receiver.take(bench.data(0, block: 0, of: 1))
    #expect(receiver.stores.count == 1)
    try receiver.take(bench.command(0, blocks: 1))
    #expect(!receiver.attentions.isEmpty)
    try receiver.take(bench.command(1, blocks: 2, edit: { $0.lun = 6 << 48 }))
    #expect(!receiver.attentions.isEmpty)
    // The address is out of range, too: SAM-5 has the attention go before.
    try receiver.take(bench.command(1, address: 5000, blocks: 2))
    #expect(receiver.attentions.isEmpty)
    let heard = responses(&receiver)
    #expect(heard == [SerialNumber(1): [Self.attention]])
    try receiver.take(bench.command(2, blocks: 2))
    let conflict = responses(&receiver)
    #expect(conflict[SerialNumber(2)]?.map(\.status) == [0x18])
    receiver.refusals = []
    try receiver.take(bench.command(3, address: 5000, blocks: 2))
    let outside = responses(&receiver)[SerialNumber(3)]?.first?.sense ?? []
    #expect(SenseData(outside.span.bytes)?.additional == .blockAddressOutOfRange)
    // The answer that was lost on its way is repeated, attention and all.
    try receiver.take(bench.command(1, address: 5000, blocks: 2, flags: .repair))
    let again = responses(&receiver)
    #expect(again == [SerialNumber(1): [Self.attention]])
    #expect(receiver.stores.count == 1)
  }

  @Test func `sense has each LUN's own format`() throws {
    var receiver = bench.receiver(units: 2)
    receiver.descriptorUnits = [1 << 48]
    try receiver.take(bench.command(0, address: 5000, blocks: 2))
    let units = responses(&receiver)[SerialNumber(0)] ?? []
    #expect(units.map { $0.sense.first.map { $0 & 0x7f } } == [0x70, 0x72])
    for unit in units {
      #expect(SenseData(unit.sense.span.bytes)?.additional == .blockAddressOutOfRange)
    }
  }

  @Test func `what may begin a write`() throws {
    var receiver = bench.receiver()
    let command = try Datagram(bench.command(0, blocks: 2).span.bytes)
    let data = try Datagram(bench.data(0, block: 1, of: 2).span.bytes)
    #expect(receiver.mayBegin(command) && !receiver.mayBegin(data))
    try receiver.take(bench.data(0, block: 1, of: 2, edit: { $0.word20 = reservedTag }))
    #expect(receiver.mayBegin(command))
    try receiver.take(bench.command(0, blocks: 2))
    #expect(!receiver.mayBegin(command))
    receiver.handleAbort()
    #expect(!receiver.mayBegin(command))
    receiver.handleFence(SerialNumber(1), epoch: 1)
    #expect(!receiver.mayBegin(try Datagram(bench.command(1, blocks: 2).span.bytes)))
    receiver.close()
    #expect(!receiver.mayBegin(try Datagram(bench.command(2, blocks: 2).span.bytes)))
  }

  @Test func `an abort ends all that is open, and waits for what runs`() throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 1))
    try receiver.take(bench.data(0, block: 0, of: 1))
    try receiver.take(bench.command(1, blocks: 2))
    try receiver.take(bench.data(1, block: 0, of: 2))
    try receiver.take(bench.data(2, block: 1, of: 3, edit: { $0.word20 = reservedTag }))
    try receiver.take(bench.command(3, blocks: 1))
    try receiver.take(bench.data(3, block: 0, of: 1))
    receiver.handleFence(SerialNumber(3), epoch: 1)
    _ = receiver.takeAnswers()
    #expect(!receiver.isAborting)
    receiver.handleAbort()
    #expect(receiver.isAborting)
    let atOnce = responses(&receiver)
    let aborted = [UnitStatus(lun: 0, status: 0x40)]
    #expect(atOnce == [SerialNumber(1): aborted, SerialNumber(2): aborted])
    // What comes late changes nothing.
    let late = [
      try receiver.take(bench.data(1, block: 1, of: 2)),
      try receiver.take(bench.command(2, blocks: 3)),
    ]
    #expect(late == [.nowhere, .nowhere])
    #expect(receiver.stores.map(\.slot) == [0, 3])
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    let stored = responses(&receiver)
    #expect(stored == [SerialNumber(0): aborted])
    #expect(receiver.isAborting)
    receiver.handleStored(slot: 3, unit: 0, status: 0, sense: [])
    let fenced = receiver.takeAnswers()
    #expect(fenced == [.fenced(SerialNumber(3), epoch: 1)])
    #expect(!receiver.isAborting && receiver.isQuiescent)
    // A new write is none of those.
    try receiver.take(bench.command(4, blocks: 1))
    try receiver.take(bench.data(4, block: 0, of: 1))
    #expect(!receiver.isAborting && !receiver.isQuiescent)
  }

  // MARK: A whole mirror

  @Test(arguments: [true, false]) func `writes are done again until the legs agree`(
    waitsForStatus: Bool
  ) {
    for seed: UInt64 in 1...8 {
      var shape = MirrorShape(seed: seed)
      shape.faults = .losing(0.1)
      shape.waitsForStatus = waitsForStatus
      let mirror = VirtualMirror(shape)
      var sent = 0
      mirror.willSend = { [unowned mirror] _ in
        sent += 1
        let leg = mirror.legs[sent % mirror.legs.count]
        if sent % 40 == 7, leg.receiver.attentions.isEmpty {
          leg.receiver.attentions = leg.receiver.configuration.units.map {
            UnitStatus(lun: $0, status: 2, sense: Self.sense)
          }
        }
        if sent % 60 == 13 { leg.receiver.handleAbort() }
      }
      mirror.writeRandomly(40, blocksMax: 8)
      mirror.run()
      #expect(mirror.violations == [] && mirror.disagreements == [], "seed \(seed)")
      #expect(!mirror.news.isEmpty && mirror.lost.isEmpty)
      #expect(mirror.completions.count == 40 && mirror.failures.isEmpty)
    }
  }

  @Test func `news without end is the leg's failure at last, and what failed is told`() {
    var shape = MirrorShape(seed: 3)
    shape.paths = [.datagrams, .datagrams]
    let mirror = VirtualMirror(shape)
    mirror.willSend = { [unowned mirror] _ in
      mirror.legs[0].receiver.attentions = [Self.attention]
    }
    mirror.write(block: 0, blocks: 2)
    mirror.run()
    let failure = LegFailure.status(2, sense: Self.sense, units: [Self.attention])
    #expect(mirror.completions == [1: [LegOutcome(leg: 0, failure: failure)]])
    #expect(mirror.news.count == Limits.repetitionsMax && mirror.lost.isEmpty)
    #expect(mirror.sender.counters(ofLeg: 0).news == UInt64(Limits.repetitionsMax))
    #expect(mirror.sender.isIdle)
  }

  @Test func `a failure in earnest is no news`() {
    let medium = SenseData(.mediumError, .writeError).fixedFormat
    let failures: [(LegFailure, Bool)] = [
      (.status(2, sense: Self.sense, units: []), true),
      (.status(2, sense: SenseData(.unitAttention, .none).descriptorFormat, units: []), true),
      (.status(0x40, sense: [], units: []), true),
      (.status(0x40, sense: [], units: [UnitStatus(lun: 0, status: 0x40)]), true),
      (
        .status(2, sense: Self.sense, units: [UnitStatus(lun: 0, status: 0), Self.attention]), true
      ),
      (
        .status(
          2, sense: Self.sense,
          units: [Self.attention, UnitStatus(lun: 1, status: 2, sense: medium)]), false
      ),
      (.status(2, sense: medium, units: []), false), (.status(2, sense: [], units: []), false),
      (.status(0x18, sense: [], units: []), false), (.status(8, sense: [], units: []), false),
      (.deadline, false), (.lost, false), (.bufferChanged, false),
    ]
    for (failure, isNews) in failures { #expect(failure.isNews == isNews, "\(failure)") }
  }
}
