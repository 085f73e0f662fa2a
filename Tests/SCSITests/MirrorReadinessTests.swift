import Testing

@testable import SCSI

/// What a kept mirror leaves of a disk for ordinary commands.
struct MirrorReadinessTests {
  private func around(_ readiness: MirrorReadiness) -> Surroundings {
    Surroundings(units: [], isMirrored: true, readiness: readiness)
  }

  private func outcome(
    _ block: CommandDescriptorBlock, _ readiness: MirrorReadiness, dataOut: Int = 0
  ) -> SenseData? {
    var device = disk()
    _ = device.takeAttention(of: one.session)
    let request = CommandRequest(
      cdb: block.bytes, expectedDataIn: 65_536, expectedDataOut: dataOut)
    guard case .done(let result) = device.begin(request, from: one, around(readiness)) else {
      return nil
    }
    return SenseData(result.senseBytes.span.bytes)
  }

  @Test(arguments: [
    (MirrorReadiness.mustBeOpened, AdditionalSense(0x04, 0x02)),
    (.beingCopied, AdditionalSense(0x04, 0x05)),
  ]) func `reads and tests are refused as not ready`(
    readiness: MirrorReadiness, additional: AdditionalSense
  ) {
    let blocks = BlockRange(address: 0, count: 1)
    for block in [
      CommandDescriptorBlock(.testUnitReady), .read16(blocks), .synchronizeCache16,
    ] {
      let sense = outcome(block, readiness)
      #expect(sense?.key == .notReady && sense?.additional == additional, "\(block)")
      #expect(outcome(block, .ready)?.key != .notReady, "\(block)")
    }
  }

  @Test func `what is not about the data goes on`() {
    for block in [
      CommandDescriptorBlock.inquiry(), .readCapacity16(), CommandDescriptorBlock(.readCapacity10),
    ] {
      #expect(outcome(block, .mustBeOpened) == nil, "\(block)")
    }
    // A change is for whoever makes it to refuse: as protected, not as not ready.
    let blocks = BlockRange(address: 0, count: 1)
    #expect(outcome(.write16(blocks), .beingCopied, dataOut: 512) == nil)
  }

  @Test func `REQUEST SENSE tells it`() {
    var device = disk()
    _ = device.takeAttention(of: one.session)
    var block = CommandDescriptorBlock(.requestSense)
    block[4] = 18
    let request = CommandRequest(cdb: block.bytes, expectedDataIn: 18, expectedDataOut: 0)
    guard case .done(let result) = device.begin(request, from: one, around(.mustBeOpened)) else {
      Issue.record("no sense")
      return
    }
    #expect(SenseData(result.dataIn.span.bytes)?.additional == .initializingCommandRequired)
  }
}
