import Bytes
import SCSI
import Testing

struct CommandTableTests {
  @Test func `the rows are in order, once each, and as long as their group says`() {
    let keys = CommandTable.rows.map { Int($0.code.rawValue) << 8 | Int($0.serviceAction ?? 0) }
    #expect(keys == keys.sorted())
    #expect(Set(keys).count == keys.count)
    for row in CommandTable.rows {
      #expect(CommandDescriptorBlock(row.code).length == row.length, "\(row.name)")
      #expect(row.usage[row.length - 1] == 0, "\(row.name) looks at its control byte")
      if let action = row.serviceAction {
        #expect(row.usage[1] & 0x1f == action, "\(row.name)")
      }
    }
    #expect(Set(CommandTable.rows.map(\.code)) == Set(OperationCode.allCases))
  }

  /// Every row, decoded bit by bit: those it has are taken, all others refused by their byte.
  @Test func `a reserved bit is refused, and named`() throws {
    for row in CommandTable.rows {
      for byte in 1..<row.length {
        for bit in 0..<8 {
          var block = CommandDescriptorBlock(row.code)
          block[1] = row.serviceAction ?? 0
          let mask: UInt8 = 1 << bit
          let isAction = byte == 1 && row.serviceAction != nil && mask & 0x1f != 0
          guard !isAction else { continue }
          block[byte] |= mask
          let isKnown = row.usage[byte] & mask != 0
          do throws(SenseData) {
            _ = try BlockCommand(cdb: block.bytes)
            #expect(isKnown, "\(row.name): byte \(byte), bit \(bit) is taken")
          } catch {
            #expect(!isKnown || error == .invalidField(2), "\(row.name): \(error)")
            if !isKnown { #expect(error == .invalidField(byte), "\(row.name): \(error)") }
          }
        }
      }
    }
  }

  @Test(arguments: [0x48, 0x5e, 0x5f, 0x83, 0x84, 0x9e, 0xa3] as [UInt8])
  func `an unknown service action is an invalid field`(_ code: UInt8) {
    let known = Set(
      CommandTable.rows.filter { $0.code.rawValue == code }.compactMap(\.serviceAction))
    for action in 0..<32 as Range<UInt8> where !known.contains(action) {
      #expect(throws: SenseData.invalidField(1)) { try BlockCommand(cdb: cdb(code, action)) }
    }
  }
}

struct SupportedOperationCodesTests {
  func ask(_ device: DeviceServer, _ options: UInt8, _ code: UInt8 = 0, _ action: UInt8 = 0)
    -> [UInt8]?
  {
    device.data(cdb(0xa3, 0x0c, options, code, 0, action, 0, 0, 0x10, 0))
  }

  @Test func `all commands are listed, with timeouts where they are wanted`() throws {
    for (timeouts, size) in [(0 as UInt8, 8), (0x80, 20)] {
      let data = try #require(ask(disk(), timeouts))
      let length = Int(data.span.bytes.bigEndian32(at: 0))
      #expect(length == data.count - 4)
      #expect(length == CommandTable.rows.count * size)
      for (index, row) in CommandTable.rows.enumerated() {
        let offset = 4 + index * size
        #expect(data[offset] == row.code.rawValue)
        #expect(data[offset + 3] == row.serviceAction ?? 0)
        #expect(data[offset + 5] == (row.serviceAction == nil ? 0 : 1) | (timeouts == 0 ? 0 : 2))
        #expect(Int(data[offset + 7]) == row.length)
        if size == 20 {
          #expect(Array(data[offset + 8..<offset + 10]) == [0, 10])
          #expect(data.span.bytes.bigEndian32(at: offset + 16) == row.timeoutSeconds)
        }
      }
    }
    let thick = try #require(ask(disk(isThin: false), 0))
    #expect(thick.count == 4 + (CommandTable.rows.count - 1) * 8)
  }

  @Test func `one command is told with its usage, or that there is none`() throws {
    for row in CommandTable.rows {
      let hasAction = row.serviceAction != nil
      let action = row.serviceAction ?? 0
      for options in [hasAction ? 2 : 1, 3] as [UInt8] {
        let data = try #require(ask(disk(), options, row.code.rawValue, action))
        #expect(data[1] == 3)
        #expect(Array(data.dropFirst(4)) == (0..<row.length).map { row.usage[$0] })
      }
      #expect(
        disk().sense(cdb(0xa3, 0x0c, hasAction ? 1 : 2, row.code.rawValue, 0, 0, 0, 0, 1, 0))
          == .invalidField(2))
    }
    #expect(ask(disk(), 1, 0xff) == [0, 1, 0, 0])
    #expect(ask(disk(), 2, 0x5e, 9) == [0, 1, 0, 0])
    #expect(ask(disk(isThin: false), 1, 0x42) == [0, 1, 0, 0])
    #expect(disk().sense(cdb(0xa3, 0x0c, 4, 0, 0, 0, 0, 0, 1, 0)) == .invalidField(2))
  }
}
