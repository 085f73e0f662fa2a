/// One request of an initiator's session between its sending and its answer.
struct InitiatorTask: Sendable {
  /// What was asked.
  enum Kind: Sendable {
    case command(InitiatorCommand)
    case text
    case taskManagement(TaskManagementFunction, lun: UInt64, referencedTag: UInt32)
    case ping
    /// A ping in the place of a request that was rejected; nobody waits for its answer.
    case plug
    case logout
  }

  let kind: Kind
  /// The initiator's data that may be asked for.
  var dataOut: ArraySlice<UInt8> = []
  /// What was gathered of the target's data.
  var dataIn: [UInt8] = []
  var dataInMax = 0
  /// The next R2TSN; data must come in order, so each asks where the last ended.
  var nextRequestNumber: UInt32 = 0
  var nextDataNumber: UInt32 = 0
  /// Under which number a command was sent, nil while it waits; before which one a function was.
  var commandNumber: UInt32?
  /// How much data was sent or promised.
  var sentCount = 0

  init(_ kind: Kind) {
    self.kind = kind
    guard case .command(let command) = kind else { return }
    switch command.transfer {
    case .none: break
    case .read(let lengthMax): dataInMax = lengthMax
    case .write(let bytes): dataOut = bytes
    }
  }

  /// Takes a Data-In PDU's bytes when they are the next.
  mutating func gather(_ pdu: PDU) -> Bool {
    // RFC 7143 §11.7: DataPDUInOrder is Yes, DataSN counts from 0 in the whole answer.
    guard isCommand, Int(pdu.header.word40) == dataIn.count,
      pdu.header.word36 == nextDataNumber, pdu.data.count <= dataInMax - dataIn.count
    else { return false }
    if dataIn.isEmpty { dataIn.reserveCapacity(dataInMax) }
    dataIn.append(contentsOf: pdu.data)
    nextDataNumber &+= 1
    return true
  }

  /// What an R2T asks for, when it may: in order, not zero, at most a burst, never past the data.
  mutating func grant(_ header: BasicHeaderSegment, burstMax: Int) -> Range<Int>? {
    let offset = Int(header.word40)
    let length = Int(header.word44)
    // RFC 7143 §11.8.
    guard header.word36 == nextRequestNumber, header.word20 != reservedTag, length > 0,
      length <= burstMax, offset == sentCount, length <= dataOut.count - offset
    else { return nil }
    nextRequestNumber &+= 1
    sentCount += length
    return offset..<offset + length
  }

  var isCommand: Bool { command != nil }

  var command: InitiatorCommand? {
    if case .command(let command) = kind { command } else { nil }
  }
}
