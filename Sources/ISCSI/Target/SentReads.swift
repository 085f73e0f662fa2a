// RFC 7143 §7.1.3: with recovery the data of a read is kept until its status has been acknowledged,
// or the data itself by DataACK, which is asked for at the end of each burst but the last. There is
// room for so much: the oldest goes first, and can then not be had again.
import Bytes

/// What was sent for one read.
struct SentRead: Sendable {
  let tag: UInt32
  let lun: UInt64
  /// Under which its data is acknowledged.
  let transferTag: UInt32
  /// The number of its response.
  let status: SerialNumber
  /// From the first byte that was not acknowledged on.
  fileprivate(set) var data: ArraySlice<UInt8>
  /// Those that were not acknowledged. Only how they are cut is kept: of a long read they are many.
  fileprivate(set) var segments: DataInSegments
  /// The number that follows the last.
  private(set) var nextNumber: UInt32
  /// What it holds of memory: a slice keeps all that it is a part of.
  fileprivate var heldBytes: Int
  /// The data had to make room.
  fileprivate(set) var isForgotten = false

  /// `segments`: as they were sent, `count` of them.
  init(
    tag: UInt32, lun: UInt64, transferTag: UInt32, status: SerialNumber,
    data: ArraySlice<UInt8>, segments: (all: DataInSegments, count: UInt32)
  ) {
    self.tag = tag
    self.lun = lun
    self.transferTag = transferTag
    self.status = status
    self.data = data
    heldBytes = data.count
    self.segments = segments.all
    nextNumber = segments.count
  }

  /// The first that was not acknowledged.
  private var firstNumber: UInt32 { segments.number }

  func bytes(of segment: DataInSegment) -> ArraySlice<UInt8> {
    let start = data.endIndex - (segments.count - segment.offset)
    return data[start..<start + segment.count]
  }

  fileprivate func run(_ request: SNACKRequest) throws(SNACKRefusal) -> SentSegments {
    guard !isForgotten else { throw .notKept }
    guard !request.isUnacknowledged else { return segments.prefix(Int(nextNumber - firstNumber)) }
    let first = UInt64(request.first)
    let end = request.count == 0 ? UInt64(nextNumber) : first + UInt64(request.count)
    guard first >= UInt64(firstNumber), first < end, end <= UInt64(nextNumber) else {
      throw .outOfRange(next: nextNumber)
    }
    var wanted = segments
    wanted.skip(to: request.first)
    return wanted.prefix(Int(end - first))
  }

  /// False where that can't be.
  fileprivate mutating func acknowledge(_ number: UInt32) -> Bool {
    guard number >= firstNumber, number <= nextNumber else { return false }
    let offset = segments.offset
    segments.skip(to: number)
    guard !isForgotten else { return true }
    data = data.dropFirst(segments.offset - offset)
    // Half of it is copied, or the slice would go on to hold all.
    if data.count <= heldBytes / 2 {
      data = Array(data)[...]
      heldBytes = data.count
    }
    return true
  }

  fileprivate mutating func cutAnew(_ parameters: OperationalParameters) {
    segments = segments.cutAnew(parameters)
    nextNumber = segments.reduce(firstNumber) { number, _ in number + 1 }
  }

  fileprivate mutating func forget() {
    data = []
    heldBytes = 0
    isForgotten = true
  }
}

/// Segments of one read that follow each other.
typealias SentSegments = PrefixSequence<DataInSegments>

/// The reads of a session whose data may still be asked for again.
struct SentReads: Sendable {
  // Beyond the command window: of those no more than their ends is known.
  static let countMax = 256

  /// The oldest first.
  private var reads: [SentRead] = []
  private(set) var heldBytes = 0

  mutating func keep(_ read: SentRead) {
    // A tag that is used again: its status was acknowledged, whether we have heard so or not.
    drop { $0.tag == read.tag }
    if reads.count == Self.countMax { heldBytes -= reads.removeFirst().heldBytes }
    reads.append(read)
    heldBytes += read.heldBytes
  }

  /// Forgets the oldest until no more than so many bytes are held.
  mutating func forget(downTo bytesMax: Int) {
    for index in reads.indices where heldBytes > bytesMax {
      heldBytes -= reads[index].heldBytes
      reads[index].forget()
    }
  }

  /// Statuses before `expected` have arrived, and with them their data.
  mutating func acknowledge(_ expected: SerialNumber) {
    drop { $0.status.precedes(expected) }
  }

  private mutating func drop(where isMeant: (SentRead) -> Bool) {
    reads.removeAll { read in
      guard isMeant(read) else { return false }
      heldBytes -= read.heldBytes
      return true
    }
  }

  /// Takes a DataACK.
  mutating func acknowledge(
    _ transferTag: UInt32, lun: UInt64, before number: UInt32
  ) throws(SNACKRefusal) {
    // RFC 7143 §11.17.1: an acknowledgement of what isn't there is invalid.
    guard
      let index = reads.firstIndex(where: { $0.transferTag == transferTag && $0.lun == lun })
    else { throw SNACKRefusal(reason: .invalidDataAcknowledgement) }
    let before = reads[index].heldBytes
    guard reads[index].acknowledge(number) else {
      throw SNACKRefusal(reason: .invalidDataAcknowledgement)
    }
    heldBytes -= before - reads[index].heldBytes
  }

  /// The read of a tag, and those of its segments that a SNACK asks for; nil for another tag.
  func run(
    _ tag: UInt32, _ request: SNACKRequest
  ) throws(SNACKRefusal) -> (SentRead, SentSegments)? {
    guard let read = reads.first(where: { $0.tag == tag }) else { return nil }
    return (read, try read.run(request))
  }

  /// Cuts what was not acknowledged of a read anew, RFC 7143 §11.16.3; nil for another tag.
  mutating func cutAnew(
    _ tag: UInt32, _ parameters: OperationalParameters
  ) throws(SNACKRefusal) -> SentRead? {
    guard let index = reads.firstIndex(where: { $0.tag == tag }) else { return nil }
    guard !reads[index].isForgotten else { throw .notKept }
    reads[index].cutAnew(parameters)
    return reads[index]
  }
}
