// Which regions have stores that have not ended at every member.
//
// That a write has ended everywhere is told by one number: all lower ones have. So a leg keeps, for
// each part of the mirror, a ring of as many writes as a part may have between its lowest open one
// and its highest, and for each region a count of the writes in it. A list for each region would
// have no bound; the last number for each region and part would be seventy megabytes for a disk of
// a million regions, to say what a few hundred writes say.
//
// Law: what can't be told is never ended. A part that goes takes with it the knowledge how its open
// writes ended; so does a crash of this leg, and a number that comes again too late. Their regions
// are *lost*: only who has compared all members may say that they are equal (`synced`, or a
// generation in which all are in sync that follows one in which not all were). Not even that is
// believed as long as whoever says it may not know yet that the part is gone: that may have been
// said of what stood here before the part's last stores. Who has the claim learns it at the latest
// before it expels the part's initiator; or somebody else claims, and looks at all marks anew.
package import Bytes

/// The regions of writes that are open, by their parts' numbers.
package struct OpenStores: Sendable {
  /// Parts that are followed at once: those of a mirror, and one that comes as another goes.
  package static let partsMax = Limits.stripesMax + 1

  /// Regions with writes that are open.
  package private(set) var open: RegionMap
  /// Regions of stores whose end nobody will tell.
  package private(set) var lost: RegionMap
  /// Stores that had no place in the rings.
  package private(set) var untracked: UInt64 = 0
  /// Some of these: the end of their parts may not be known to who says what is equal.
  private var untold: RegionMap
  /// Whose parts these were.
  private var untoldHolders: Set<UInt64> = []
  private var counts: [UInt16]
  private var parts: [PartStores] = []

  package var partCount: Int { parts.count }

  package init(regionCount: Int, lost: RegionMap) {
    open = RegionMap(regionCount: regionCount)
    self.lost = lost
    untold = RegionMap(regionCount: regionCount)
    counts = [UInt16](repeating: 0, count: regionCount)
    parts.reserveCapacity(Self.partsMax)
  }

  /// A store of that write begins.
  package mutating func begin(_ regions: Range<Int>, part: UInt32, number: SerialNumber) {
    guard let index = place(of: part, from: number) else { return lose(regions) }
    guard !number.precedes(parts[index].lowest) else { return lose(regions) }
    let slot = PartStores.slot(of: number)
    let entry = parts[index].entries[slot]
    guard entry.isOpen else {
      parts[index].entries[slot] = StoreEntry(number: number, regions: regions)
      return count(regions)
    }
    guard entry.number == number else {
      // Its window is wider than may be: what can't be followed is lost.
      release(entry)
      loseOpen(entry)
      parts[index].entries[slot] = StoreEntry(number: number, regions: regions)
      return count(regions)
    }
    // A further piece of the same write.
    let lower = min(entry.lower, regions.lowerBound)
    let upper = max(entry.upper, regions.upperBound)
    if lower < entry.lower { count(lower..<entry.lower) }
    if upper > entry.upper { count(entry.upper..<upper) }
    parts[index].entries[slot] = StoreEntry(number: number, regions: lower..<upper)
  }

  /// All of the part's writes with a lower number have ended at every member.
  package mutating func handleEnded(part: UInt32, below: SerialNumber) {
    guard let index = parts.firstIndex(where: { $0.id == part }) else { return }
    let distance = parts[index].lowest.distance(to: below)
    guard distance > 0 else { return }
    var number = parts[index].lowest
    for _ in 0..<min(distance, Limits.writeWindowMax) {
      close(part: index, slot: PartStores.slot(of: number), below: below)
      number = number.next
    }
    parts[index].lowest = below
  }

  /// The part is gone, and what is open of it will never be told to have ended.
  /// - Parameter holder: the initiator's number whose part it was.
  package mutating func handlePartEnded(_ part: UInt32, of holder: UInt64) {
    guard let index = parts.firstIndex(where: { $0.id == part }) else { return }
    for entry in parts[index].entries where entry.isOpen {
      release(entry)
      loseOpen(entry)
      untold.insert(entry.lower..<entry.upper)
      untoldHolders.insert(holder)
    }
    parts.remove(at: index)
  }

  /// Who has the claim knows that this initiator is gone.
  package mutating func handleExpelled(_ holder: UInt64) {
    guard untoldHolders.remove(holder) != nil, untoldHolders.isEmpty else { return }
    untold.removeAll()
  }

  /// Another claim: whoever makes it knows nothing yet, and asks for all marks.
  package mutating func handleClaimed() {
    untoldHolders.removeAll()
    untold.removeAll()
  }

  /// These may differ, whatever ends.
  package mutating func lose(_ regions: RegionMap) { lost.formUnion(regions) }

  /// Who knows says that these are equal at all members.
  package mutating func forgive(_ regions: RegionMap) {
    guard !untoldHolders.isEmpty else { return lost.subtract(regions) }
    var known = regions
    known.subtract(untold)
    lost.subtract(known)
  }

  package mutating func forgiveAll() {
    if untoldHolders.isEmpty { lost.removeAll() } else { lost.formIntersection(untold) }
  }

  /// Nothing is open and nothing lost: the marks are void.
  package mutating func reset() {
    lost.removeAll()
    handleClaimed()
    open.removeAll()
    parts.removeAll(keepingCapacity: true)
    for region in counts.indices { counts[region] = 0 }
  }

  // MARK: Counting

  private mutating func place(of part: UInt32, from number: SerialNumber) -> Int? {
    if let index = parts.firstIndex(where: { $0.id == part }) { return index }
    guard parts.count < Self.partsMax else { return nil }
    parts.append(PartStores(id: part, first: number))
    return parts.count - 1
  }

  private mutating func lose(_ regions: Range<Int>) {
    untracked += 1
    lost.insert(regions)
  }

  private mutating func loseOpen(_ entry: StoreEntry) {
    untracked += 1
    lost.insert(entry.lower..<entry.upper)
  }

  private mutating func close(part: Int, slot: Int, below: SerialNumber) {
    let entry = parts[part].entries[slot]
    guard entry.isOpen, entry.number.precedes(below) else { return }
    parts[part].entries[slot] = StoreEntry()
    release(entry)
  }

  private mutating func count(_ regions: Range<Int>) {
    for region in regions {
      counts[region] += 1
      open.insert(region)
    }
  }

  private mutating func release(_ entry: StoreEntry) {
    for region in entry.lower..<entry.upper {
      counts[region] -= 1
      if counts[region] == 0 { open.remove(region) }
    }
  }
}

/// One part's open writes, by number.
private struct PartStores: Sendable {
  let id: UInt32
  /// All lower numbers have ended.
  var lowest: SerialNumber
  var entries = [StoreEntry](repeating: StoreEntry(), count: Limits.writeWindowMax)

  /// Lower numbers than the first that is seen may still come.
  init(id: UInt32, first: SerialNumber) {
    self.id = id
    lowest = first.advanced(by: 1 - Limits.writeWindowMax)
  }

  static func slot(of number: SerialNumber) -> Int {
    Int(number.rawValue) & (Limits.writeWindowMax - 1)
  }
}

/// A write and the regions that it touches.
private struct StoreEntry: Sendable {
  var number = SerialNumber(0)
  var lower = 0
  var upper = 0

  init() {}

  init(number: SerialNumber, regions: Range<Int>) {
    self.number = number
    lower = regions.lowerBound
    upper = regions.upperBound
  }

  var isOpen: Bool { lower < upper }
}
