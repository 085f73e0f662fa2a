import Testing

@testable import Replication

/// What a journal's file says when it is read again.
@Suite struct JournalTests {
  let layout = KeepingBench.layout(regions: 9000)
  let record = KeepingBench.record(counter: 1, states: [.inSync, .inSync])

  /// Carries everything out, in order, until nothing is asked for.
  func run(_ journal: inout Journal, _ file: inout VirtualJournalFile) {
    while !journal.requests.isEmpty {
      let requests = journal.requests
      journal.requests.removeAll()
      for request in requests {
        file.carryOut(request.work)
        journal.handleCompleted(token: request.token, succeeded: true)
      }
    }
  }

  /// A journal with a record and some marks, and its file.
  func made() throws -> (journal: Journal, file: VirtualJournalFile) {
    var file = VirtualJournalFile()
    var journal = try Journal(layout: layout, contents: nil)
    let due = journal.store(record)
    run(&journal, &file)
    #expect(due == 2)
    #expect(journal.roundsEnded == 2)
    let marked = journal.mark(3990..<4000)
    run(&journal, &file)
    #expect(marked == 3)
    #expect(journal.areDurable(3990..<4000))
    return (journal, file)
  }

  @Test func `no bytes, and zeros of any length, are a new journal`() throws {
    let full = Journal.byteCount(for: layout)
    #expect(full == (64 << 10) + 3 * 512)
    for count in [0, 1, 512, 40_000, full, full + 512] {
      let journal = try Journal(layout: layout, contents: [UInt8](repeating: 0, count: count))
      #expect(journal.record == nil)
      #expect(journal.marks.isEmpty)
    }
  }

  @Test func `the record and the marks are read again, and nothing of them is durable yet`() throws
  {
    var (before, file) = try made()
    #expect(file.contents.count == Journal.byteCount(for: layout))
    var journal = try Journal(layout: layout, contents: file.contents)
    #expect(journal.record == record)
    #expect(journal.marks.ranges().ranges == [3990..<4000])
    #expect(!journal.areDurable(3990..<3991))
    let due = journal.mark(3990..<3991)
    #expect(due == 1)
    run(&journal, &file)
    #expect(journal.areDurable(3990..<4000))
    _ = before.store(nil)
    run(&before, &file)
    let gone = try Journal(layout: layout, contents: file.contents)
    #expect(gone.record == nil)
    #expect(gone.marks.isEmpty)
  }

  @Test func `records go to the slots in turn, and one that is torn leaves the one before`() throws
  {
    var (journal, file) = try made()
    for counter in 2..<6 {
      let before = file.contents
      var next = record
      next.generation.counter = UInt64(counter)
      _ = journal.store(next)
      run(&journal, &file)
      let after = file.contents
      let slots = [0..<32768, 32768..<65536]
      let changed = slots.filter { before[$0] != after[$0] }
      #expect(changed.count == 1)
      var torn = after
      torn[try #require(changed.first).lowerBound + 60] ^= 1
      let found = try Journal(layout: layout, contents: torn)
      #expect(found.record?.generation.counter == UInt64(counter) - 1)
      let whole = try Journal(layout: layout, contents: after)
      #expect(whole.record == next)
    }
  }

  @Test func `damage is said in words`() throws {
    let file = try made().file
    let words = { (layout: RegionLayout, bytes: [UInt8]) -> String in
      do throws(JournalDamage) {
        _ = try Journal(layout: layout, contents: bytes)
        return "nothing"
      } catch {
        return error.description
      }
    }
    var bytes = file.contents
    bytes[20] ^= 1
    #expect(try Journal(layout: layout, contents: bytes).record == nil)
    bytes[32768 + 20] ^= 1
    #expect(words(layout, bytes).hasPrefix("neither of its two records"))
    #expect(words(KeepingBench.layout(regions: 8000), file.contents).contains("of a disk of"))
    let other = RegionLayout(byteCount: layout.byteCount, regionLength: 8192)
    #expect(words(other, file.contents).contains("in regions of 4096"))
    // Cut off in the middle of the only record, and behind it: the marks count as set.
    #expect(words(layout, Array(file.contents[..<100])).hasPrefix("neither"))
    let cut = try Journal(layout: layout, contents: Array(file.contents[..<65536]))
    #expect(cut.record == record)
    #expect(cut.marks.count == 9000)
  }

  @Test func `a file that was never finished being made is new`() throws {
    var bytes = try made().file.contents
    for index in 0..<32768 { bytes[index] = 0 }
    bytes[32768 + 20] ^= 1
    #expect(try Journal(layout: layout, contents: bytes).record == nil)
  }

  @Test(arguments: [0, 1, 2])
  func `a sector that isn't what was written has all its regions marked`(_ sector: Int) throws {
    let file = try made().file
    let place = 65536 + sector * 512
    let regions = sector * 3968..<min((sector + 1) * 3968, 9000)
    var flipped = file.contents
    flipped[place + 9] ^= 4
    var zeros = file.contents
    for index in place..<place + 512 { zeros[index] = 0 }
    var others = file.contents
    let other = 65536 + (sector + 1) % 3 * 512
    for index in 0..<512 { others[place + index] = file.contents[other + index] }
    for bytes in [flipped, zeros, others] {
      let journal = try Journal(layout: layout, contents: bytes)
      #expect(journal.marks.contains(regions))
      #expect(journal.marks.count < 9000)
      #expect(journal.counters.badSectors == 1)
    }
  }

  @Test func `no bytes trap`() throws {
    var random = SeededRandom(3)
    let sound = try made().file.contents
    for _ in 0..<300 {
      var bytes = sound
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let place =
          [0, 32768, 65536].randomElement(using: &random).map { $0 + Int(random.below(512)) } ?? 0
        bytes[place] = UInt8(random.below(256))
      }
      if random.chance(0.3) { bytes.removeLast(Int(random.below(UInt64(bytes.count)))) }
      guard var journal = try? Journal(layout: layout, contents: bytes) else { continue }
      var file = VirtualJournalFile()
      _ = journal.store(record)
      run(&journal, &file)
      #expect(journal.record == record)
    }
  }

