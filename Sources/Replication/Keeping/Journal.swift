// The file beside a LUN in which its leg remembers its mirror and what may differ, as a machine:
// it says what to write and when to flush, and is told how that went.
//
// All is done in rounds: the writes, and when all of them are done one flush. What is asked for
// while a round runs joins the next one, so that any number of marks costs one flush. A round that
// failed is the end: nobody knows what is on the disk then, and a flush that succeeds after one
// that failed says nothing of what was lost before (Linux tells a lost page once). Only where no
// record was ever stored may it begin anew, since nothing can have been promised on it.
//
// Three things are told apart for a region: whether it *is marked* (what the leg believes), whether
// the mark is *durable* (the disk says so, whatever fails from now on), and else the disk's bit is
// unknown. Laws:
// - Durable comes only with a flush that began when the sector's write was done, and goes when a
//   write of the sector without the mark begins. So a mark that is taken away and set again before
//   such a write began is durable still; after it, it needs a round.
// - What was read from the file may be the page cache's alone, even after a flush (of a life before
//   this one) that failed: after loading nothing is durable. The first round writes all mark
//   sectors and the newest slot again, byte for byte; a record waits for the second, since it goes
//   to the older slot, which may be the only one that is on the medium yet.
// - A record goes to the slot that doesn't hold the newest durable one.
// - Taking marks away is never urgent by itself: a mark too many costs a comparison, no more. It
//   rides with the next round.

