import Testing

@testable import SCSI

/// Ordinary changes of a medium that a mirror may have.
@Suite struct MediumGateTests {
  @Test func `it is quiet when as many have ended as began`() {
    var gate = MediumGate()
    #expect(gate.isQuiet)
    gate.begin()
    gate.begin()
    gate.end()
    #expect(!gate.isQuiet)
    gate.end()
    #expect(gate.isQuiet)
  }

  @Test(arguments: [false, true]) func `what changes a mirror's medium is refused`(
    isMirrored: Bool
  ) throws {
    let range = ByteRange(offset: 0, length: 512)
    let write = DiskRequest(.write(range, isForced: false))
    let refusal = write.refusal(isMirrored: isMirrored)
    #expect((refusal != nil) == isMirrored)
    if let refusal {
      #expect(refusal.status == .checkCondition)
      #expect(refusal.sense?.key == .dataProtect)
      #expect(refusal.sense?.additional == .writeProtected)
    }
    #expect(DiskRequest(.read(range)).refusal(isMirrored: isMirrored) == nil)
  }
}
