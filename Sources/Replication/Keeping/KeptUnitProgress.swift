// How a kept unit's requests get on: by rounds of its journal and flushes of its medium.

extension KeptUnit {
  /// Whatever can go on does.
  mutating func progress(now: UInt64) {
    endRounds(now: now)
    while let index = asks.nextOfRecord, !journal.isStoring {
      beginRecordChange(index, now: now)
    }
    beginMediumFlush()
    if !desk.isEmpty, !isOpen { refuseOrders() }
  }

  /// Answers what waited for rounds that have ended.
  private mutating func endRounds(now: UInt64) {
    let ended = journal.roundsEnded
    let isFailed = journal.isFailed
    while let index = asks.first({ stage in
      guard case .round(let due) = stage else { return false }
      return isFailed || due <= ended
    }) {
      if isFailed {
        refuse(index, .storage, "its journal has failed")
      } else {
        end(index, now: now)
      }
    }
  }

  private mutating func end(_ index: Int, now: UInt64) {
    let ask = asks.remove(at: index)
    if case .adopt = ask.kind, claim?.session == ask.session {
      claim?.isOpen = true
      isIntact = true
      clearing.start(at: now &+ clearNanoseconds)
    }
    answer(ask.session, ask.token, .done)
  }

  private mutating func refuse(_ index: Int, _ why: KeepingRefusal, _ words: String) {
    let ask = asks.remove(at: index)
    refuse(ask.session, ask.token, why, words)
  }

  // MARK: The record

  private mutating func beginRecordChange(_ index: Int, now: UInt64) {
    if journal.isFailed, journal.record != nil {
      if case .describe = asks.asks[index].kind { claim = nil }
      return refuse(index, .storage, "its journal has failed")
    }
    switch asks.asks[index].kind {
    case .describe:
      let ask = asks.remove(at: index)
      answer(ask.session, ask.token, .description(descriptor))
    case .adopt(let record, let replaces):
      if !replaces, let words = conflict(with: record) { return refuse(index, .conflict, words) }
      forgive(by: record)
      var stored = record
      stored.isClosed = false
      asks.asks[index].stage = .round(journal.store(stored))
    case .close:
      guard let record = journal.record else {
        return refuse(index, .badRequest, "it belongs to no mirror")
      }
      if !isOpen {
        guard record.isClosed else { return refuse(index, .badRequest, "it is not open") }
        return end(index, now: now)
      }
      claim?.isOpen = false
      clearing.abandon()
      asks.asks[index].stage = .wantsMedium
    case .release:
      claim?.isOpen = false
      clearing.abandon()
      guard journal.record != nil else { return end(index, now: now) }
      asks.asks[index].stage = .round(journal.store(nil))
    case .mark, .synced: preconditionFailure("no change of the record")
    }
  }

  private func conflict(with record: MirrorRecord) -> String? {
    guard let present = journal.record else { return nil }
    guard present.mirror == record.mirror else { return "it belongs to mirror \(present.name)" }
    guard present.member == record.member else { return "it is another member of that mirror" }
    guard
      present.generation.id == record.generation.id
        || present.generation.counter < record.generation.counter
    else { return "its generation is \(present.generation.counter), which is not older" }
    return nil
  }

  /// Law: that all are in sync, said after the same claim had said that not all were, means that
  /// all that was marked anywhere has been made equal. Only then is it forgotten that some writes'
  /// ends are unknown; the first generation that a claim adopts, or a repeated one, says no such
  /// thing.
  private mutating func forgive(by record: MirrorRecord) {
    guard isOpen, let present = journal.record, present.mirror == record.mirror,
      present.generation.isDegraded, !record.generation.isDegraded,
      present.generation.counter < record.generation.counter
    else { return }
    stores.forgiveAll()
  }

  // MARK: The medium

  /// Flushes the medium for all that wait for that, unless a flush runs: that began too early.
  mutating func beginMediumFlush() {
    guard mediumToken == nil else { return }
    var isWanted = clearing.candidates != nil
    for index in asks.asks.indices where asks.asks[index].stage == .wantsMedium {
      asks.asks[index].stage = .flushingMedium
      isWanted = true
      switch asks.asks[index].kind {
      case .close:
        var regions = journal.marks
        regions.subtract(stores.open)
        regions.subtract(stores.lost)
        asks.asks[index].kind = .close(regions)
      case .synced(var regions, let asked):
        regions.subtract(stores.open)
        asks.asks[index].kind = .synced(regions, asked: asked)
      case .mark, .adopt, .release, .describe: break
      }
    }
    guard isWanted else { return }
    clearing.handleFlushBegun()
    mediumToken = journal.flushMedium()
  }

  /// The flush of the medium has ended.
  ///
  /// Law: after one that failed no later one can be trusted to cover what was written before, so
  /// all that is marked now stays so until it is said to be equal.
  mutating func handleMedium(succeeded: Bool, now: UInt64) {
    if !succeeded { stores.lose(journal.marks) }
    if clearing.isFlushing {
      if succeeded, mayClear, let regions = clearing.take(stores) {
        journal.unmark(regions)
      }
      clearing.abandon()
      clearing.start(at: now &+ clearNanoseconds)
    }
    while let index = asks.first({ $0 == .flushingMedium }) {
      guard succeeded else {
        refuse(index, .storage, "its medium can't be flushed")
        continue
      }
      guard !journal.isFailed else {
        refuse(index, .storage, "its journal has failed")
        continue
      }
      endFlush(index, now: now)
    }
  }

  private mutating func endFlush(_ index: Int, now: UInt64) {
    switch asks.asks[index].kind {
    case .synced(var regions, let asked):
      regions.subtract(stores.open)
      regions.subtract(stores.lost)
      counters.keptMarks += UInt64(asked - regions.count)
      journal.unmark(regions)
      if let due = journal.writeOut() {
        asks.asks[index].stage = .round(due)
      } else {
        end(index, now: now)
      }
    case .close(var regions):
      guard var record = journal.record else { return end(index, now: now) }
      regions.subtract(stores.open)
      regions.subtract(stores.lost)
      if !record.generation.isDegraded { journal.unmark(regions) }
      record.isClosed = true
      asks.asks[index].stage = .round(journal.store(record))
    case .mark, .adopt, .release, .describe: preconditionFailure("no flush was wanted")
    }
  }
}
