import Bytes

/// The list of a target's logical units, SPC-4 §6.33, from both sides.
package enum ReportLUNs {
  /// The parameter data for a target's inventory.
  package static func data(
    _ selection: UInt8, _ allocationLength: Int, _ inventory: [LogicalUnitNumber]
  ) throws(SenseData) -> [UInt8] {
    // SPC-4 §6.33: fewer than 16 bytes of room is an error; 01h asks for well known units only.
    guard allocationLength >= 16 else { throw .invalidField(6) }
    guard selection <= 2 else { throw .invalidField(2) }
    let listed = selection == 1 ? [] : inventory.sorted()
    var data: [UInt8] = []
    data.appendBigEndian(UInt32(listed.count * 8))
    data.appendBigEndian(0 as UInt32)
    for number in listed { data.appendBigEndian(number.field) }
    return data
  }

  /// The numbers in such data, those of other forms left out; nil when there is no header.
  package static func numbers(in data: RawSpan) -> [LogicalUnitNumber]? {
    guard data.byteCount >= 8 else { return nil }
    let count = min(Int(data.bigEndian32(at: 0)), data.byteCount - 8) / 8
    return (0..<count).compactMap {
      LogicalUnitNumber(field: data.bigEndian64(at: 8 + $0 * 8))
    }
  }
}

/// A LUN of a target where no disk is: it lists what there is and refuses the rest.
package enum AbsentLogicalUnit {
  /// The end of a command to it.
  package static func begin(
    _ request: CommandRequest, inventory: [LogicalUnitNumber]
  ) -> CommandResult {
    do throws(SenseData) {
      switch try BlockCommand(cdb: request.cdb) {
      case .reportLUNs(let selection, let room):
        let data = try ReportLUNs.data(selection, room, inventory)
        return CommandResult(dataIn: Array(data.prefix(room)))
      case .inquiry(page: nil, let room):
        // SPC-4 §6.6.2: peripheral qualifier 011b, no device can be here.
        var data = [UInt8](repeating: 0, count: 36)
        data.replaceSubrange(0..<5, with: [0x7f, 0, 0x06, 0x12, 31])
        return CommandResult(dataIn: Array(data.prefix(room)))
      case .requestSense(isDescriptorFormat: false, let room):
        // SAM-5 §5.14.4: the sense is delivered as parameter data, the status is GOOD.
        let data = SenseData.logicalUnitNotSupported.fixedFormat
        return CommandResult(dataIn: Array(data.prefix(room)))
      default: throw .logicalUnitNotSupported
      }
    } catch {
      // SPC-4: an unknown LUN refuses first of all for being unknown.
      return CommandResult(error == .invalidOperationCode ? .logicalUnitNotSupported : error)
    }
  }
}
