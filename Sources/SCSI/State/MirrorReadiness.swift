// A disk that belongs to a mirror whose members are remembered may hold old data, or hold new data
// that other members lack, and nobody but the mirror's initiator can tell. Whoever read it
// meanwhile could see a write that never was acknowledged, and not see it later.

/// What a mirror that outlasts its initiator leaves of a disk's medium for ordinary commands.
package enum MirrorReadiness: UInt8, Equatable, Sendable {
  case ready
  /// What is read here may be old: only whoever opens the mirror can tell.
  case mustBeOpened
  /// It lacks something that other members have.
  case beingCopied

  // SPC-4 table D.1: 04h/02h INITIALIZING COMMAND REQUIRED, 04h/05h REBUILD IN PROGRESS.
  package var sense: SenseData? {
    switch self {
    case .ready: nil
    case .mustBeOpened: SenseData(.notReady, .initializingCommandRequired)
    case .beingCopied: SenseData(.notReady, .rebuildInProgress)
    }
  }
}

extension OperationCode {
  /// READ CAPACITY, in both lengths. Its longer form has its code with GET LBA STATUS in common,
  /// which tells nothing of the data either.
  var tellsCapacity: Bool { self == .readCapacity10 || self == .serviceActionIn16 }
}
