import Foundation
import Replication
import SCSI
import Storage
import Synchronization
import Testing

@testable import Mirrorcast

/// What a LUN remembers of its mirror, with a real file and real workers.
@Suite(.timeLimit(.minutes(5))) struct `A kept LUN` {
  private let scratch: ScratchDirectory
  private var file: String { "0=file:\(scratch.path)/disk.img,size=64M" }
  private var journal: String { "\(scratch.path)/disk.img.mirror" }

  init() throws { scratch = try ScratchDirectory() }

  private func isThere(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

  @Test func `is anybody's at first, and has no journal`() async throws {
    let disk = try KeptDisk(file)
    #expect(!disk.keeping.isKept)
    #expect(disk.keeping.readiness(for: 9) == .ready)
    let claimed = await disk.ask(.claim(holder: 7))
    #expect(claimed.descriptor?.record == nil)
    #expect(claimed.descriptor?.layout == RegionLayout(byteCount: 64 << 20))
    #expect(!isThere(journal))
  }

  @Test func `remembers its record and what may differ when the process is killed`() async throws {
    let record = keptRecord(members: 2)
    do {
      let disk = try KeptDisk(file)
      #expect(await disk.open(record) == .done)
      #expect(isThere(journal))
      #expect(disk.keeping.isKept && disk.keeping.readiness(for: 9) == .ready)
      let isPart = try disk.keeping.enter(1, session: 1, holder: nil) {}
      #expect(isPart)
      #expect(await disk.store(region: 3) == .now)
      #expect(await disk.store(region: 9, number: 2) == .now)
    }
    let disk = try KeptDisk(file)
    #expect(disk.keeping.isKept)
    #expect(disk.keeping.readiness(for: 1) == .mustBeOpened)
    let claimed = await disk.ask(.claim(holder: 8), session: 2)
    #expect(claimed.descriptor?.record == record)
    #expect(claimed.descriptor?.isIntact == false)
    #expect(disk.keeping.readiness(for: 2) == .ready)
    guard case .marks(let ranges, nil) = await disk.ask(.marks(from: 0), session: 2) else {
      Issue.record("no marks")
      return
    }
    for region in [3, 9] { #expect(ranges.contains { $0.contains(region) }) }
  }

  @Test func `stores are held until their marks are durable, and lanes are woken`() async throws {
    let disk = try KeptDisk(file)
    #expect(await disk.open() == .done)
    let woken = AsyncStream<Void>.makeStream()
    _ = try disk.keeping.enter(5, session: 1, holder: nil) { woken.continuation.yield() }
    let rounds = disk.keeping.roundsEnded
    #expect(disk.keeping.mayStore(0..<512, part: 5, number: .init(1), now: 0) == .later)
    for await _ in woken.stream {
      guard disk.keeping.roundsEnded != rounds else { continue }
      if disk.keeping.mayStore(0..<512, part: 5, number: .init(1), now: 0) == .now { break }
    }
    // A second write there waits for nothing.
    #expect(disk.keeping.mayStore(4096..<8192, part: 5, number: .init(2), now: 0) == .now)
  }

  @Test func `marks are taken away when all members have ended their writes`() async throws {
    let disk = try KeptDisk(file)
    disk.keeping.state.withLock { $0.unit.clearNanoseconds = 0 }
    #expect(await disk.open() == .done)
    _ = try disk.keeping.enter(1, session: 1, holder: nil) {}
    for region in 0..<4 {
      let start = UInt64(region) << 22
      while disk.keeping.mayStore(start..<start + 512, part: 1, number: .init(7), now: 0) == .later
      {
        await Task.yield()
      }
    }
    #expect(disk.keeping.descriptor.markedCount > 0)
    disk.keeping.ended(part: 1, below: .init(7), now: 0)
    for _ in 0..<100 { disk.passTime() }
    #expect(disk.keeping.descriptor.markedCount > 0)
    disk.keeping.ended(part: 1, below: .init(8), now: 0)
    // Workers do their part in between: each turn of the loop lets the time pass.
    while disk.keeping.descriptor.markedCount > 0 {
      disk.passTime()
      await Task.yield()
    }
  }

  @Test func `is released, and then its journal is gone`() async throws {
    let disk = try KeptDisk(file)
    #expect(await disk.open() == .done)
    #expect(isThere(journal))
    _ = try disk.keeping.enter(1, session: 1, holder: nil) {}
    #expect(await disk.ask(.release).refusal == .conflict)
    disk.keeping.leave(1, holder: 7, isKept: true)
    #expect(await disk.ask(.release) == .done)
    #expect(!disk.keeping.isKept)
    #expect(!isThere(journal))
    // And may be adopted again.
    #expect(await disk.ask(.adopt(keptRecord(mirror: 77), replaces: false)) == .done)
    #expect(isThere(journal) && disk.keeping.isKept)
  }

  @Test func `a record that was closed lets everybody read`() async throws {
    do {
      let disk = try KeptDisk(file)
      #expect(await disk.open() == .done)
      #expect(await disk.ask(.close) == .done)
      disk.keeping.sessionClosed(1)
      #expect(disk.keeping.isKept && disk.keeping.readiness(for: 9) == .ready)
    }
    let disk = try KeptDisk(file)
    #expect(disk.keeping.isKept && disk.keeping.readiness(for: 9) == .ready)
    let claimed = await disk.ask(.claim(holder: 8), session: 2)
    #expect(claimed.descriptor?.record?.isClosed == true)
    #expect(claimed.descriptor?.isIntact == true)
  }

  @Test func `one that lacks something takes copies, and is read by its holder alone`() async throws
  {
    let disk = try KeptDisk(file)
    #expect(await disk.open(keptRecord(members: 2, [.stale, .inSync])) == .done)
    #expect(disk.keeping.takesCopies)
    #expect(disk.keeping.readiness(for: 9) == .beingCopied)
    #expect(disk.keeping.readiness(for: 1) == .ready)
    let record = keptRecord(members: 2, counter: 2)
    #expect(await disk.ask(.adopt(record, replaces: false)) == .done)
    #expect(!disk.keeping.takesCopies)
    #expect(disk.keeping.readiness(for: 9) == .ready)
  }

  @Test func `is told adopted when no ordinary command changes it any more`() async throws {
    let disk = try KeptDisk(file)
    _ = await disk.ask(.claim(holder: 1))
    disk.unit.changes.begin()
    let answers = AsyncStream<KeepingAnswer>.makeStream()
    disk.keeping.ask(.adopt(keptRecord(), replaces: false), session: 1) {
      answers.continuation.yield($0)
    }
    // It looks again and again, and says nothing.
    var looks = 0
    while looks < 3 {
      if disk.timerCount > 0 {
        disk.passTime()
        looks += 1
      }
      await Task.yield()
    }
    #expect(disk.keeping.isKept)
    disk.unit.changes.end()
    while disk.timerCount == 0 { await Task.yield() }
    disk.passTime()
    var iterator = answers.stream.makeAsyncIterator()
    #expect(await iterator.next() == .done)
  }

  @Test func `a claim waits until the last one has ended`() async throws {
    let disk = try KeptDisk(file)
    #expect(await disk.open() == .done)
    #expect(await disk.ask(.claim(holder: 2), session: 2).refusal == .held)
    let isEnding = disk.keeping.beginEnding(1)
    #expect(isEnding)
    let answers = AsyncStream<KeepingAnswer>.makeStream()
    for session: UInt64 in [2, 3] {
      disk.keeping.ask(.claim(holder: session), session: session) {
        answers.continuation.yield($0)
      }
    }
    disk.keeping.sessionClosed(1)
    var iterator = answers.stream.makeAsyncIterator()
    #expect(await iterator.next()?.descriptor?.record == keptRecord())
    #expect(await iterator.next()?.refusal == .held)
    // Nothing of the first one's is stored any more.
    #expect(disk.keeping.mayStore(0..<512, part: 1, number: .init(1), now: 0) == .never)
  }

  @Test func `an initiator that has lost its session takes the LUN over`() async throws {
    let disk = try KeptDisk(file)
    #expect(await disk.open() == .done)
    _ = try disk.keeping.enter(1, session: 1, holder: nil) {}
    #expect(disk.keeping.beginTakeover(.claim(holder: 2), session: 2) == nil)
    #expect(disk.keeping.beginTakeover(.claim(holder: 1), session: 1) == nil)
    let claim = KeepingRequest.claim(holder: 1)
    #expect(disk.keeping.beginTakeover(claim, session: 3) == 1)
    #expect(disk.keeping.beginTakeover(claim, session: 4) == nil)
    let answers = AsyncStream<KeepingAnswer>.makeStream()
    disk.keeping.ask(claim, session: 3) { answers.continuation.yield($0) }
    // Until its parts have ended the old session is what it was.
    #expect(disk.keeping.isHolder(1) && !disk.keeping.isHolder(3))
    disk.keeping.leave(1, holder: 7, isKept: true)
    disk.keeping.sessionClosed(1)
    var iterator = answers.stream.makeAsyncIterator()
    #expect(await iterator.next()?.descriptor?.record == keptRecord())
    #expect(disk.keeping.isHolder(3) && !disk.keeping.isHolder(1))
    #expect(await disk.ask(.close, session: 1).refusal == .notClaimed)
    // It is opened anew.
    #expect(disk.keeping.mayStore(0..<512, part: 1, number: .init(9), now: 0) == .never)
    #expect(await disk.ask(.adopt(keptRecord(counter: 2), replaces: false), session: 3) == .done)
  }

  @Test func `what can't be kept is told in words`() async throws {
    let nowhere = try KeptDisk(file, "\(scratch.path)/no-such/folder")
    let refused = await nowhere.open()
    #expect(refused.refusal == .storage)
    #expect(refused.words.contains("no-such/folder"), "\(refused.words)")
    #expect(!nowhere.keeping.isKept)
    // The folder is there by now.
    try FileManager.default.createDirectory(
      atPath: "\(scratch.path)/no-such/folder", withIntermediateDirectories: true)
    #expect(await nowhere.ask(.adopt(keptRecord(), replaces: false)) == .done)
    try FileManager.default.removeItem(atPath: "\(scratch.path)/no-such")
  }

  @Test func `a LUN that is read only is adopted by nobody`() async throws {
    _ = try KeptDisk(file)
    let disk = try KeptDisk("0=file:\(scratch.path)/disk.img,readonly")
    #expect(await disk.ask(.order("status"), session: 2).refusal == .storage)
    let refused = await disk.open()
    #expect(refused.refusal == .storage && refused.words.contains("read only"))
  }

  @Test func `a journal that can't be believed is told with what to do`() async throws {
    do {
      let disk = try KeptDisk(file)
      #expect(await disk.open() == .done)
      #expect(await disk.ask(.adopt(keptRecord(counter: 2), replaces: false)) == .done)
    }
    var bytes = try Data(contentsOf: URL(fileURLWithPath: journal))
    for start in [0, 32 << 10] { bytes[start + 50] ^= 0xff }
    try bytes.write(to: URL(fileURLWithPath: journal))
    let error = #expect(throws: MirrorcastError.self) { _ = try KeptDisk(file) }
    #expect(error?.what.contains("disk.img.mirror: ") == true, "\(error?.what ?? "")")
    #expect(error?.what.contains("take it away") == true)
  }

  @Test func `memory remembers it without waiting`() async throws {
    let disk = try KeptDisk("0=memory:64M")
    #expect(await disk.open() == .done)
    _ = try disk.keeping.enter(1, session: 1, holder: nil) {}
    #expect(disk.keeping.mayStore(0..<512, part: 1, number: .init(1), now: 0) == .now)
    #expect(disk.keeping.descriptor.markedCount > 0)
  }

  @Test func `leaves its target while nobody has it`() async throws {
    let disk = try KeptDisk(file)
    #expect(await disk.open() == .done)
    #expect(!disk.keeping.withdraw())
    disk.keeping.sessionClosed(1)
    #expect(disk.keeping.withdraw())
    #expect(await disk.ask(.claim(holder: 2), session: 2).refusal == .held)
    disk.keeping.restore()
    #expect(await disk.ask(.claim(holder: 2), session: 2).descriptor != nil)
  }
}
