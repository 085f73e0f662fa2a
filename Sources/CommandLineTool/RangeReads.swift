/// Cuts `bounds` into steps, reads each with several in flight, and hands the results on in order.
///
/// At most `inFlight` results are held at once, so memory stays bounded however slow the consumer.
func readInOrder<Value: Sendable>(
  _ bounds: Range<UInt64>, step: Int, inFlight: Int,
  read: @escaping @Sendable (Range<UInt64>) async throws -> Value,
  consume: (Range<UInt64>, Value) throws -> Void
) async throws {
  let step = UInt64(step)
  func piece(at start: UInt64) -> Range<UInt64> { start..<min(start + step, bounds.upperBound) }

  try await withThrowingTaskGroup(of: (UInt64, Value).self) { group in
    var nextToRead = bounds.lowerBound
    var nextToConsume = bounds.lowerBound
    var waiting: [UInt64: Value] = [:]
    func startOne() {
      guard nextToRead < bounds.upperBound else { return }
      let range = piece(at: nextToRead)
      group.addTask { (range.lowerBound, try await read(range)) }
      nextToRead = range.upperBound
    }

    for _ in 0..<inFlight { startOne() }
    while let (start, value) = try await group.next() {
      waiting[start] = value
      while let value = waiting.removeValue(forKey: nextToConsume) {
        let range = piece(at: nextToConsume)
        try consume(range, value)
        nextToConsume = range.upperBound
        startOne()
      }
    }
  }
}

/// How many reads of a session are in flight, and how long each is.
enum ReadShape {
  static let inFlight = 8
  static let length = 1 << 20
}
