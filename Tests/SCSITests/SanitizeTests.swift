import Bytes
import SCSI
import Testing

struct SanitizeTests {
  func overwrite(_ length: Int, immediate: Bool = false) -> CDB {
    cdb(0x48, immediate ? 0x81 : 1, 0, 0, 0, 0, 0, UInt8(length >> 8), UInt8(length & 0xff))
  }

  func parameters(_ pattern: [UInt8], passes: UInt8 = 1) -> [UInt8] {
    [passes, 0, UInt8(pattern.count >> 8), UInt8(pattern.count & 0xff)] + pattern
  }

  func running(_ action: UInt8 = 0xa2) -> LiveDisk {
    let device = LiveDisk(disk(isRemovable: true, sessions: [one, two]))
    guard case .sanitize = device.send(cdb(0x48, action)) else { fatalError("not begun") }
    return device
  }

  @Test func `while it runs the disk is not ready, whatever is reset or lost`() {
    let device = running()
    device.device.noteSanitized(250, of: 1000)
    for step in 0..<3 {
      let busy = device.result(cdb(0), from: two)?.sense
      #expect(busy?.additional == .sanitizeInProgress && busy?.key == .notReady)
      #expect(busy?.progress == 0x4000)
      #expect(device.result(blockCommand(.read16, 0, 1))?.sense == busy)
      #expect(device.result(cdb(0x1b, 0, 0, 0, 3))?.sense == busy)
      #expect(device.result(cdb(0x48, 2))?.sense == busy)
      #expect(device.result(cdb(0x12, 0, 0, 0, 36))?.status == .good)
      #expect(device.refusal(ofWriteFrom: 2)?.sense == busy)
      if step == 0 {
        device.reset()
        for nexus in [one, two] { _ = device.result(cdb(0), from: nexus) }
      } else {
        device.detach(1)
        device.attach(one)
      }
    }
    #expect(device.finishSanitize(nil).status == .good)
    #expect(device.result(cdb(0), from: two)?.status == .good)
  }

  @Test func `a failure stays until another one succeeds, or is left where that was allowed`() {
    for allowsExit in [true, false] {
      let device = running(allowsExit ? 0xa2 : 0x82)
      #expect(device.finishSanitize(.writeError(offset: 0)).status == .checkCondition)
      let failed = SenseData(.mediumError, .sanitizeFailed)
      #expect(device.result(cdb(0))?.sense == failed)
      let exit = device.result(cdb(0x48, 0x1f))
      #expect((exit?.status == .good) == allowsExit)
      #expect(device.result(cdb(0))?.sense == (allowsExit ? nil : failed))
      guard case .sanitize = device.send(cdb(0x48, 3)) else { Issue.record(); return }
      #expect(device.finishSanitize(nil).status == .good)
      #expect(device.result(cdb(0))?.status == .good)
    }
  }

  @Test func `patterns fill blocks, and passes may invert`() throws {
    let device = LiveDisk(disk())
    let data = parameters([1, 2, 3], passes: 0x80 | 3)
    guard case .sanitize(let request) = device.send(overwrite(7), data) else {
      Issue.record("not begun")
      return
    }
    #expect(request.passes == 3 && request.inverts && !request.isImmediate)
    #expect(request.block(pass: 2, blockLength: 7) == [1, 2, 3, 1, 2, 3, 1])
    #expect(request.block(pass: 1, blockLength: 3) == [0xfe, 0xfd, 0xfc])
    #expect(request.block(pass: 0, blockLength: 2) == [1, 2])
  }

  @Test func `lengths and counts that can't be are refused`() {
    let device = LiveDisk(disk())
    let block = [UInt8](repeating: 7, count: 512)
    for length in [0, 1, 2, 3, 4, 517] {
      #expect(device.result(overwrite(length), block + block)?.sense == .invalidField(7))
    }
    for data in [
      parameters(block, passes: 0), parameters(block, passes: 0x41), [1, 1, 2, 0] + block,
      [1, 0, 0, 0] + block, [1, 0, 2, 4] + block,
    ] {
      #expect(device.result(overwrite(516), data)?.sense == .invalidField(7))
    }
    for action in [2, 3, 0x1f] as [UInt8] {
      #expect(
        device.result(cdb(0x48, action, 0, 0, 0, 0, 0, 0, 8), block)?.sense == .invalidField(7))
    }
    #expect(device.isOpenToAll)
  }

  @Test func `nothing that is protected, mirrored or another's is sanitized`() {
    let guarded = LiveDisk(disk(isWriteProtected: true))
    #expect(guarded.result(cdb(0x48, 2))?.sense == .writeProtected)
    let mirrored = LiveDisk(disk(sessions: [one, two]))
    #expect(mirrored.result(cdb(0x48, 2), isMirrored: true)?.sense == .writeProtected)
    _ = mirrored.result(cdb(0x16), from: two)
    #expect(mirrored.result(cdb(0x48, 2))?.status == .reservationConflict)
  }

  @Test func `what was begun is remembered`() {
    for (action, data) in [(0xa1, parameters([9, 8])), (0x82, [])] as [(UInt8, [UInt8])] {
      let device = LiveDisk(disk())
      guard
        case .sanitize(let request) = device.send(
          cdb(0x48, action, 0, 0, 0, 0, 0, 0, UInt8(data.count)), data)
      else { Issue.record(); return }
      let next = LiveDisk(disk())
      #expect(next.restore(device.device.keptState))
      #expect(next.device.pendingSanitize?.pattern == request.pattern)
      #expect(next.device.pendingSanitize?.action == request.action)
      #expect(next.result(cdb(0))?.sense?.additional == .sanitizeInProgress)
    }
  }

  @Test func `a kept SANITIZE of no passes is not taken up`() {
    let state: [UInt8] = [0, 0, 1, 3, 1, 1, 0, 0, 0, 0, 0]
    #expect(LiveDisk(disk()).restore(state))
    for passes in [0, 32, 255] as [UInt8] {
      var odd = state
      odd[5] = passes
      #expect(!LiveDisk(disk()).restore(odd))
    }
  }
}
