import Bytes
import SCSI
import Testing

@testable import Replication

/// Writes of a kept mirror that fail at all legs: what may differ there, and what can't.
@Suite struct SenderSuspicionTests {
  private func shape(_ seed: UInt64) -> MirrorShape {
    var shape = MirrorShape(seed: seed)
    shape.isKept = true
    return shape
  }

  @Test func `where no leg did it the range is suspect until it is mended`() {
    var shape = shape(4)
    shape.placesDirectly = false
    let mirror = VirtualMirror(shape)
    for leg in mirror.legs {
      leg.storeStatus = { _, number in
        number == SerialNumber(1) || number == SerialNumber(2)
          ? (2, SenderKeepingTests.medium) : nil
      }
    }
    for index in 0..<6 { mirror.write(block: index * 8, blocks: 8) }
    mirror.run()
    #expect(mirror.violations == [] && mirror.lost.isEmpty && mirror.completions.count == 6)
    #expect(mirror.failures.keys.sorted() == [2, 3])
    #expect(mirror.failures.values.allSatisfy { Set($0.map(\.leg)) == [0, 1, 2] })
    #expect(mirror.suspects.map(\.byteOffset).sorted() == [8 * 512, 16 * 512])
    #expect(mirror.suspects.map(\.length) == [4096, 4096])
    #expect(mirror.sender.isFrozen && mirror.sender.isIdle)
    let lowest = mirror.sender.lowestOpen
    #expect(!SerialNumber(1).precedes(lowest))
    mirror.sender.confirmMended(1, now: mirror.now)
    #expect(mirror.sender.isFrozen && mirror.sender.lowestOpen == lowest)
    mirror.sender.confirmMended(now: mirror.now)
    #expect(!mirror.sender.isFrozen)
    #expect(mirror.sender.lowestOpen == mirror.sender.firstUnusedNumber)
  }

  @Test func `what was refused everywhere before it began is no suspicion`() {
    let refusals: [UnitStatus] = [
      UnitStatus(lun: 0, status: 0x18),
      UnitStatus(lun: 0, status: 2, sense: SenseData.invalidField(2).fixedFormat),
      UnitStatus(lun: 0, status: 2, sense: SenseData.writeProtected.descriptorFormat),
    ]
    let mirror = VirtualMirror(shape(5))
    for leg in mirror.legs { leg.receiver.refusals = [refusals[leg.index]] }
    mirror.write(block: 0, blocks: 4)
    mirror.run()
    #expect(mirror.violations == [] && mirror.lost.isEmpty && mirror.suspects.isEmpty)
    #expect(mirror.failures[1]?.count == 3 && !mirror.sender.isFrozen)
    // One leg that did it: the others leave.
    mirror.legs[0].receiver.refusals = []
    mirror.write(block: 0, blocks: 4)
    mirror.run()
    #expect(mirror.lost.keys.sorted() == [1, 2] && mirror.completions[2] == [])
    #expect(mirror.suspects.isEmpty)
  }

  @Test func `what some refused for a reservation and others did is suspect, and no leg leaves`() {
    let mirror = VirtualMirror(shape(7))
    mirror.legs[1].receiver.refusals = [UnitStatus(lun: 0, status: 0x18)]
    mirror.write(block: 8, blocks: 4)
    mirror.run()
    #expect(mirror.violations == [] && mirror.lost.isEmpty)
    #expect(mirror.failures[1]?.map(\.leg) == [1])
    #expect(mirror.suspects.map(\.byteOffset) == [8 * 512] && mirror.sender.isFrozen)
    mirror.sender.confirmMended(now: mirror.now)
    // One that refuses it otherwise besides leaves.
    mirror.legs[2].receiver.refusals = [
      UnitStatus(lun: 0, status: 2, sense: SenseData.writeProtected.descriptorFormat)
    ]
    mirror.write(block: 8, blocks: 4)
    mirror.run()
    #expect(mirror.lost.keys.sorted() == [2] && mirror.suspects.count == 2)
    #expect(mirror.failures[2]?.contains { $0.leg == 1 } == true)
  }

  @Test func `which failures have stored nothing`() {
    let protected = SenseData(.dataProtect, AdditionalSense(0x27, 5)).fixedFormat
    let other = SenseData(.dataProtect, .none).fixedFormat
    let good = UnitStatus(lun: 0, status: 0)
    let conflict = UnitStatus(lun: 1, status: 0x18)
    let failures: [(LegFailure, Bool)] = [
      (.status(0x18, sense: [], units: []), true),
      (.status(2, sense: SenseData.invalidField(1).descriptorFormat, units: []), true),
      (.status(2, sense: protected, units: []), true), (.status(2, sense: other, units: []), false),
      (.status(2, sense: SenderKeepingTests.medium, units: []), false),
      (.status(2, sense: [], units: []), false),
      (.status(0x18, sense: [], units: [conflict, conflict]), true),
      (.status(0x18, sense: [], units: [good, conflict]), false),
      (.status(8, sense: [], units: []), false), (.status(0x40, sense: [], units: []), false),
      (.deadline, false), (.lost, false), (.bufferChanged, false),
    ]
    for (failure, expected) in failures {
      #expect(failure.hasStoredNothing == expected, "\(failure)")
    }
  }

  @Test func `what nobody has who stays is not GOOD for that`() {
    var shape = shape(6)
    shape.confirmNanoseconds = nil
    let mirror = VirtualMirror(shape)
    mirror.write(block: 0, blocks: 8)
    mirror.run(until: { mirror.sender.counters.dataDatagrams > 4 })
    for leg in 0..<3 { mirror.lose(leg) }
    mirror.drainSender()
    #expect(mirror.completions.isEmpty && mirror.suspects.count == 1)
    mirror.confirm([0, 1])
    mirror.confirm([2])
    mirror.run()
    #expect(mirror.completions[1]?.isEmpty == false && mirror.violations == [])
    var ending = Withheld.Ending(
      token: 1, failures: [LegOutcome(leg: 0, failure: .deadline)], storing: LegSet([1, 2]),
      isCount: false)
    ending.strip([LegSet(0), LegSet(1)])
    #expect(ending.failures.isEmpty && ending.storing == LegSet(2))
    ending.strip(LegSet(2))
    #expect(ending.failures == [LegOutcome(leg: 2, failure: .lost)])
  }
}
