// A record as bytes: in a leg's journal, and in text on a leg's session.
//
// Nothing is taken on trust: a disk rots, and a peer may be anyone. Each length is compared before
// it is used, each limit is the values' own, and what stands behind the end is a fault, too.
// One format for the disk and the wire, so that there is one parser to doubt.
import Bytes

/// What is wrong with a record.
package enum RecordFault: String, Error, Sendable, CaseIterable {
  case length = "its bytes end early or late, or are too many"
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
  /// A generation with a higher number is refused: there is always one more.
  package static let counterMax: UInt64 = 1 << 62
  static let formatVersion: UInt8 = 1
  private static let closedFlag: UInt8 = 1
  private static let requiredFlag: UInt8 = 1

  /// Reads a record; all of the bytes are it.
  package init(bytes: [UInt8]) throws(RecordFault) {
    guard bytes.count <= Self.byteCountMax else { throw .length }
    var reader = RecordReader(bytes: bytes)
    guard try reader.byte() == Self.formatVersion else { throw .version }
    let flags = try reader.byte()
    guard flags & ~Self.closedFlag == 0 else { throw .version }
    let mirror = try reader.number()
    let member = try reader.number()
    let name = try reader.text(Int(try reader.byte()), .name)
    let generation = try Self.readGeneration(&reader)
    guard reader.isAtEnd else { throw .length }
    self.init(mirror: mirror, name: name, member: member, generation: generation)
    isClosed = flags & Self.closedFlag != 0
    try validate()
  }

  private static func readGeneration(
    _ reader: inout RecordReader
  ) throws(RecordFault) -> MirrorGeneration {
    let counter = try reader.number()
    let id = try reader.number()
    let madeAt = try reader.number()
    let requiredCount = Int(try reader.byte())
    var ancestors: [UInt64] = []
    for _ in 0..<(try reader.byte()) { ancestors.append(try reader.number()) }
    var members: [MirrorMember] = []
    for _ in 0..<(try reader.byte()) {
      let id = try reader.number()
      guard let state = MemberState(rawValue: try reader.byte()) else { throw .state }
      let flags = try reader.byte()
      guard flags & ~requiredFlag == 0 else { throw .version }
      let label = try reader.text(try reader.count(), .label)
      members.append(
        MirrorMember(id: id, label: label, state: state, isRequired: flags & requiredFlag != 0))
    }
    var generation = MirrorGeneration(
      counter: counter, id: id, members: members, requiredCount: requiredCount, madeAt: madeAt)
    generation.ancestors = ancestors
    return generation
  }

  /// The record as bytes; only those of a valid one can be read again.
  package var bytes: [UInt8] {
    var bytes: [UInt8] = [Self.formatVersion, isClosed ? Self.closedFlag : 0]
    bytes.appendBigEndian(mirror)
    bytes.appendBigEndian(member)
    bytes.append(UInt8(truncatingIfNeeded: name.utf8.count))
    bytes += name.utf8
    bytes.appendBigEndian(generation.counter)
    bytes.appendBigEndian(generation.id)
    bytes.appendBigEndian(generation.madeAt)
    bytes.append(UInt8(truncatingIfNeeded: generation.requiredCount))
    bytes.append(UInt8(truncatingIfNeeded: generation.ancestors.count))
    for ancestor in generation.ancestors { bytes.appendBigEndian(ancestor) }
    bytes.append(UInt8(truncatingIfNeeded: generation.members.count))
    for member in generation.members {
      bytes.appendBigEndian(member.id)
      bytes.append(member.state.rawValue)
      bytes.append(member.isRequired ? Self.requiredFlag : 0)
      bytes.appendBigEndian(UInt16(truncatingIfNeeded: member.label.utf8.count))
      bytes += member.label.utf8
    }
    return bytes
  }

  /// Throws what is wrong with the record.
  package func validate() throws(RecordFault) {
    guard (1...Self.nameMax).contains(name.utf8.count), name.isPlainText else { throw .name }
    guard generation.counter <= Self.counterMax else { throw .counter }
    guard generation.ancestors.count <= MirrorGeneration.ancestorsMax else { throw .ancestors }
    let members = generation.members
    let ids = Set(members.map(\.id))
    guard (1...Limits.legsMax).contains(members.count), ids.count == members.count,
      !ids.contains(0)
    else { throw .members }
    for member in members {
      guard member.label.utf8.count <= MirrorMember.labelMax, member.label.isPlainText else {
        throw .label
      }
    }
    guard ids.contains(member) else { throw .own }
    guard (1...members.count).contains(generation.requiredCount) else { throw .required }
    guard bytes.count <= Self.byteCountMax else { throw .length }
  }
}

extension String {
  /// Whether it has no control characters, which would garble a line of a log.
  fileprivate var isPlainText: Bool {
    unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
  }
}

/// Takes one field after the other, and never what is not there.
private struct RecordReader {
  let bytes: [UInt8]
  var offset = 0

  var isAtEnd: Bool { offset == bytes.count }

  mutating func take(_ count: Int) throws(RecordFault) -> ArraySlice<UInt8> {
    guard count <= bytes.count - offset else { throw .length }
    offset += count
    return bytes[(offset - count)..<offset]
  }

  mutating func byte() throws(RecordFault) -> UInt8 {
    try take(1).reduce(0) { $0 | $1 }
  }

  mutating func count() throws(RecordFault) -> Int {
    try take(2).reduce(0) { $0 << 8 | Int($1) }
  }

  mutating func number() throws(RecordFault) -> UInt64 {
    try take(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  mutating func text(_ count: Int, _ fault: RecordFault) throws(RecordFault) -> String {
    guard let text = String(validating: try take(count), as: UTF8.self) else { throw fault }
    return text
  }
}
