// The write caches of the legs, as one: all on, or all off.
//
// What was set by this mirror holds for it as long as it lives: a leg that comes into it later is
// set so before it is a member, or isn't taken; after a reset by the mirror it is set again. A
// reset by somebody else, or a daemon that starts anew, sets a leg's cache to its default, as the
// standards have it; the mirror's own writes have FUA while it is to be off, so none of them
// depends on that. The road not taken was to ask the legs before each write.
import Bytes
import ISCSI
import Logging
import SCSI
import Synchronization

/// What a mirror wants of its legs' write caches, for all that takes legs into it.
final class WriteCacheWish: Sendable {
  /// Nothing was asked, or the cache off, or on.
  private let wish = Mutex<Bool?>(nil)
  private let isBusy = Atomic(false)
  /// So that a write need not take the lock.
  private let isOff = Atomic(false)

  var value: Bool? {
    get { wish.withLock { $0 } }
    set {
      wish.withLock { wish in
        wish = newValue
        isOff.store(newValue == false, ordering: .releasing)
      }
    }
  }

  /// One change at a time; false while another one runs.
  func begin() -> Bool { !isBusy.exchange(true, ordering: .acquiringAndReleasing) }
  func end() { isBusy.store(false, ordering: .releasing) }

  /// Whether each write is a forced one.
  var forcesWrites: Bool { isOff.load(ordering: .acquiring) }
}

extension Mirror {
  /// Whether the legs may answer GOOD before their media have a write (WCE of the caching mode
  /// page, SBC-3 §6.4.5). Throws `MirrorcastError` where they differ, or where one doesn't tell.
  public func writeCache() async throws -> Bool {
    guard let succession else { return try await writeCacheHere() }
    return try await succession.ask(self) { try await $0.writeCacheHere() }
  }

  private func writeCacheHere() async throws -> Bool {
    let answers = await eachUnit { try await $0.connection.cachingPage($1).hasWriteCache }
    let states = try Self.known(answers)
    guard let first = states.first else { throw MirrorcastError("no leg is here") }
    guard states.allSatisfy({ $0.value == first.value }) else {
      let words = states.map { "\($0.url) \($0.value ? "on" : "off")" }
      throw MirrorcastError(
        "the legs' write caches differ: \(words.joined(separator: ", "))",
        advice: "Set them to one state by setWriteCache(_:).")
    }
    return first.value
  }

  /// Sets the write cache of every leg by MODE SELECT, and that of each that comes later. While it
  /// is off each write of this mirror has FUA, too.
  ///
  /// Throws `MirrorcastError`, which names them, where legs refuse: then all are as they were, but
  /// for those that it names as well, or while another change runs.
  public func setWriteCache(_ isOn: Bool) async throws {
    guard writeCacheWish.begin() else {
      throw MirrorcastError("the write caches are just being set", advice: "Try it again.")
    }
    defer { writeCacheWish.end() }
    guard let succession else { return try await setWriteCacheHere(isOn) }
    try await succession.ask(self) { try await $0.setWriteCacheHere(isOn) }
  }

  private func setWriteCacheHere(_ isOn: Bool) async throws {
    let former = writeCacheWish.value
    // Before the legs are listed: one that comes meanwhile is set by whoever takes it in.
    writeCacheWish.value = isOn
    let answers = await eachUnit { try await $0.connection.setWriteCache(isOn, $1) }
    do {
      _ = try Self.known(answers)
    } catch {
      writeCacheWish.value = former
      // Those that were so before stay so; one that came meanwhile was set by whoever took it in.
      let same = Set(
        answers.compactMap { answer in
          guard case .success(let was) = answer.result, was == isOn else { return nil }
          return answer.url
        } as [LogicalUnitURL])
      let restored = await eachUnit(except: same) {
        try await $0.connection.setWriteCache(!isOn, $1)
      }
      guard let words = Self.refusals(restored) else { throw error }
      throw MirrorcastError(
        "\(error.what); not set back: \(words)", advice: "See to those legs.")
    }
  }

