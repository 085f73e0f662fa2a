// What is on its way for a write that was aborted with others: RFC 7143 §4.2.3.3.
import Bytes
import ISCSI
import Testing

extension TaskManagementTests {
  @Test(arguments: [UInt8(2), 4, 5, 6, 7], [true, false])
  func `what was asked for is awaited before a set ends, for a while`(
    function: UInt8, comes: Bool
  ) throws {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    let request = try #require(target.request(writeHeader(tag: 3, length: 4096)).first).header
    target.request(writeHeader(tag: 4, length: 512), data: pattern(512))
    #expect(manage(target, function).isEmpty)
    #expect(target.events.filter(\.isManagement).isEmpty)
    // What the owner has is answered no more, what is awaited is nobody's to abort again.
    let handle = target.commands[0].handle
    #expect(target.take { $0.completeCommand(handle, CommandCompletion(status: 0)) }.isEmpty)
    #expect(manage(target, 1, tag: 3, as: 0x501).map(\.header.byte2) == [1])
    #expect(target.request(writeHeader(tag: 3, length: 0)).map(\.rejectReason) == [7])
    let first = dataOut(
      tag: 3, transferTag: request.word20, offset: 0, isFinal: false, pattern(512))
    #expect(target.send(first).isEmpty)
    if comes {
      let last = dataOut(
        tag: 3, transferTag: request.word20, offset: 512, number: 1, pattern(512))
      #expect(target.send(last).isEmpty)
    } else {
      var now: UInt64 = 0
      for _ in 0..<6 {
        now = target.session.nextDeadline(now: now) ?? now
        #expect(target.take { $0.handleTimeout(now: now) }.isEmpty)
      }
      #expect(now <= 1_500_000_000)
    }
    let managements = target.events.filter(\.isManagement)
    #expect(managements.count == 1 && target.openTaskCount == 0)
    guard case .taskManagement(let management)? = managements.first else { return }
    #expect(management.aborted == [handle])
    #expect(target.take { $0.completeTaskManagement(management.handle, .complete) }.count == 1)
    let none = target.session.nextDeadline(now: 0)
    #expect(none == nil)
  }

  @Test func `a second reset awaits what the first one awaits`() throws {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    let request = try #require(target.request(writeHeader(tag: 3, length: 1024)).first).header
    #expect(manage(target, 2).isEmpty)
    #expect(manage(target, 5, as: 0x501).isEmpty)
    // Another unit has nothing that is awaited.
    #expect(manage(target, 5, lun: 1 << 48, as: 0x502).isEmpty)
    #expect(target.events.filter(\.isManagement).count == 1)
    target.send(dataOut(tag: 3, transferTag: request.word20, offset: 0, pattern(1024)))
    let tags = target.events.compactMap {
      if case .taskManagement(let management) = $0 { management.handle.taskTag } else { nil }
    }
    #expect(tags == [0x502, 0x500, 0x501] && target.openTaskCount == 0)
  }

  @Test(arguments: [true, false])
  func `what is on its way of a write that another session ended is dropped`(comes: Bool) throws {
    let target = LoneTarget(offers: "InitialR2T=Yes")
    let request = try #require(target.request(writeHeader(tag: 3, length: 1024)).first).header
    target.request(writeHeader(tag: 4, length: 512), data: pattern(512))
    let handle = try #require(target.commands.first).handle
    let (count, owned) = target.session.abortTasks(lun: 0)
    #expect(count == 2 && owned == [handle])
    let first = dataOut(
      tag: 3, transferTag: request.word20, offset: 0, isFinal: false, pattern(512))
    #expect(target.send(first).isEmpty && target.droppedCount == 1)
    // Those that are ended already aren't ended again.
    let again = target.session.abortTasks(lun: nil)
    #expect(again.count == 0 && again.owned.isEmpty)
    if comes {
      let last = dataOut(
        tag: 3, transferTag: request.word20, offset: 512, number: 1, pattern(512))
      #expect(target.send(last).isEmpty && target.droppedCount == 2)
    } else {
      var now: UInt64 = 0
      for _ in 0..<6 {
        now = target.session.nextDeadline(now: now) ?? now
        #expect(target.take { $0.handleTimeout(now: now) }.isEmpty)
      }
    }
    #expect(target.openTaskCount == 0 && target.session.promisedByteCount == 0)
    #expect(target.request(writeHeader(tag: 3, length: 0)).isEmpty && target.commands.count == 2)
  }
}
