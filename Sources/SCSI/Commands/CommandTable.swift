// The one table of commands. From it come what is decoded and what is refused, what reservations
// and the states of a medium leave of it, what REPORT SUPPORTED OPERATION CODES tells, and the
// table in the documentation, which a test compares. In the order of the codes.

/// All commands that a disk of ours knows.
package enum CommandTable {
  package static let rows: [CommandDescription] = [
    CommandDescription(
      .testUnitReady, "TEST UNIT READY",
      "00 00 00 00 00 00", .medium, .legacy),
    CommandDescription(
      .requestSense, "REQUEST SENSE",
      "03 01 00 00 ff 00", .always, .none),
    CommandDescription(
      .read6, "READ (6)",
      "08 1f ff ff ff 00", .medium, .reading),
    CommandDescription(
      .write6, "WRITE (6)",
      "0a 1f ff ff ff 00", .medium, .writing, changes: true),
    CommandDescription(
      .inquiry, "INQUIRY",
      "12 01 ff ff ff 00", .always, .none),
    CommandDescription(
      .modeSelect6, "MODE SELECT (6)",
      "15 10 00 00 ff 00", .quiet, .writing),
    CommandDescription(
      .reserve6, "RESERVE (6)",
      "16 00 00 00 00 00", .quiet, .own),
    CommandDescription(
      .release6, "RELEASE (6)",
      "17 00 00 00 00 00", .quiet, .own),
    CommandDescription(
      .modeSense6, "MODE SENSE (6)",
      "1a 08 ff ff ff 00", .always, .reading),
    CommandDescription(
      .startStopUnit, "START STOP UNIT",
      "1b 01 00 0f f7 00", .quiet, .own, seconds: 60),
    CommandDescription(
      .preventAllowMediumRemoval, "PREVENT ALLOW MEDIUM REMOVAL",
      "1e 00 00 00 03 00", .quiet, .own),
    CommandDescription(
      .readCapacity10, "READ CAPACITY (10)",
      "25 00 00 00 00 00 00 00 00 00", .medium, .legacy),
    CommandDescription(
      .read10, "READ (10)",
      "28 1a ff ff ff ff 1f ff ff 00", .medium, .reading),
    CommandDescription(
      .write10, "WRITE (10)",
      "2a 1a ff ff ff ff 1f ff ff 00", .medium, .writing, changes: true),
    CommandDescription(
      .writeAndVerify10, "WRITE AND VERIFY (10)",
      "2e 12 ff ff ff ff 1f ff ff 00", .medium, .writing, changes: true),
    CommandDescription(
      .verify10, "VERIFY (10)",
      "2f 12 ff ff ff ff 1f ff ff 00", .medium, .reading),
    CommandDescription(
      .prefetch10, "PRE-FETCH (10)",
      "34 02 ff ff ff ff 1f ff ff 00", .medium, .reading),
    CommandDescription(
      .synchronizeCache10, "SYNCHRONIZE CACHE (10)",
      "35 06 ff ff ff ff 1f ff ff 00", .medium, .writing, seconds: 60),
    CommandDescription(
      .readDefectData10, "READ DEFECT DATA (10)",
      "37 00 1f 00 00 00 00 ff ff 00", .medium, .reading),
    CommandDescription(
      .writeSame10, "WRITE SAME (10)",
      "41 08 ff ff ff ff 1f ff ff 00", .medium, .writing, changes: true, seconds: 60),
    CommandDescription(
      .unmap, "UNMAP",
      "42 00 00 00 00 00 1f ff ff 00", .medium, .writing, changes: true, for: .unmapping,
      seconds: 60),
    CommandDescription(
      .sanitize, action: 0x01, "SANITIZE: OVERWRITE",
      "48 a1 00 00 00 00 00 ff ff 00", .quiet, .writing, changes: true, seconds: 86_400),
    CommandDescription(
      .sanitize, action: 0x02, "SANITIZE: BLOCK ERASE",
      "48 a2 00 00 00 00 00 ff ff 00", .quiet, .writing, changes: true, seconds: 86_400),
    CommandDescription(
      .sanitize, action: 0x03, "SANITIZE: CRYPTOGRAPHIC ERASE",
      "48 a3 00 00 00 00 00 ff ff 00", .quiet, .writing, changes: true, seconds: 86_400),
    CommandDescription(
      .sanitize, action: 0x1f, "SANITIZE: EXIT FAILURE MODE",
      "48 bf 00 00 00 00 00 ff ff 00", .quiet, .writing),
    CommandDescription(
      .modeSelect10, "MODE SELECT (10)",
      "55 10 00 00 00 00 00 ff ff 00", .quiet, .writing),
    CommandDescription(
      .modeSense10, "MODE SENSE (10)",
      "5a 08 ff ff 00 00 00 ff ff 00", .always, .reading),
    CommandDescription(
      .persistentReserveIn, action: 0x00, "PERSISTENT RESERVE IN: READ KEYS",
      "5e 00 00 00 00 00 00 ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveIn, action: 0x01, "PERSISTENT RESERVE IN: READ RESERVATION",
      "5e 01 00 00 00 00 00 ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveIn, action: 0x02, "PERSISTENT RESERVE IN: REPORT CAPABILITIES",
      "5e 02 00 00 00 00 00 ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveIn, action: 0x03, "PERSISTENT RESERVE IN: READ FULL STATUS",
      "5e 03 00 00 00 00 00 ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveOut, action: 0x00, "PERSISTENT RESERVE OUT: REGISTER",
      "5f 00 ff 00 00 ff ff ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveOut, action: 0x01, "PERSISTENT RESERVE OUT: RESERVE",
      "5f 01 ff 00 00 ff ff ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveOut, action: 0x02, "PERSISTENT RESERVE OUT: RELEASE",
      "5f 02 ff 00 00 ff ff ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveOut, action: 0x03, "PERSISTENT RESERVE OUT: CLEAR",
      "5f 03 ff 00 00 ff ff ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveOut, action: 0x04, "PERSISTENT RESERVE OUT: PREEMPT",
      "5f 04 ff 00 00 ff ff ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveOut, action: 0x05, "PERSISTENT RESERVE OUT: PREEMPT AND ABORT",
      "5f 05 ff 00 00 ff ff ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveOut, action: 0x06,
      "PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY",
      "5f 06 ff 00 00 ff ff ff ff 00", .quiet, .own),
    CommandDescription(
      .persistentReserveOut, action: 0x07, "PERSISTENT RESERVE OUT: REGISTER AND MOVE",
      "5f 07 ff 00 00 ff ff ff ff 00", .quiet, .own),
    CommandDescription(
      .extendedCopy, action: 0x00, "EXTENDED COPY (LID1)",
      "83 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", .medium, .writing, changes: true,
      seconds: 60),
    CommandDescription(
      .receiveCopyResults, action: 0x00, "RECEIVE COPY RESULTS: COPY STATUS",
      "84 00 ff 00 00 00 00 00 00 00 ff ff ff ff 00 00", .quiet, .reading),
    CommandDescription(
      .receiveCopyResults, action: 0x03, "RECEIVE COPY RESULTS: OPERATING PARAMETERS",
      "84 03 ff 00 00 00 00 00 00 00 ff ff ff ff 00 00", .quiet, .reading),
    CommandDescription(
      .read16, "READ (16)",
      "88 1a ff ff ff ff ff ff ff ff ff ff ff ff 1f 00", .medium, .reading),
    CommandDescription(
      .compareAndWrite, "COMPARE AND WRITE",
      "89 1a ff ff ff ff ff ff ff ff 00 00 00 ff 1f 00", .medium, .writing, changes: true),
    CommandDescription(
      .write16, "WRITE (16)",
      "8a 1a ff ff ff ff ff ff ff ff ff ff ff ff 1f 00", .medium, .writing, changes: true),
    CommandDescription(
      .orWrite16, "ORWRITE (16)",
      "8b 1a ff ff ff ff ff ff ff ff ff ff ff ff 1f 00", .medium, .writing, changes: true),
    CommandDescription(
      .writeAndVerify16, "WRITE AND VERIFY (16)",
      "8e 12 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00", .medium, .writing, changes: true),
    CommandDescription(
      .verify16, "VERIFY (16)",
      "8f 12 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00", .medium, .reading),
    CommandDescription(
      .prefetch16, "PRE-FETCH (16)",
      "90 02 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00", .medium, .reading),
    CommandDescription(
      .synchronizeCache16, "SYNCHRONIZE CACHE (16)",
      "91 06 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00", .medium, .writing, seconds: 60),
    CommandDescription(
      .writeSame16, "WRITE SAME (16)",
      "93 09 ff ff ff ff ff ff ff ff ff ff ff ff 1f 00", .medium, .writing, changes: true,
      seconds: 60),
    CommandDescription(
      .writeAtomic16, "WRITE ATOMIC (16)",
      "9c 18 ff ff ff ff ff ff ff ff 00 00 ff ff 1f 00", .medium, .writing, changes: true),
    CommandDescription(
      .serviceActionIn16, action: 0x10, "READ CAPACITY (16)",
      "9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", .medium, .legacy),
    CommandDescription(
      .serviceActionIn16, action: 0x12, "GET LBA STATUS",
      "9e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", .medium, .reading),
    CommandDescription(
      .reportLUNs, "REPORT LUNS",
      "a0 00 ff 00 00 00 ff ff ff ff 00 00", .always, .none),
    CommandDescription(
      .maintenanceIn, action: 0x0c, "REPORT SUPPORTED OPERATION CODES",
      "a3 0c 87 ff ff ff ff ff ff ff 00 00", .always, .reading),
    CommandDescription(
      .read12, "READ (12)",
      "a8 1a ff ff ff ff ff ff ff ff 1f 00", .medium, .reading),
    CommandDescription(
      .write12, "WRITE (12)",
      "aa 1a ff ff ff ff ff ff ff ff 1f 00", .medium, .writing, changes: true),
    CommandDescription(
      .writeAndVerify12, "WRITE AND VERIFY (12)",
      "ae 12 ff ff ff ff ff ff ff ff 1f 00", .medium, .writing, changes: true),
    CommandDescription(
      .verify12, "VERIFY (12)",
      "af 12 ff ff ff ff ff ff ff ff 1f 00", .medium, .reading),
    CommandDescription(
      .readDefectData12, "READ DEFECT DATA (12)",
      "b7 1f ff ff ff ff ff ff ff ff 00 00", .medium, .reading),
  ]

  /// Where the rows of a code begin and end, for all codes.
  private static let places: [Range<Int>] = (0...255).map { code in
    let first = rows.firstIndex { $0.code.rawValue >= code } ?? rows.count
    return first..<(rows.firstIndex { $0.code.rawValue > code } ?? rows.count)
  }

  /// The rows of one operation code: several where service actions tell them apart.
  static func rows(of code: UInt8) -> ArraySlice<CommandDescription> { rows[places[Int(code)]] }

  /// The row of a command; throws the sense of one that isn't known.
  package static func description(
    of cdb: CommandDescriptorBlock
  ) throws(SenseData) -> CommandDescription {
    let place = places[Int(cdb[0])]
    guard let first = place.first else { throw .invalidOperationCode }
    guard rows[first].serviceAction != nil else { return rows[first] }
    for index in place where rows[index].serviceAction == cdb[1] & 0x1f { return rows[index] }
    // SPC-4 §4.2.5.2: a service action that isn't known is an invalid field.
    throw .invalidField(1)
  }
}
