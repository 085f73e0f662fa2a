// What legs lack, on its way: compared by digests at the legs, held in the lanes, read at one leg
// and written to the others.
import Bytes
import Replication

/// Ranges that are held, and those in which writes had failed everywhere.
struct CopyBoard: Sendable {
  /// A hold, in the lanes or before them.
  private struct Hold: Sendable {
    let token: UInt64
    let bytes: Range<UInt64>
    var parts: [Int] = []
    /// Lanes that have yet to say that it stands.
    var awaited: Set<Int> = []
    var isAsked = false
  }

  /// Below what a lane takes.
  private static let holdsMax = Limits.holdsMax - 4

  private var holds: [Hold] = []
  /// Holds that wait until this initiator may write in their regions.
  private var before: [UInt64: Range<UInt64>] = [:]
  /// Those that were let go before they came so far.
  private var dropped: [UInt64: Range<UInt64>] = [:]
  /// The parts of ranges that were told, and not mended.
  private var suspects: [Int] = []

  mutating func noteSuspect(part: Int) { suspects.append(part) }

  /// So many of those that were told are equal again, or all: the parts that told them.
  mutating func takeSuspects(_ count: Int?) -> [Int] {
    let taken = suspects.prefix(count ?? suspects.count)
    defer { suspects.removeFirst(taken.count) }
    return Array(taken)
  }

  mutating func wait(_ token: UInt64, _ bytes: Range<UInt64>) { before[token] = bytes }

  /// A hold may be asked for; whether it is still wanted, and its range.
  mutating func enter(_ token: UInt64) -> (bytes: Range<UInt64>, isWanted: Bool)? {
    if let bytes = before.removeValue(forKey: token) { return (bytes, true) }
    return dropped.removeValue(forKey: token).map { ($0, false) }
  }

  /// Whether it was let go before it was asked for.
  mutating func drop(_ token: UInt64) -> Bool {
    guard let bytes = before.removeValue(forKey: token) else { return false }
    dropped[token] = bytes
    return true
  }

  mutating func append(_ token: UInt64, _ bytes: Range<UInt64>) {
    holds.append(Hold(token: token, bytes: bytes))
  }

  /// The next hold that the lanes are to be asked for; there all stand in one order, or two could
  /// wait for each other in two lanes.
  mutating func next(parts: (Range<UInt64>) -> [Int]) -> (UInt64, Range<UInt64>, [Int])? {
    guard holds.count(where: \.isAsked) < Self.holdsMax,
      let index = holds.firstIndex(where: { !$0.isAsked })
    else { return nil }
    holds[index].isAsked = true
    holds[index].parts = parts(holds[index].bytes)
    holds[index].awaited = Set(holds[index].parts)
    return (holds[index].token, holds[index].bytes, holds[index].parts)
  }

  /// Whether a hold stands in all lanes by this.
  mutating func noteHeld(_ token: UInt64, part: Int) -> Bool {
    guard let index = holds.firstIndex(where: { $0.token == token }) else { return false }
    return holds[index].awaited.remove(part) != nil && holds[index].awaited.isEmpty
  }

  /// The lanes that were asked for it, and its range.
  mutating func remove(_ token: UInt64) -> (parts: [Int], bytes: Range<UInt64>)? {
    guard let index = holds.firstIndex(where: { $0.token == token }) else { return nil }
    let hold = holds.remove(at: index)
    return (hold.parts, hold.bytes)
  }
}

extension KeepingLoop {
  mutating func handleCopying(_ news: KeptNews, now: UInt64) {
    switch news {
    case .held(let part, let token):
      guard copies.noteHeld(token, part: part) else { break }
      machine.lead { $0.handleHeld(token: token, now: now) }
    case .suspect(let part, let bytes):
      copies.noteSuspect(part: part)
      machine.handleSuspect(bytes, now: now)
    case .compared(let token, let differing):
      machine.lead { $0.handleCompared(token: token, differing: differing, now: now) }
    case .copied(let token): machine.lead { $0.handleCopied(token: token, now: now) }
    case .unreadable(let token, let leg, _, let words):
      machine.lead {
        $0.handleUnreadable(token: token, leg: leg, words: words, now: now)
      }
    default: break
    }
  }

  // MARK: Holds

  mutating func hold(_ token: UInt64, _ bytes: Range<UInt64>) {
    // No other initiator writes there first, then none of this one's lanes.
    guard sharing?.gate.enter(bytes, token: token) ?? true else {
      return copies.wait(token, bytes)
    }
    copies.append(token, bytes)
    holdNext()
  }

  mutating func enter(_ token: UInt64) {
    guard let (bytes, isWanted) = copies.enter(token) else { return }
    guard isWanted else {
      sharing?.gate.leave(bytes)
      return
    }
    copies.append(token, bytes)
    holdNext()
  }

  private mutating func holdNext() {
    let lanes = lanes
    while let (token, bytes, parts) = copies.next(parts: { lanes.parts(of: $0) }) {
      for part in parts { lanes.parts[part].inbox.post(.kept(.hold(token: token, bytes))) }
    }
  }

  mutating func release(_ token: UInt64) {
    guard !copies.drop(token), let (parts, bytes) = copies.remove(token) else { return }
    for part in parts { lanes.parts[part].inbox.post(.kept(.release(token: token))) }
    sharing?.gate.leave(bytes)
    holdNext()
  }

  // MARK: Comparing

