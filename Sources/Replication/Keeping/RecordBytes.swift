// A record as bytes: in a leg's journal, and in text on a leg's session.
//
// Nothing is taken on trust: a disk rots, and a peer may be anyone. Each length is compared before
// it is used, each limit is the values' own, and what stands behind the end is a fault, too.
import Bytes

/// What is wrong with a record.
package enum RecordFault: String, Error, Sendable, CaseIterable {
  case length = "its bytes end early or late"
  case version = "it is of a version that is not known here"
  case name = "its name is not 1 to 64 bytes of text"
  case label = "a label is longer than 512 bytes, or no text"
  case members = "its members are none, too many, the same or without a number"
  case state = "a member's state is none"
  case own = "the leg itself is not among the members"
  case required = "it wants more members than there are, or none"
  case counter = "its generation's number is too large"
  case ancestors = "it has too many ancestors"
}

extension MirrorRecord {
  /// A record of more bytes is refused.
  package static let byteCountMax = 32_000

  /// Reads a record; all of the bytes are it.
  package init(bytes: [UInt8]) throws(RecordFault) { throw .length }

  /// The record as bytes; only those of a valid one can be read again.
  package var bytes: [UInt8] { [] }

  /// Throws what is wrong with the record.
  package func validate() throws(RecordFault) {}
}
