/// One request of an initiator's session between its sending and its answer.
struct InitiatorTask: Sendable {
  /// What was asked.
  enum Kind: Sendable {
    case command(InitiatorCommand)
    case text
    case taskManagement(TaskManagementFunction, lun: UInt64, referencedTag: UInt32)
    case ping
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
  /// Under which number a command was sent; nil while it waits.
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

  var isCommand: Bool { command != nil }

  var command: InitiatorCommand? {
    if case .command(let command) = kind { command } else { nil }
  }
}
