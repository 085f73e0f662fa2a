/// SplitMix64 (Steele, Lea, Flood 2014): all chance of a run is one of these, and so one number.
struct SeededRandom: Sendable {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    return Self.mix(state)
  }

  static func mix(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  mutating func chance(_ rate: Double) -> Bool {
    rate > 0 && Double(next() >> 11) * 0x1p-53 < rate
  }

  mutating func below(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : next() % bound }
  mutating func below(_ bound: Int) -> Int { Int(below(UInt64(bound))) }

  mutating func within(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + below(range.count)
  }

  /// Spread over the octaves, so that the small is as likely as the large.
  mutating func octaves(_ range: ClosedRange<UInt64>) -> UInt64 {
    var most = max(range.lowerBound, 1)
    while most < range.upperBound, chance(0.75) { most *= 2 }
    return min(range.lowerBound + below(most), range.upperBound)
  }

  mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}
