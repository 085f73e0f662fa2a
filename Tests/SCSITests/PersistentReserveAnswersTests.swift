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

  private func keys(_ bytes: [UInt8]) -> [UInt64]? { RegisteredKeys(bytes.span.bytes)?.keys }

  private func answer(_ bytes: [UInt8]) -> ReservationAnswer? {
    ReservationAnswer(bytes.span.bytes)
  }

  @Test(arguments: ReservationType.allCases)
  func `is what a target of ours tells`(type: ReservationType) throws {
    let told = reservations([7, 0xffff_ffff_ffff_ffff, 7], type)
    let listed = told.data(.readKeys, canKeep: false)
    let held = told.data(.readReservation, canKeep: false)
    #expect(keys(listed) == [7, 0xffff_ffff_ffff_ffff, 7])
    #expect(
      answer(held)?.held
        == HeldReservation(key: type.isOfAll ? 0 : 7, type: type))
  }

  @Test func `of nobody is nothing, and not an answer that can't be read`() throws {
    let nobody = reservations([])
    let held = nobody.data(.readReservation, canKeep: false)
    #expect(keys(nobody.data(.readKeys, canKeep: false)) == [])
    let told = try #require(answer(held))
    #expect(told.held == nil)
  }

  @Test func `that is cut off, or of no type that there is, is none`() {
    let told = reservations([7, 8], .exclusiveAccess)
    let listed = told.data(.readKeys, canKeep: false)
    let held = told.data(.readReservation, canKeep: false)
    for count in 0..<listed.count {
      #expect(keys(Array(listed.prefix(count))) == nil)
    }
    for count in 0..<held.count {
      #expect(answer(Array(held.prefix(count))) == nil)
    }
    var strange = held
    strange[21] = 2
    #expect(answer(strange) == nil)
    var odd = listed
    odd[7] = 9
    #expect(keys(odd) == nil)
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
