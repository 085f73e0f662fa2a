/// The part of a read's data that one Data-In PDU carries.
struct DataInSegment: Equatable, Sendable {
  /// DataSN.
  let number: UInt32
  /// Buffer Offset.
  let offset: Int
  let count: Int
  /// The last of its sequence.
  let isFinal: Bool
  /// The last of all.
  let isLast: Bool
}

/// Cuts the data of a read into what Data-In PDUs may carry, from the first or from a later one on.
struct DataInSegments: Sequence, IteratorProtocol {
  let count: Int
  let burstMax: Int
  let segmentMax: Int
  private var offset: Int
  private var number: UInt32

  init(
    count: Int, _ parameters: OperationalParameters, fromOffset offset: Int = 0,
    number: UInt32 = 0
  ) {
    self.count = count
    burstMax = parameters.maxBurstLength
    segmentMax = parameters.sendDataSegmentLengthMax
    self.offset = offset
    self.number = number
  }

  mutating func next() -> DataInSegment? {
    guard offset < count else { return nil }
    // RFC 7143 §13.13: a sequence ends, with its F bit, at MaxBurstLength.
    let burstRest = burstMax - offset % burstMax
    let length = Swift.min(count - offset, burstRest, segmentMax)
    let isLast = offset + length == count
    defer {
      offset += length
      number &+= 1
    }
    return DataInSegment(
      number: number, offset: offset, count: length, isFinal: isLast || length == burstRest,
      isLast: isLast)
  }
}