  /// What one LUN of a leg said.
  struct UnitAnswer<Value: Sendable>: Sendable {
    let url: LogicalUnitURL
    let isGone: Bool
    let result: Result<Value, MirrorcastError>
  }

  /// Asks each LUN of each leg that is here, at once; in the order of the legs.
  func eachUnit<Value: Sendable>(
    except urls: Set<LogicalUnitURL> = [],
    _ body: @escaping @Sendable (MirrorLeg, LogicalUnitURL) async throws -> Value
  ) async -> [UnitAnswer<Value>] {
    let units = parts[0].membership.withLock { $0.present }.flatMap { _, leg in
      leg.urls.filter { !urls.contains($0) }.map { (leg, $0) }
    }
    return await withTaskGroup(of: (Int, UnitAnswer<Value>).self) { group in
      for (index, (leg, url)) in units.enumerated() {
        group.addTask {
          let result: Result<Value, MirrorcastError>
          do {
            result = .success(try await body(leg, url))
          } catch {
            result = .failure(error as? MirrorcastError ?? MirrorcastError("\(error)"))
          }
          return (index, UnitAnswer(url: url, isGone: leg.isGone, result: result))
        }
      }
      var answers: [(Int, UnitAnswer<Value>)] = []
      for await answer in group { answers.append(answer) }
      return answers.sorted { $0.0 < $1.0 }.map(\.1)
    }
  }

  /// Those that have answered; throws the words of those that failed. A leg that left meanwhile is
  /// none any more.
  private static func known<Value>(
    _ answers: [UnitAnswer<Value>]
  ) throws(MirrorcastError) -> [(url: LogicalUnitURL, value: Value)] {
    if let words = refusals(answers) {
      throw MirrorcastError(
        "not the same at all legs: \(words)",
        advice: "Leave that leg out, or leave the write cache alone.")
    }
    return answers.compactMap { answer in
      guard case .success(let value) = answer.result else { return nil }
      return (answer.url, value)
    }
  }

  private static func refusals<Value>(_ answers: [UnitAnswer<Value>]) -> String? {
    var failures: [String] = []
    for answer in answers where !answer.isGone {
      if case .failure(let error) = answer.result {
        failures.append("\(answer.url): \(error.what)")
      }
    }
    return failures.isEmpty ? nil : failures.joined(separator: "; ")
  }

  /// The same for all legs of a mirror that follows another one; what a leg refuses is logged.
  func takeOverWriteCache() async {
    guard let isOn = writeCacheWish.value else { return }
    let answers = await eachUnit { try await $0.connection.setWriteCache(isOn, $1) }
    guard let words = Self.refusals(answers) else { return }
    logger.warning("the write caches are not as they were set: \(words)")
  }
}

extension InitiatorConnection {
  /// The caching mode page of a LUN, as it is now.
  func cachingPage(_ url: LogicalUnitURL) async throws(MirrorcastError) -> CachingPage {
    let room = Int(CachingPage.answerMax)
    let outcome = try await command(
      lun: url.number, .senseCaching, transfer: .read(lengthMax: room))
    guard outcome.isGood else {
      throw MirrorcastError("it doesn't tell of its write cache: \(outcome.text)")
    }
    // Safe: the span over the answer ends with the expression.
    guard let page = unsafe CachingPage(modeSense6: outcome.data.span.bytes) else {
      throw MirrorcastError("it answers no caching mode page")
    }
    return page
  }

  /// Sets a LUN's write cache where it isn't so; what it was.
  @discardableResult
  func setWriteCache(
    _ isOn: Bool, _ url: LogicalUnitURL
  ) async throws(MirrorcastError) -> Bool {
    var page = try await cachingPage(url)
    guard page.hasWriteCache != isOn else { return isOn }
    page.hasWriteCache = isOn
    let list = page.parameterList
    let outcome = try await command(
      lun: url.number, .modeSelect6(parameterListLength: UInt8(list.count)),
      transfer: .write(list[...]))
    guard outcome.isGood else {
      throw MirrorcastError(
        "its write cache can't be switched \(isOn ? "on" : "off"): \(outcome.text)")
    }
    return !isOn
  }
}
