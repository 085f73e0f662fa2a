// Where one of several initiators may write: its own side of the regions' tokens.
//
// Law: at any moment at most one initiator writes in a region. So overlapping writes end in one
// order at all legs though each comes from another host: within one initiator its sender orders
// them, between two the token does. Who has a token keeps it until another wants it, so initiators
// that work in different regions never ask twice; a write asks for nothing but a look at its bits.
//
// A write that was let in counts until it has ended at every leg: a token that is called back is
// given back only then. What is not let in waits here in its order, and is asked for once.
//
// The road not taken: one leg that withholds its R2T while an overlapping write of another is open.
// It costs each write the round trip that data without R2T saves, for a conflict that is rare; and
// what was granted would be lost with that leg.

/// The regions in which an initiator may write, and the writes that wait for others.
package struct RegionGate: Sendable {
  /// What the owner has to do; it empties the array.
  package enum Output: Sendable, Equatable {
    /// Ask for these regions: `handleGranted`.
    case ask(Range<Int>)
    /// They are given back.
    case released(Range<Int>)
    /// A write that waited counts as let in.
    case go(UInt64)
  }

  /// A write that waits.
  private struct Parked: Sendable {
    let id: UInt64
    let regions: Range<Int>
    /// The regions were asked for with it, and are on their way.
    var isAsked = false
  }

  package var outputs: [Output] = []
  private var owned: RegionMap
  /// Called back, and written in still.
  private var called: RegionMap
  private var open: [UInt32]
  private var parked: [Parked] = []
  /// Writes that came behind others that wait stay behind them where they overlap.
  private var wanted: [UInt32]
  /// What was asked for and has not come.
  private var askedCount = 0
  /// Regions that an earlier one of those that wait wants; empty but while they are looked through.
  private var behind: RegionMap

  /// - Parameter ownsAll: nobody else has any yet.
  package init(regionCount: Int, ownsAll: Bool) {
    owned = RegionMap(regionCount: regionCount, isFull: ownsAll)
    called = RegionMap(regionCount: regionCount)
    open = [UInt32](repeating: 0, count: regionCount)
    wanted = open
    behind = called
  }

  /// Writes that may wait; the owner lets no more come. Holds of copies wait besides.
  package static let waitingMax = 4096

  package var waitingCount: Int { parked.count }

  // MARK: Writes

  /// A write begins; false: it waits for its `go`.
  package mutating func enter(_ regions: Range<Int>, id: UInt64) -> Bool {
    let isFirst = parked.isEmpty || regions.allSatisfy { wanted[$0] == 0 }
    if isFirst, isFree(regions) {
      for region in regions { open[region] += 1 }
      return true
    }
    parked.append(Parked(id: id, regions: regions))
    for region in regions { wanted[region] += 1 }
    ask()
    return false
  }

  /// A write that was let in has ended at every leg.
  package mutating func leave(_ regions: Range<Int>) {
    var first: Int?
    for region in regions {
      precondition(open[region] > 0, "a write ends that never began")
      open[region] -= 1
      if open[region] == 0, called.contains(region) {
        giveBack(region)
        first = first ?? region
      }
    }
    if first != nil { ask() }
  }

  // MARK: Tokens

  package mutating func handleGranted(_ regions: Range<Int>) {
    owned.insert(regions)
    for index in parked.indices where parked[index].isAsked && parked[index].regions == regions {
      parked[index].isAsked = false
      askedCount -= 1
      break
    }
    proceed()
  }

  /// Others want these.
  package mutating func handleCalled(_ regions: Range<Int>) {
    for region in regions where owned.contains(region) {
      if open[region] == 0 { giveBack(region) } else { called.insert(region) }
    }
    ask()
  }

  /// Nothing is asked for or let in any more; the writes that waited.
  package mutating func end() -> [UInt64] {
    owned.removeAll()
    called.removeAll()
    outputs.removeAll()
    let ids = parked.map(\.id)
    for one in parked { for region in one.regions { wanted[region] -= 1 } }
    parked.removeAll()
    return ids
  }

  // MARK: Steps

  private func isFree(_ regions: Range<Int>) -> Bool {
    for region in regions where !owned.contains(region) || called.contains(region) {
      return false
    }
    return true
  }

  private mutating func giveBack(_ region: Int) {
    owned.remove(region)
    called.remove(region)
    if case .released(let last) = outputs.last, last.upperBound == region {
      outputs[outputs.count - 1] = .released(last.lowerBound..<region + 1)
    } else {
      outputs.append(.released(region..<region + 1))
    }
  }

  /// Lets in what may go on, in order.
  private mutating func proceed() {
    var rest: [Parked] = []
    for one in parked {
      guard isNext(one.regions), isFree(one.regions) else {
        behind.insert(one.regions)
        rest.append(one)
        continue
      }
      for region in one.regions {
        open[region] += 1
        wanted[region] -= 1
      }
      outputs.append(.go(one.id))
    }
    parked = rest
    behind.removeAll()
    ask()
  }

  /// Whether none of those that wait and were looked at wants any of these.
  private func isNext(_ regions: Range<Int>) -> Bool {
    regions.allSatisfy { !behind.contains($0) }
  }

  /// Asks for what the first writes that wait in each place want.
  private mutating func ask() {
    for index in parked.indices {
      guard askedCount < RegionTokens.requestsMax else { break }
      let regions = parked[index].regions
      if !parked[index].isAsked, isNext(regions), !isFree(regions) {
        parked[index].isAsked = true
        askedCount += 1
        outputs.append(.ask(regions))
      }
      behind.insert(regions)
    }
    behind.removeAll()
  }
}
