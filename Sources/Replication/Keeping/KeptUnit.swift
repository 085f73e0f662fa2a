// A LUN that belongs to a kept mirror, as its leg sees it.
//
// Two things are owed. To the mirror: that whatever may differ here from another member is marked,
// and that the record says who belonged to it when. To everybody else: that nobody reads old data
// as if it were new, or changes what only the mirror may change. Both are about what is durable, so
// this machine decides nothing of its own: it is asked, stores, flushes, and then answers.
//
// One initiator's session has the unit at a time (the claim). When it ends, the unit is closed to
// writes at once and keeps its marks; the next one claims it and judges them. An initiator that
// reconnects is known by its holder number, and begins with an `adopt` again: what its old
// connection had open is not to be mixed with what the new one says.
//
// Order of calls: `handle…` and `mayStore` as things happen; then what is in `requests` and
// `answers`, and the deadline. Stores that were told `later` ask again when `roundsEnded` changes.
package import Bytes

/// What a leg remembers about one LUN that may belong to a kept mirror.
package struct KeptUnit: Sendable {
  package let layout: RegionLayout
  /// Nanoseconds between two looks for marks that may be taken away.
  package var clearNanoseconds: UInt64 = 5_000_000_000
  /// What goes back to sessions; the owner empties the array.
  package var answers: [KeepingReply] = []
  package internal(set) var counters = KeptUnitCounters()
  /// Since it was made from its journal's bytes: nothing that this leg has acknowledged is lost.
  package internal(set) var isIntact: Bool

  var journal: Journal
  var claim: KeepingClaim?
  var stores: OpenStores
  var asks = KeepingAsks()
  var clearing: MarkClearing
  var ahead: MarkAhead
  var desk = OrderDesk()
  /// The flush of the medium that runs.
  var mediumToken: UInt64?

  /// - Parameter contents: the journal's bytes, nil where there is none.
  package init(layout: RegionLayout, contents: [UInt8]?) throws(JournalDamage) {
    self.layout = layout
    journal = try Journal(layout: layout, contents: contents)
    // How the writes ended that these marks are of, nobody knows any more.
    stores = OpenStores(regionCount: layout.regionCount, lost: journal.marks)
    clearing = MarkClearing(regionCount: layout.regionCount)
    ahead = MarkAhead(regionCount: layout.regionCount)
    isIntact = journal.marks.isEmpty || journal.record?.isClosed == true
  }

  // MARK: Looking

  /// The record that is stored durably.
  package var record: MirrorRecord? { journal.record }
  /// What became of orders for whoever has the mirror open.
  package var orderCounters: OrderDesk.Counters { desk.counters }
  /// The regions that may differ.
  package var marks: RegionMap { journal.marks }
  /// Whether a session that lives has adopted it.
  package var isOpen: Bool { claim?.isOpen ?? false }
  /// Whether nothing can be stored any more.
  package var isFailed: Bool { journal.isFailed }
  package var journalCounters: JournalCounters { journal.counters }
  /// Rounds that ended, well or not: when it changes, stores that wait ask again.
  package var roundsEnded: UInt64 { journal.roundsEnded }
  /// Stores whose end nobody will tell.
  package var untrackedStores: UInt64 { stores.untracked }
  /// Regions whose marks stay until all members are known to be equal there.
  package var lostRegions: RegionMap { stores.lost }

  /// What the owner has to do; it empties the array.
  package var requests: [JournalRequest] {
    get { journal.requests }
    set { journal.requests = newValue }
  }

  /// Which ordinary commands are served.
  package var service: UnitService {
    guard let record else { return .free }
    guard record.state.isReadable else { return .beingCopied }
    return isOpen || record.isClosed ? .readable : .mustBeOpened
  }

  package var descriptor: LegDescriptor {
    LegDescriptor(record: record, layout: layout, markedCount: marks.count, isIntact: isIntact)
  }

  /// When to call `handleTimeout`, nil: nothing waits for the time.
  package var nextDeadline: UInt64? {
    guard mayClear, clearing.candidates == nil else { return nil }
    return !journal.marks.isEmpty || journal.hasLeftovers ? clearing.due : nil
  }

  // MARK: Stores

  /// Whether a mirrored store may begin now; if so it counts as begun. Where the unit has no
  /// record, no mark is needed.
  package mutating func mayStore(
    _ bytes: Range<UInt64>, part: UInt32, number: SerialNumber, now: UInt64
  ) -> StoreAdmission {
    guard journal.record != nil else {
      counters.stores += 1
      return .now
    }
    guard isOpen, !journal.isFailed, !bytes.isEmpty, bytes.upperBound <= layout.byteCount else {
      counters.storesRefused += 1
      return .never
    }
    let regions = layout.regions(of: bytes)
    touch(regions)
    if !journal.areDurable(regions) {
      let wanted = ahead.needed(regions)
      touch(wanted)
      _ = journal.mark(wanted)
      // Marks that were taken away and are still on the disk are durable at once.
      guard journal.areDurable(regions) else {
        counters.waits += 1
        return .later
      }
    } else if let further = ahead.entered(regions) {
      touch(further)
      _ = journal.mark(further)
    }
    counters.stores += 1
    stores.begin(regions, part: part, number: number)
    return .now
  }

  /// All writes of the part with a lower number have ended at every member.
  package mutating func handleEnded(part: UInt32, below: SerialNumber, now: UInt64) {
    stores.handleEnded(part: part, below: below)
  }

  /// The part's registration is gone: what has not ended of it never will.
  /// - Parameter holder: the initiator's number whose part it was.
  package mutating func handlePartEnded(part: UInt32, holder: UInt64) {
    stores.handlePartEnded(part, of: holder)
  }

  private mutating func touch(_ regions: Range<Int>) {
    clearing.touch(regions)
    if asks.syncedCount > 0 { asks.touch(regions) }
  }

  // MARK: Time and work

  package mutating func handleTimeout(now: UInt64) {
    guard mayClear, clearing.candidates == nil, now >= clearing.due else { return }
    clearing.start(at: now &+ clearNanoseconds)
    // What was taken away a period ago and has not found a round to ride with.
    if journal.hasLeftovers { _ = journal.writeOut() }
    if clearing.look(marks: journal.marks, stores: stores) { beginMediumFlush() }
  }

  /// Something of `requests` was done, or failed.
  package mutating func handleCompleted(token: UInt64, succeeded: Bool, now: UInt64) {
    if token == mediumToken {
      mediumToken = nil
      handleMedium(succeeded: succeeded, now: now)
    } else {
      let had = journal.record != nil
      guard journal.handleCompleted(token: token, succeeded: succeeded) else { return }
      if had, journal.record == nil { forgetAll() }
    }
    progress(now: now)
  }

  /// The unit was released: what was known of it is void, and so is what waits for its marks.
  private mutating func forgetAll() {
    asks.endMarks()
    stores.reset()
    clearing.reset()
    isIntact = true
  }

  /// Whether marks may be taken away by themselves: only where each member has everything that has
  /// ended.
  var mayClear: Bool {
    guard isOpen, !journal.isFailed, let record else { return false }
    return !record.generation.isDegraded
  }
}
