import Bytes
import ISCSI
import Testing

@testable import Replication

/// Two checksums for one piece of a write: only what the connection carries is believed.
@Suite struct ForgeryTests {
  let bench = DatagramWorkbench()
  let forged = [UInt8](repeating: 0xff, count: 512)
  let distrusted = [ReceiverAnswer.distrusted(SerialNumber(0), epoch: 1)]

  @Test func `the same bytes again are no forgery`() throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 2))
    try receiver.take(bench.data(0, block: 0, of: 2))
    try receiver.take(bench.data(0, block: 0, of: 2, flags: .repair))
    try receiver.take(bench.command(0, blocks: 2, flags: .repair))
    #expect(receiver.counters.duplicates == 2 && receiver.counters.conflicting == 0)
  }

  @Test func `another checksum for a block or a command is told and not stored`() throws {
    for isCommand in [true, false] {
      var receiver = bench.receiver()
      try receiver.take(bench.command(0, blocks: 2))
      try receiver.take(bench.data(0, block: 0, of: 2))
      _ = receiver.takeAnswers()
      let placement = try receiver.take(
        isCommand
          ? bench.command(0, address: 9, blocks: 2)
          : bench.data(0, block: 0, of: 2, bytes: forged))
      #expect(placement == .nowhere && receiver.counters.conflicting == 1)
      let answers = receiver.takeAnswers()
      #expect(answers == distrusted)
      // Datagrams of it are over; a question is answered the same way.
      try receiver.take(bench.command(0, blocks: 2))
      try receiver.take(bench.data(0, block: 1, of: 2))
      #expect(receiver.counters.distrusted == 2 && receiver.stores.isEmpty)
      receiver.handleSync([SerialNumber(0)], lowestOpen: SerialNumber(0), now: 0)
      let again = receiver.takeAnswers()
      #expect(again == distrusted)
    }
  }

  @Test func `the connection brings a distrusted write, datagrams beside it don't`() throws {
    var receiver = bench.receiver()
    try receiver.take(bench.command(0, blocks: 2))
    try receiver.take(bench.data(0, block: 0, of: 2, bytes: forged))
    try receiver.take(bench.data(0, block: 0, of: 2))
    try receiver.take(bench.command(0, blocks: 2), isCarried: true)
    let early = try receiver.take(bench.data(0, block: 0, of: 2, bytes: forged))
    #expect(early == .nowhere)
    let carried = try receiver.take(bench.data(0, block: 0, of: 2), isCarried: true)
    #expect(carried == .store(slot: 0, offset: 0, length: 512))
    let late = try receiver.take(bench.data(0, block: 0, of: 2, bytes: forged))
    #expect(late == .nowhere)
    try receiver.take(bench.data(0, block: 1, of: 2), isCarried: true)
    #expect(receiver.stores.count == 1)
    _ = receiver.takeAnswers()
    receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
    let answers = receiver.takeAnswers()
    #expect(answers == [.response(SerialNumber(0), status: 0, sense: [], units: [])])
  }

  @Test func `a forgery seen while the write is stored is told instead of GOOD`() throws {
    for isFenced in [false, true] {
      var receiver = bench.receiver()
      try receiver.take(bench.command(0, blocks: 2))
      for block in 0..<2 { try receiver.take(bench.data(0, block: block, of: 2)) }
      try receiver.take(bench.data(0, block: 1, of: 2, bytes: forged))
      _ = receiver.takeAnswers()
      if isFenced { receiver.handleFence(SerialNumber(0), epoch: 1) }
      receiver.handleStored(slot: 0, unit: 0, status: 0, sense: [])
      let answers = receiver.takeAnswers()
      #expect(answers == (isFenced ? [.fenced(SerialNumber(0), epoch: 1)] : distrusted))
      #expect(receiver.isQuiescent)
    }
  }

  @Test(arguments: RecoveryMode.allCases) func `a mirror with a forger on its segment is whole`(
    mode: RecoveryMode
  ) {
    for seed: UInt64 in 1...4 {
      var shape = MirrorShape(seed: seed)
      shape.recovery = mode
      shape.isSolicited = seed > 2
      // A store takes time in which the right block may still come; memory has none.
      shape.placesDirectly = false
      shape.faults = .losing(0.05)
      let mirror = VirtualMirror(shape)
      // Where the right block is lost a forged one can't be told from it: datagrams have no key.
      mirror.legs[1].faults = LinkFaults()
      // What the forger sends first may be stored until the right bytes come.
      mirror.unitPayloadsChange = true
      var forger = SeededRandom(seed)
      mirror.willSend = { transmission in
        guard case .block(let block) = transmission.content, forger.chance(0.1) else { return }
        let write = mirror.sender.writes[transmission.slot]
        var bench = DatagramWorkbench()
        bench.registration = VirtualMirror.registration
        bench.epoch = write.epoch
        let bytes = bench.data(
          write.number.rawValue, block: block, of: write.blockCount, bytes: forger.bytes(512),
          lowest: write.lowestOpen.rawValue
        ) { if write.isUnsolicited { $0.word20 = 0xffff_ffff } }
        mirror.agenda.enter(.datagram(leg: 1, bytes), at: mirror.now + 40_000)
      }
      mirror.writeRandomly(20, blocksMax: 8)
      mirror.run()
      let label = "mode \(mode) seed \(seed)"
      #expect(mirror.forgeries.count > 0, "\(label)")
      #expect(mirror.completions.count == 20, "\(label)")
      #expect(mirror.violations == [] && mirror.disagreements == [], "\(label)")
      #expect(mirror.lost.isEmpty, "\(label)")
    }
  }
}