  @Test func `the flush is asked for when all writes are done, and marks that come join the next`()
    throws
  {
    var (journal, _) = try made()
    _ = journal.mark(0..<1)
    _ = journal.mark(8000..<8001)
    let again = journal.mark(0..<1)
    #expect(again == 4)
    let first = journal.requests
    journal.requests.removeAll()
    #expect(first.count == 1)
    journal.handleCompleted(token: first[0].token, succeeded: true)
    // An answer that comes twice is nothing.
    journal.handleCompleted(token: first[0].token, succeeded: true)
    #expect(journal.requests.map(\.work) == [.flush])
    #expect(!journal.areDurable(0..<1))
    let flush = journal.requests.removeLast()
    journal.handleCompleted(token: flush.token, succeeded: true)
    #expect(journal.areDurable(0..<1))
    #expect(!journal.areDurable(8000..<8001))
    #expect(journal.requests.count == 1)
  }

  @Test func `a mark that was taken away is durable until a write without it begins`() throws {
    var (journal, file) = try made()
    var some = RegionMap(regionCount: 9000)
    some.insert(3990..<3992)
    journal.unmark(some)
    #expect(journal.requests.isEmpty)
    #expect(!journal.areDurable(3990..<3991))
    let kept = journal.mark(3990..<3991)
    #expect(kept == nil)
    #expect(journal.areDurable(3990..<3991))
    // The sector is written without 3991 on behalf of another region.
    _ = journal.mark(3000..<3001)
    let lost = journal.mark(3991..<3992)
    #expect(lost == 5)
    #expect(journal.areDurable(3990..<3991))
    run(&journal, &file)
    #expect(journal.areDurable(3991..<3992))
    let read = try Journal(layout: layout, contents: file.contents)
    #expect(read.marks.ranges().ranges == [3000..<3001, 3990..<4000])
  }

  @Test(arguments: [true, false])
  func `after a failure nothing is durable and nothing is done`(_ failsInWrite: Bool) throws {
    var (journal, _) = try made()
    _ = journal.mark(0..<1)
    var request = journal.requests.removeFirst()
    if !failsInWrite {
      journal.handleCompleted(token: request.token, succeeded: true)
      request = journal.requests.removeFirst()
    }
    journal.handleCompleted(token: request.token, succeeded: false)
    #expect(journal.isFailed)
    #expect(!journal.areDurable(3990..<3991))
    _ = journal.mark(1..<2)
    #expect(journal.requests.isEmpty)
    #expect(journal.roundsEnded == 4)
  }

  @Test func `a journal that could not be made is made anew by the next record`() throws {
    var file = VirtualJournalFile()
    var journal = try Journal(layout: layout, contents: nil)
    _ = journal.store(record)
    let requests = journal.requests
    journal.requests.removeAll()
    for request in requests { journal.handleCompleted(token: request.token, succeeded: false) }
    #expect(journal.isFailed)
    #expect(journal.record == nil)
    _ = journal.store(record)
    run(&journal, &file)
    #expect(journal.record == record)
    let read = try Journal(layout: layout, contents: file.contents)
    #expect(read.record == record)
    #expect(read.marks.isEmpty)
  }
}
