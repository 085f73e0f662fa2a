/// What a WRITE lacks of the data that was due: a few ranges of bytes, in order and apart.
package struct DataGaps: Equatable, Sendable {
  // Each costs a Recovery R2T. Where there would be more, what lies between two comes again, too.
  package static let rangesMax = 4

  package private(set) var ranges: [Range<Int>] = []

  package init() {}

  package var isEmpty: Bool { ranges.isEmpty }

  package mutating func insert(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    var whole = range
    ranges.removeAll { other in
      guard other.upperBound >= whole.lowerBound, other.lowerBound <= whole.upperBound else {
        return false
      }
      whole = whole.joined(other)
      return true
    }
    let place = ranges.firstIndex { $0.lowerBound > whole.lowerBound } ?? ranges.count
    ranges.insert(whole, at: place)
    while ranges.count > Self.rangesMax {
      let last = ranges.removeLast()
      ranges[ranges.count - 1] = ranges[ranges.count - 1].joined(last)
    }
  }

  /// The first bytes that are lacking, at most so many; they are asked for again.
  package mutating func takeFirst(_ lengthMax: Int) -> Range<Int>? {
    guard let first = ranges.first else { return nil }
    guard first.count > lengthMax else { return ranges.removeFirst() }
    let middle = first.lowerBound + lengthMax
    ranges[0] = middle..<first.upperBound
    return first.lowerBound..<middle
  }
}

extension Range<Int> {
  fileprivate func joined(_ other: Range<Int>) -> Range<Int> {
    Swift.min(lowerBound, other.lowerBound)..<Swift.max(upperBound, other.upperBound)
  }
}
