import ISCSI
import Testing

/// RFC 7143 §11.14, §11.15.
@Suite struct `A logout with commands in flight` {
  private static func logout(_ reason: UInt8, connectionID: UInt16 = 0) -> PDU {
    var header = BasicHeaderSegment(
      opcode: .logoutRequest, flags: 0x80 | reason, isImmediate: true)
    header.initiatorTaskTag = 99
    header.connectionID = connectionID
    return PDU(header: header)
  }

  /// One command with the owner, one whose data was asked for, one that waits for its turn.
  private static func busy() -> LoneTarget {
    let target = LoneTarget()
    target.request(writeHeader(tag: 1, length: 4, flags: 0xa1), data: [1, 2, 3, 4])
    target.request(writeHeader(tag: 2, length: 8192))
    target.commandNumber += 1
    target.request(writeHeader(tag: 3, length: 4), data: [1, 2, 3, 4])
    return target
  }

  @Test(arguments: [0, 1])
  func `ends them without an answer, and nothing follows its response`(reason: UInt8) throws {
    let target = Self.busy()
    #expect(target.commands.map(\.handle.taskTag) == [1] && target.openTaskCount == 2)
    let answers = target.send(Self.logout(reason))
    #expect(answers.map(\.header.opcode) == [.logoutResponse])
    let response = try #require(answers.first?.header)
    #expect(response.byte2 == 0 && response.initiatorTaskTag == 99)
    // Time2Wait and Time2Retain: nothing is kept, and nothing to wait for.
    #expect(response.word40 == 0)
    let aborted = target.events.compactMap {
      if case .taskAborted(let handle) = $0 { handle.taskTag } else { nil }
    }
    #expect(aborted == [1], "its owner is told, to forget it where it has not begun")
    #expect(target.isClosed && target.openTaskCount == 0)

    // Whatever comes now, from below or from the peer, is not answered and goes nowhere.
    let before = target.commands.count
    target.session.completeCommand(target.commands[0].handle, CommandCompletion(status: 0))
    target.session.sendPing()
    target.session.sendAsyncMessage(.sessionDrop)
    let late = target.send(
      dataOut(tag: 2, transferTag: 1, offset: 0, [UInt8](repeating: 7, count: 8192)))
    let next = target.send(Self.logout(0))
    #expect(late.isEmpty && next.isEmpty && target.commands.count == before)
    #expect(target.droppedCount == 2)
  }

  @Test func `of another connection, or for its recovery, leaves everything as it is`() {
    for (reason, connection, code) in [(1, 7, 1), (2, 0, 2)] as [(UInt8, UInt16, UInt8)] {
      let target = Self.busy()
      let answers = target.send(Self.logout(reason, connectionID: connection))
      #expect(answers.map(\.header.opcode) == [.logoutResponse])
      #expect(answers.first?.header.byte2 == code)
      #expect(!target.isClosed && target.openTaskCount == 2)
      target.session.completeCommand(target.commands[0].handle, CommandCompletion(status: 0))
      let answered = target.session.pollOutput()?.header.opcode
      #expect(answered == .scsiResponse)
    }
    let target = Self.busy()
    let answers = target.send(Self.logout(3))
    #expect(answers.first?.rejectReason == RejectReason.invalidPDUField.rawValue)
    #expect(!target.isClosed)
  }

  @Test func `that is numbered waits for its turn, as commands do`() {
    let target = LoneTarget()
    var early = Self.logout(0)
    early.header.isImmediate = false
    early.header.word24 = 2
    let none = target.send(early)
    #expect(none.isEmpty && !target.isClosed)
    let both = target.request(writeHeader(tag: 1, length: 4), data: [1, 2, 3, 4])
    #expect(both.map(\.header.opcode) == [.logoutResponse])
    #expect(target.commands.count == 1 && target.isClosed)
  }
}