  /// A leg that is lost meanwhile is told as lost; what it was compared for counts as different.
  func compare(_ token: UInt64, _ source: Int, _ targets: LegSet, _ bytes: Range<UInt64>) {
    guard let chunk = machine.leader?.configuration.copyLength else { return }
    let comparison = Comparison(
      bytes: bytes, chunk: Int(chunk),
      source: stop(source), targets: members(of: targets).map(stop),
      seconds: max(options.deadlineSeconds, 30))
    let inbox = inbox
    Task { await comparison.run(token, inbox) }
  }

  /// Reads under the hold, and has the lanes write it.
  func copy(_ token: UInt64, _ source: Int, _ targets: LegSet, _ bytes: Range<UInt64>) {
    let source = stop(source)
    var places: LegSet = []
    targets.forEach { if let place = seats[$0].place { places.insert(LegSet(place)) } }
    let (lanes, inbox) = (lanes, inbox)
    let seconds = max(options.deadlineSeconds, 30)
    Task {
      guard let bulk = source.bulk else {
        return inbox.post(
          .unreadable(token: token, leg: source.leg, stay: source.stay, "it is not here"))
      }
      do throws(LinkFailure) {
        let data = try await bulk.read(bytes, blockSize: lanes.blockSize, within: seconds)
        lanes.write(data, at: bytes.lowerBound, under: token, to: places) {
          inbox.post(.copied(token: token))
        }
      } catch {
        switch error {
        case .lost(let words):
          // Told first: then nothing of this counts as copied.
          inbox.post(.lost(leg: source.leg, stay: source.stay, words))
          inbox.post(.copied(token: token))
        case .refused(let words), .conflict(let words):
          inbox.post(.unreadable(token: token, leg: source.leg, stay: source.stay, words))
        }
      }
    }
  }

  private func stop(_ leg: Int) -> Comparison.Place {
    Comparison.Place(
      leg: leg, stay: seats[leg].stay, bulk: lanes.bulk(seats[leg]))
  }

  private func members(of legs: LegSet) -> [Int] {
    seats.indices.filter { legs.contains(LegSet($0)) }
  }
}

/// One range that is compared.
struct Comparison: Sendable {
  /// A leg, if it is still there.
  struct Place: Sendable {
    let leg: Int
    let stay: Int
    let bulk: LegBulk?
  }

  let bytes: Range<UInt64>
  let chunk: Int
  let source: Place
  let targets: [Place]
  let seconds: Double

  private var pieceCount: Int { (bytes.count + chunk - 1) / chunk }

  func run(_ token: UInt64, _ inbox: KeptInbox) async {
    let found = await withTaskGroup(of: (Int, Result<[UInt8], LinkFailure>).self) { group in
      for (index, place) in ([source] + targets).enumerated() {
        group.addTask { (index, await digests(place)) }
      }
      return await group.reduce(into: [Int: Result<[UInt8], LinkFailure>]()) { $0[$1.0] = $1.1 }
    }
    for (index, place) in ([source] + targets).enumerated() {
      guard case .failure(.lost(let words)) = found[index] else { continue }
      inbox.post(.lost(leg: place.leg, stay: place.stay, words))
    }
    for (index, place) in ([source] + targets).enumerated() {
      guard case .failure(.refused(let words)) = found[index] else { continue }
      return inbox.post(.unreadable(token: token, leg: place.leg, stay: place.stay, words))
    }
    let own = try? found[0]?.get()
    var differing = [LegSet](repeating: [], count: pieceCount)
    for (index, place) in targets.enumerated() {
      let other = try? found[index + 1]?.get()
      for piece in 0..<pieceCount where isDifferent(own, other, piece) {
        differing[piece].insert(LegSet(place.leg))
      }
    }
    inbox.post(.compared(token: token, differing))
  }

  private func digests(_ place: Place) async -> Result<[UInt8], LinkFailure> {
    guard let bulk = place.bulk else { return .failure(.refused("it is not here")) }
    do throws(LinkFailure) {
      return .success(try await bulk.digests(bytes, chunk: chunk, within: seconds))
    } catch {
      return .failure(error)
    }
  }

  private func isDifferent(_ own: [UInt8]?, _ other: [UInt8]?, _ piece: Int) -> Bool {
    guard let own, let other, own.count == other.count else { return true }
    let place = piece * DigestRequest.digestByteCount
    guard own.count >= place + DigestRequest.digestByteCount else { return true }
    let range = place..<place + DigestRequest.digestByteCount
    return own[range] != other[range]
  }
}

extension KeptLanes {
  /// Writes what one leg has to others, in as many pieces as stripes and the longest write make.
  func write(
    _ data: [UInt8], at offset: UInt64, under hold: UInt64, to places: LegSet,
    done: @escaping @Sendable () -> Void
  ) {
    let stripes = pieces(of: offset..<offset + UInt64(data.count))
    let gather = WriteGather(stripes.pieceCount) { _ in done() }
    for index in 0..<stripes.pieceCount {
      let piece = stripes[index]
      let copy = UnsafeMutableRawBufferPointer.allocate(
        byteCount: piece.range.count, alignment: 64)
      // Safe: as long as the piece; the lane frees it.
      unsafe copy.copyBytes(from: data[piece.range])
      let call = unsafe WriteCall(
        UnsafeRawBufferPointer(copy), isOwned: true,
        byteOffset: offset + UInt64(piece.range.lowerBound), forceUnitAccess: false,
        completion: gather.completion)
      parts[piece.part].inbox.post(.kept(.copy(call, hold: hold, targets: places)))
    }
  }
}