/// A leg's record and marks, and how they come to the medium.
package struct Journal: Sendable {
  package let layout: RegionLayout
  /// What is stored durably; nil: the leg belongs to no mirror.
  package private(set) var record: MirrorRecord?
  /// The regions that are marked, durably or not yet.
  package private(set) var marks: RegionMap
  /// What the owner has to do; it empties the array.
  package var requests: [JournalRequest] = []
  package private(set) var counters = JournalCounters()
  /// Rounds that have ended, well or not.
  package private(set) var roundsEnded: UInt64 = 0
  /// Nothing can be stored any more.
  package private(set) var isFailed = false

  private var durable: RegionMap
  /// Sectors (not regions) that say something else than `marks`, or may.
  private var dirty: RegionMap
  private var slots: RecordSlots
  private var round = JournalRound()
  private var waiting: RecordChange?
  /// Something is to be written as soon as the round that runs has ended.
  private var isNextWanted = false
  /// The first round, which writes all sectors, is done.
  private var isSettled = false
  private var nextToken: UInt64 = 1

  package static func byteCount(for layout: RegionLayout) -> Int {
    JournalBytes.byteCount(for: layout)
  }

  /// - Parameter contents: the file's bytes, nil where there is none.
  package init(layout: RegionLayout, contents: [UInt8]?) throws(JournalDamage) {
    let found = try JournalContents(contents, layout: layout)
    self.layout = layout
    record = found.record
    marks = found.marks
    counters.badSectors = found.badSectors
    durable = RegionMap(regionCount: layout.regionCount)
    dirty = RegionMap(regionCount: JournalBytes.sectorCount(for: layout), isFull: true)
    slots = RecordSlots(newest: found.newest, sequence: found.sequence)
  }

  // MARK: Looking

  /// Whether these are marked, and will be whatever fails.
  package func areDurable(_ regions: Range<Int>) -> Bool {
    for region in regions where !durable.contains(region) || !marks.contains(region) {
      return false
    }
    return true
  }

  /// Whether a change of the record is on its way.
  package var isStoring: Bool { waiting != nil }

  /// Whether the disk has marks that are taken away already.
  package var hasLeftovers: Bool { record != nil && isSettled && !dirty.isEmpty }

  // MARK: Commands

  /// Marks regions of a leg that has a record.
  /// - Returns: the round with whose end they are durable; nil where they are.
  package mutating func mark(_ regions: Range<Int>) -> UInt64? {
    precondition(record != nil, "marks without a record are void")
    var due: UInt64?
    for region in regions {
      if marks.insert(region) { counters.marksSet += 1 }
      guard !durable.contains(region) else { continue }
      if round.brings(region) {
        due = max(due ?? 0, round.number)
      } else {
        dirty.insert(region / JournalBytes.regionsPerSector)
        due = round.next
      }
    }
    if due == round.next { begin() }
    return due
  }

  /// Takes marks away: by the next round, whenever that is.
  package mutating func unmark(_ regions: RegionMap) {
    var next = regions.first()
    while let region = next {
      if marks.remove(region) {
        counters.marksTaken += 1
        dirty.insert(region / JournalBytes.regionsPerSector)
      }
      next = regions.first(from: region + 1)
    }
  }

  /// Writes what differs.
  /// - Returns: the round with whose end marks that were taken away are away; nil where they are.
  package mutating func writeOut() -> UInt64? {
    guard record != nil, !dirty.isEmpty else {
      return round.phase == .idle ? nil : round.number
    }
    let due = round.next
    begin()
    return due
  }

  /// Stores a record, or that there is none, which ends all marks, too. One at a time.
  /// - Returns: the round with whose end that is durable.
  package mutating func store(_ record: MirrorRecord?) -> UInt64 {
    precondition(waiting == nil, "two records at once")
    if self.record == nil {
      // Made anew, whatever the file has.
      isSettled = false
      isFailed = false
      dirty.insert(0..<dirty.regionCount)
    }
    precondition(!isFailed, "a journal that has failed")
    let due = round.next + (isSettled || round.phase != .idle ? 0 : 1)
    waiting = RecordChange(record: record, round: due)
    begin()
    return due
  }

  /// Asks for a flush of the LUN's own data.
  /// - Returns: the token that tells how it went.
  package mutating func flushMedium() -> UInt64 {
    counters.mediumFlushes += 1
    return ask(.flushMedium)
  }

  // MARK: Rounds

  /// A write or a flush was done, or failed.
  /// - Returns: whether it was one of the journal's own.
  @discardableResult
  package mutating func handleCompleted(token: UInt64, succeeded: Bool) -> Bool {
    guard round.tokens.contains(token) else { return false }
    if !succeeded { round.hasFailed = true }
    switch round.phase {
    case .writing(let left) where left > 1: round.phase = .writing(left: left - 1)
    case .writing where !round.hasFailed:
      round.phase = .flushing
      counters.flushes += 1
      let flush = ask(.flush)
      round.tokens = flush..<flush + 1
    case .writing, .flushing: end()
    case .idle: break
    }
    return true
  }

  private mutating func ask(_ work: JournalRequest.Work) -> UInt64 {
    let token = nextToken
    nextToken += 1
    requests.append(JournalRequest(token: token, work: work))
    return token
  }

  /// Begins a round, now or when the one that runs has ended.
  private mutating func begin() {
    isNextWanted = round.phase != .idle
    guard round.phase == .idle, !isFailed else { return }
    let first = nextToken
    round.begin(marks, sectors: dirty)
    counters.rounds += 1
    while let sector = dirty.first() {
      dirty.remove(sector)
      for word in JournalBytes.words(of: sector, in: marks) {
        durable.setWord(word, durable.words[word] & marks.words[word])
      }
      write(
        JournalBytes.marksOffset + sector * JournalBytes.sectorLength,
        JournalBytes.sector(sector, of: marks))
    }
    writeSlot()
    // A round has one write at least: only what differs begins one, or a record.
    round.tokens = first..<nextToken
    round.phase = .writing(left: Int(nextToken - first))
    precondition(nextToken > first, "a round of nothing")
  }

  private mutating func write(_ offset: Int, _ bytes: [UInt8]) {
    counters.writes += 1
    _ = ask(.write(offset: offset, bytes: bytes))
  }

  private mutating func writeSlot() {
    let isChange = waiting?.round == round.number
    guard isChange || !isSettled else { return }
    // The very first slot says that there is none. What was found is written again as it was: a
    // write that was lost after a flush had failed is in the page cache all the same.
    let isNew = isChange || slots.newest == nil
    round.advancesSlot = isNew
    let slot = JournalBytes.slot(
      isChange ? waiting?.record : record, sequence: slots.sequence + (isNew ? 1 : 0),
      layout: layout)
    write((isNew ? slots.next : 1 - slots.next) * JournalBytes.slotLength, slot)
  }

  private mutating func end() {
    round.phase = .idle
    round.tokens = 0..<0
    roundsEnded += 1
    guard !round.hasFailed else { return fail() }
    var next = round.sectors.first()
    while let sector = next {
      for word in JournalBytes.words(of: sector, in: marks) {
        durable.setWord(word, round.marks.words[word])
      }
      next = round.sectors.first(from: sector + 1)
    }
    isSettled = true
    if round.advancesSlot { slots.advance() }
    if let change = waiting, change.round == round.number {
      waiting = nil
      record = change.record
      if record == nil {
        marks.removeAll()
        durable.removeAll()
        isNextWanted = false
      }
    }
    if isNextWanted || waiting != nil { begin() }
  }

  private mutating func fail() {
    isFailed = true
    counters.failures += 1
    durable.removeAll()
    waiting = nil
    isNextWanted = false
  }
}
