// What goes into a journal and comes out of it, but for its bytes.

/// What a journal's owner has to do; it says by the token how it went.
package struct JournalRequest: Sendable, Equatable {
  /// What is to be done.
  package enum Work: Sendable, Equatable {
    /// Into the journal's file, which grows where it must.
    case write(offset: Int, bytes: [UInt8])
    /// The journal's file to its medium, with what was written to it before.
    case flush
    /// The LUN's own data to its medium.
    case flushMedium
  }

  package var token: UInt64
  package var work: Work

  package init(token: UInt64, work: Work) {
    self.token = token
    self.work = work
  }
}

/// A journal's bytes can't be what a leg has written: nothing may be taken from them.
package struct JournalDamage: Error, Sendable, Equatable, CustomStringConvertible {
  package var description: String

  package init(_ description: String) { self.description = description }
}

/// What a journal did.
package struct JournalCounters: Sendable, Equatable {
  package var rounds: UInt64 = 0
  package var writes: UInt64 = 0
  package var flushes: UInt64 = 0
  package var mediumFlushes: UInt64 = 0
  /// Rounds that failed.
  package var failures: UInt64 = 0
  package var marksSet: UInt64 = 0
  package var marksTaken: UInt64 = 0
  /// Mark sectors that were read and can't be what was written: all their regions count as marked.
  package var badSectors: UInt64 = 0

  package init() {}
}
