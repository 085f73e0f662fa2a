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
struct DataInSegments: Sequence, IteratorProtocol, Sendable {
  // RFC 7143 §13.12: an initiator may take 16 MiB at once, and need not be sent it. While a PDU is
  // on its way nothing is seen of how its peer takes it.
  static let segmentMax = 262_144

  let count: Int
  let burstMax: Int
  let segmentMax: Int
  /// Of the next: its Buffer Offset and DataSN.
  private(set) var offset = 0
  private(set) var number: UInt32 = 0

  init(count: Int, _ parameters: OperationalParameters) {
    self.count = count
    burstMax = parameters.maxBurstLength
    segmentMax = Swift.min(parameters.sendDataSegmentLengthMax, Self.segmentMax)
  }

  /// What follows, cut as other parameters have it.
  func cutAnew(_ parameters: OperationalParameters) -> DataInSegments {
    var anew = DataInSegments(count: count, parameters)
    anew.offset = offset
    anew.number = number
    return anew
  }

  mutating func next() -> DataInSegment? {
    guard offset < count else { return nil }
    let burstRest = burstRest
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

  /// Leaves out all before `target`, without a look at each: there may be very many.
  mutating func skip(to target: UInt32) {
    var missing = Int(target - number)
    let first = segmentCount(burstRest)
    if missing >= first {
      missing -= first
      offset += burstRest
      let (bursts, rest) = missing.quotientAndRemainder(dividingBy: segmentCount(burstMax))
      offset += bursts * burstMax
      missing = rest
    }
    offset = Swift.min(offset + missing * segmentMax, count)
    number = target
  }

  // RFC 7143 §13.13: a sequence ends, with its F bit, at MaxBurstLength.
  private var burstRest: Int { burstMax - offset % burstMax }

  private func segmentCount(_ length: Int) -> Int { (length + segmentMax - 1) / segmentMax }
}
