// One row of the table of commands. What is told here is all that decoding, reservations, the
// states of a medium and REPORT SUPPORTED OPERATION CODES know of a command's form.

/// A command as its standard describes it: its bytes, and who may have it when.
package struct CommandDescription: Sendable {
  /// Which reservations of another I_T nexus refuse it, SPC-4 table 65 and SBC-3 table 13.
  package enum Exclusion: Sendable {
    /// None.
    case none
    /// RESERVE (6) alone.
    case legacy
    /// RESERVE (6), and those that exclude readers.
    case reading
    /// All of them.
    case writing
    /// The command judges by itself: it is about reservations, or its fields decide.
    case own
  }

  /// What must be there for it.
  package enum Readiness: Sendable {
    /// Nothing: it is answered in every state.
    case always
    /// No SANITIZE may be under way, SBC-3 §4.11.
    case quiet
    /// As `quiet`, and the medium is in.
    case medium
  }

  /// Who has it at all.
  package enum Provision: Sendable {
    case every
    /// Thin disks that take UNMAP.
    case unmapping
  }

  package let code: OperationCode
  /// The low five bits of the second byte, where they are part of the command's name.
  package let serviceAction: UInt8?
  package let name: String
  /// CDB USAGE DATA, SPC-4 §6.35.3: the bits that are looked at, and the command's own code.
  package let usage: InlineArray<16, UInt8>
  /// How many of them the command has.
  package let length: Int
  /// The longest that it takes, as initiators are told.
  package let timeoutSeconds: UInt32
  package let changesMedium: Bool
  package let exclusion: Exclusion
  package let readiness: Readiness
  package let provision: Provision

  /// `usage` is written as in the standard's tables, two digits a byte.
  init(
    _ code: OperationCode, action serviceAction: UInt8? = nil, _ name: String, _ usage: String,
    _ readiness: Readiness, _ exclusion: Exclusion, changes: Bool = false,
    for provision: Provision = .every, seconds: UInt32 = 30
  ) {
    let bytes = usage.split(separator: " ").map { UInt8($0, radix: 16) ?? 0 }
    precondition(bytes.count <= 16 && bytes.first == code.rawValue, "a row of another command")
    self.code = code
    self.serviceAction = serviceAction
    self.name = name
    self.usage = InlineArray { $0 < bytes.count ? bytes[$0] : 0 }
    length = bytes.count
    timeoutSeconds = seconds
    changesMedium = changes
    self.exclusion = exclusion
    self.readiness = readiness
    self.provision = provision
  }

  /// Throws the first byte with a bit that this command doesn't have.
  func check(_ cdb: CommandDescriptorBlock) throws(SenseData) {
    for index in 1..<length {
      let action: UInt8 = index == 1 && serviceAction != nil ? 0x1f : 0
      // SPC-4 §4.2.5.2: a reserved bit that is set is an invalid field.
      guard cdb[index] & ~(usage[index] | action) == 0 else { throw .invalidField(index) }
    }
  }
}
