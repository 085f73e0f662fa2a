import Bytes
import Testing

@testable import SCSI

@Suite struct `What an initiator reads of persistent reservations` {
  private func reservations(
    _ registered: [UInt64], _ type: ReservationType? = nil
  ) -> Reservations {
    var reservations = Reservations()
    for (index, key) in registered.enumerated() {
      let port = InitiatorPort(name: "iqn.2026-01.test:\(index)", isid: 1)
      reservations.registrations.append(PersistentRegistration(port: port, key: key))
      guard index == 0, let type else { continue }
      reservations.reservation = PersistentReservation(type: type, holder: port)
    }
    return reservations
  }

  @Test(arguments: ReservationType.allCases)
  func `is what a target of ours tells`(type: ReservationType) throws {
    let told = reservations([7, 0xffff_ffff_ffff_ffff, 7], type)
    let keys = told.data(.readKeys, canKeep: false)
    let held = told.data(.readReservation, canKeep: false)
    #expect(RegisteredKeys(keys.span.bytes)?.keys == [7, 0xffff_ffff_ffff_ffff, 7])
    #expect(
      ReservationAnswer(held.span.bytes)?.held
        == HeldReservation(key: type.isOfAll ? 0 : 7, type: type))
  }

  @Test func `of nobody is nothing, and not an answer that can't be read`() throws {
    let told = reservations([])
    let held = told.data(.readReservation, canKeep: false)
    #expect(RegisteredKeys(told.data(.readKeys, canKeep: false).span.bytes)?.keys == [])
    let read = ReservationAnswer(held.span.bytes)
    let answer = try #require(read)
    #expect(answer.held == nil)
  }

  @Test func `that is cut off, or of no type that there is, is none`() {
    let told = reservations([7, 8], .exclusiveAccess)
    let keys = told.data(.readKeys, canKeep: false)
    let held = told.data(.readReservation, canKeep: false)
    for count in 0..<keys.count {
      #expect(RegisteredKeys(keys.span.bytes.extracting(first: count)) == nil)
    }
    for count in 0..<held.count {
      #expect(ReservationAnswer(held.span.bytes.extracting(first: count)) == nil)
    }
    var strange = held
    strange[21] = 2
    #expect(ReservationAnswer(strange.span.bytes) == nil)
    var odd = keys
    odd[7] = 9
    #expect(RegisteredKeys(odd.span.bytes) == nil)
  }

  @Test func `is asked for in words that a target of ours takes`() throws {
    let out = CommandDescriptorBlock.persistentReserveOut(
      .preempt, type: .writeExclusiveRegistrants)
    let description = try CommandTable.description(of: out)
    try description.check(out)
    #expect(
      try BlockCommand.command(description, out)
        == .persistentReserveOut(
          .init(action: .preempt, scope: 0, type: 5, parameterListLength: 24)))
    let words = PersistentReserveWords(key: 1, actionKey: 2).bytes
    let parameters = try PersistentReserveParameters(words.span.bytes, .preempt)
    #expect(parameters.key == 1 && parameters.actionKey == 2 && !parameters.isKept)
    let into = CommandDescriptorBlock.persistentReserveIn(.readKeys, allocationLength: 0x1234)
    #expect(
      try BlockCommand.command(try CommandTable.description(of: into), into)
        == .persistentReserveIn(.readKeys, allocationLength: 0x1234))
  }
}
