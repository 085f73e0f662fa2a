// REPORT SUPPORTED OPERATION CODES, SPC-4 §6.35: the table of commands, as it is told.
import Bytes

extension LogicalUnit {
  private var supportedCommands: [CommandDescription] {
    CommandTable.rows.filter { $0.provision == .every || takesUnmap }
  }

  func supportedOperationCodes(
    _ wanted: BlockCommand.SupportedOperationCodes
  ) throws(SenseData) -> [UInt8] {
    switch wanted.options {
    case 0: return allCommands(wanted)
    case 1, 2, 3: return try oneCommand(wanted)
    default: throw .invalidField(2)
    }
  }

  private func allCommands(_ wanted: BlockCommand.SupportedOperationCodes) -> [UInt8] {
    var list: [UInt8] = []
    for command in supportedCommands {
      list += [command.code.rawValue, 0]
      list.appendBigEndian(UInt16(command.serviceAction ?? 0))
      // CTDP and SERVACTV.
      let hasAction: UInt8 = command.serviceAction == nil ? 0 : 1
      list += [0, (wanted.includesTimeouts ? 2 : 0) | hasAction]
      list.appendBigEndian(UInt16(command.length))
      if wanted.includesTimeouts { list += command.timeouts }
    }
    var data: [UInt8] = []
    data.appendBigEndian(UInt32(list.count))
    return data + list
  }

  private func oneCommand(
    _ wanted: BlockCommand.SupportedOperationCodes
  ) throws(SenseData) -> [UInt8] {
    let rows = supportedCommands.filter { $0.code.rawValue == wanted.code }
    let hasActions = rows.first?.serviceAction != nil
    // SPC-4 table 304: 001b wants a code without, 010b one with service actions; 011b takes both.
    if wanted.options == 1, hasActions { throw .invalidField(2) }
    if wanted.options == 2, !rows.isEmpty, !hasActions { throw .invalidField(2) }
    let isMatch = { (row: CommandDescription) in
      row.serviceAction.map { UInt16($0) == wanted.serviceAction }
        ?? (wanted.options != 3 || wanted.serviceAction == 0)
    }
    // SUPPORT 001b: there is no such command.
    guard let row = rows.first(where: isMatch) else { return [0, 0x01, 0, 0] }
    var data: [UInt8] = [0, (wanted.includesTimeouts ? 0x80 : 0) | 0x03]
    data.appendBigEndian(UInt16(row.length))
    for index in 0..<row.length { data.append(row.usage[index]) }
    if wanted.includesTimeouts { data += row.timeouts }
    return data
  }
}

extension CommandDescription {
  /// The command timeouts descriptor, SPC-4 §6.35.4.
  fileprivate var timeouts: [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(10 as UInt16)
    data += [0, 0]
    // Nominal: not told; recommended.
    data.appendBigEndian(0 as UInt32)
    data.appendBigEndian(timeoutSeconds)
    return data
  }
}
