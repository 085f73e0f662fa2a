// Which marks may be taken away, and when one looks.
//
// A mark is needed while a crash could leave the region different at two members. That ends when
// all members have ended the last write there, and this leg has flushed its own medium since: each
// leg answers for its own data by its own mark, and who compares takes the union of all. So:
// candidates are marked, have no open store and no lost one, and were left alone for two whole
// periods (else a busy region's mark would come and go at the price of two flushes); then the
// medium is flushed; then those that are still untouched lose their marks.
//
// Periods are counted by two maps: what was touched in this one, and in the one before.

/// Regions that were touched lately, and those that wait for the medium's flush.
struct MarkClearing: Sendable {
  private(set) var touched: RegionMap
  private var touchedBefore: RegionMap
  /// Candidates, from the look until the flush is done.
  private(set) var candidates: RegionMap?
  /// The flush that they wait for is under way.
  private(set) var isFlushing = false
  /// When to look again.
  private(set) var due: UInt64 = 0

  init(regionCount: Int) {
    touched = RegionMap(regionCount: regionCount)
    touchedBefore = touched
  }

  mutating func touch(_ regions: Range<Int>) {
    for region in regions { touched.insert(region) }
  }

  mutating func start(at due: UInt64) { self.due = due }

  /// A period ends. Returns whether there are candidates, which a flush of the medium has to
  /// follow.
  mutating func look(marks: RegionMap, stores: OpenStores) -> Bool {
    precondition(candidates == nil, "one flush at a time")
    var found = marks
    found.subtract(touched)
    found.subtract(touchedBefore)
    found.subtract(stores.open)
    found.subtract(stores.lost)
    swap(&touched, &touchedBefore)
    touched.removeAll()
    candidates = found.isEmpty ? nil : found
    return !found.isEmpty
  }

  /// The flush begins. What had open stores was no candidate, and what has some by now was touched.
  mutating func handleFlushBegun() {
    isFlushing = candidates != nil
  }

  /// The flush is done. Returns whose marks may go.
  mutating func take(_ stores: OpenStores) -> RegionMap? {
    guard isFlushing, var found = candidates else { return nil }
    abandon()
    found.subtract(touched)
    found.subtract(stores.open)
    found.subtract(stores.lost)
    return found
  }

  /// Nothing is taken away by that flush.
  mutating func abandon() {
    candidates = nil
    isFlushing = false
  }

  /// Nothing was ever touched.
  mutating func reset() {
    touched.removeAll()
    touchedBefore.removeAll()
    abandon()
  }
}
