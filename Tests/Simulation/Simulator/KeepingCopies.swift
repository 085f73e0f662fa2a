// What legs lack, on its way: compared at the legs, held in the sender, read at one leg and written
// to the others.
import Bytes
import Replication

/// A hold, in the sender or before it.
struct Hold {
  let token: UInt64
  let bytes: Range<UInt64>
  var isAsked = false
  var isStanding = false
}

/// A range that is compared.
struct Comparison {
  /// What a leg has said.
  enum Found { case awaited(tag: Int), stamps([Stamp]), lost, refused }

  let token: UInt64
  let source: Int
  let bytes: Range<UInt64>
  /// The source first.
  var legs: [(leg: Int, found: Found)]
}

/// What one leg has, on its way to others.
struct Copy {
  let token: UInt64
  let source: Int
  let targets: LegSet
  let bytes: Range<UInt64>
  var readTag: Int?
  var stamps: [Stamp] = []
  /// Its pieces' tokens in the sender, and how many have yet to end.
  var pieces = 0..<0
  var piecesLeft = 0
}

extension Keeping {
  static let holdsMax = Limits.holdsMax - 4
  static let pieceTokens = 1 << 40

  // MARK: Holds

  func hold(_ token: UInt64, _ bytes: Range<UInt64>) {
    if world.plants(.unheldVerdict), isAllInSync {
      return coordinator.handleHeld(token: token, now: world.now)
    }
    // No other initiator writes there first, then nobody here.
    guard enterGate(bytes, token: token) else { return }
    holdNow(token, bytes)
  }

  func holdNow(_ token: UInt64, _ bytes: Range<UInt64>) {
    holds.append(Hold(token: token, bytes: bytes))
    holdNext()
  }

  private func holdNext() {
    guard initiator.sender != nil else { return }
    while holds.count(where: \.isAsked) < Self.holdsMax,
      let index = holds.firstIndex(where: { !$0.isAsked })
    {
      holds[index].isAsked = true
      let hold = holds[index]
      _ = initiator.sender?.value.hold(
        token: hold.token, byteOffset: hold.bytes.lowerBound, length: hold.bytes.count,
        now: world.now)
    }
  }

  func release(_ token: UInt64) {
    guard desk?.drop(token) != true else { return }
    let bytes = holds.first { $0.token == token }?.bytes
    holds.removeAll { $0.token == token }
    initiator.sender?.value.releaseHold(token: token, now: world.now)
    if let bytes { leaveGate(world.scenario.layout.regions(of: bytes)) }
    holdNext()
  }

  func handleHeld(_ token: UInt64) {
    guard let index = holds.firstIndex(where: { $0.token == token }) else { return }
    holds[index].isStanding = true
    machine.lead { $0.handleHeld(token: token, now: world.now) }
  }

  func handleSuspect(_ bytes: Range<UInt64>) {
    suspects += 1
    machine.handleSuspect(bytes, now: world.now)
  }

  // MARK: Reading

  /// A leg's channel for bulk, where it has a place and is there.
  private func bulk(_ leg: Int) -> Int? {
    guard let place = seats[leg].place, place < initiator.legs.count,
      !initiator.legs[place].isLost, !seats[leg].isJoining
    else { return nil }
    return initiator.legs[place].channel
  }

  private func read(_ leg: Int, _ bytes: Range<UInt64>) -> Int? {
    guard let channel = bulk(leg) else { return nil }
    initiator.nextTag += 1
    let first = Int(bytes.lowerBound) / Sector.byteCount
    world.send(
      .read(tag: initiator.nextTag, sectors: first..<Int(bytes.upperBound) / Sector.byteCount),
      on: channel)
    initiator.bulkTags[initiator.nextTag] = channel
    return initiator.nextTag
  }

  // MARK: Comparing

  func compare(_ token: UInt64, _ source: Int, _ targets: LegSet, _ bytes: Range<UInt64>) {
    world.note(
      initiator.index, "compares from sector % on, source leg %, targets %",
      Int(bytes.lowerBound) / Sector.byteCount, source, Int(targets.rawValue))
    var legs = [source]
    targets.forEach { legs.append($0) }
    comparisons.append(
      Comparison(
        token: token, source: source, bytes: bytes,
        legs: legs.map { leg in (leg, read(leg, bytes).map { .awaited(tag: $0) } ?? .refused) }))
    endComparisons()
  }

  /// Something that was read, or couldn't be.
  func handleRead(tag: Int, _ stamps: [Stamp]?, isLost: Bool = false) {
    for index in comparisons.indices {
      for leg in comparisons[index].legs.indices {
        guard case .awaited(tag) = comparisons[index].legs[leg].found else { continue }
        comparisons[index].legs[leg].found =
          isLost ? .lost : stamps.map { .stamps($0) } ?? .refused
      }
    }
    endComparisons()
    if let index = copies.firstIndex(where: { $0.readTag == tag }) {
      handleCopyRead(index, stamps, isLost: isLost)
    }
  }

  private func endComparisons() {
    while let index = comparisons.firstIndex(where: { comparison in
      comparison.legs.allSatisfy { if case .awaited = $0.found { false } else { true } }
    }) {
      let comparison = comparisons.remove(at: index)
      for (leg, found) in comparison.legs {
        if case .lost = found, seats[leg].link != nil { lose(leg) }
      }
      let refused = comparison.legs.first { if case .refused = $0.found { true } else { false } }
      if let refused {
        machine.lead {
          $0.handleUnreadable(
            token: comparison.token, leg: refused.leg, words: "unreadable", now: world.now)
        }
      } else {
        conclude(comparison)
      }
    }
  }

  private func conclude(_ comparison: Comparison) {
    world.note(
      initiator.index, "has compared from sector % on",
      Int(comparison.bytes.lowerBound) / Sector.byteCount)
    let length = world.scenario.copySectors
    let count = comparison.bytes.count / Sector.byteCount
    var differing = [LegSet](repeating: [], count: (count + length - 1) / length)
    var own: [Stamp]?
    if case .stamps(let stamps) = comparison.legs[0].found { own = stamps }
    for (leg, found) in comparison.legs.dropFirst() {
      for piece in differing.indices {
        let range = piece * length..<min((piece + 1) * length, count)
        if case .stamps(let stamps) = found, let own, own[range] == stamps[range] { continue }
        if world.plants(.blindComparison), isAllInSync { continue }
        differing[piece].insert(LegSet(leg))
      }
    }
    if world.plants(.unheldCopy), let own {
      world.plantedReads[comparison.token] = (comparison.bytes.lowerBound, own)
    }
    machine.lead {
      $0.handleCompared(token: comparison.token, differing: differing, now: world.now)
    }
  }

  // MARK: Copying

  func copy(_ token: UInt64, _ source: Int, _ targets: LegSet, _ bytes: Range<UInt64>) {
    world.note(
      initiator.index, "copies from sector % on, source leg %, targets %",
      Int(bytes.lowerBound) / Sector.byteCount, source, Int(targets.rawValue))
    world.happens(.copying)
    var copy = Copy(token: token, source: source, targets: targets, bytes: bytes)
    copy.readTag = read(source, bytes)
    copies.append(copy)
    guard copy.readTag == nil else { return }
    copies.removeLast()
    machine.lead {
      $0.handleUnreadable(token: token, leg: source, words: "it is not here", now: world.now)
    }
  }

  private func handleCopyRead(_ index: Int, _ stamps: [Stamp]?, isLost: Bool) {
    let copy = copies[index]
    copies[index].readTag = nil
    guard let stamps, !isLost else {
      copies.remove(at: index)
      if isLost {
        // Told first: then nothing of this counts as copied.
        if seats[copy.source].link != nil { lose(copy.source) }
        machine.lead { $0.handleCopied(token: copy.token, now: world.now) }
      } else {
        machine.lead {
          $0.handleUnreadable(
            token: copy.token, leg: copy.source, words: "unreadable", now: world.now)
        }
      }
      return
    }
    copies[index].stamps = world.planted(stamps, for: copy)
    submit(index)
  }

  private func submit(_ index: Int) {
    let copy = copies[index]
    var places: LegSet = []
    copy.targets.forEach { if let place = seats[$0].place { places.insert(LegSet(place)) } }
    let most = UInt64(world.scenario.writeSectorsMax * Sector.byteCount)
    var start = copy.bytes.lowerBound
    var pieces: [Range<UInt64>] = []
    while start < copy.bytes.upperBound {
      let end = min(start + most, copy.bytes.upperBound)
      pieces.append(start..<end)
      start = end
    }
    let tokens = initiator.nextPiece..<initiator.nextPiece + pieces.count
    initiator.nextPiece += pieces.count
    copies[index].pieces = tokens
    copies[index].piecesLeft = pieces.count
    let isStanding = holds.contains { $0.token == copy.token && $0.isStanding }
    for (token, piece) in zip(tokens, pieces) {
      let isTaken =
        isStanding
        && initiator.sender?.value.submitCopy(
          token: UInt64(token), byteOffset: piece.lowerBound, length: piece.count, to: places,
          now: world.now) == true
      if !isTaken { handlePieceEnded(token) }
    }
  }

  /// The sectors of a piece, and what each of them has.
  func piece(_ token: Int, _ submission: Submission) -> (sectors: Range<Int>, stamps: [Stamp])? {
    guard let copy = copies.first(where: { $0.pieces.contains(token) }) else { return nil }
    let first = Int(submission.byteOffset) / Sector.byteCount
    let sectors = first..<first + submission.length / Sector.byteCount
    let start = first - Int(copy.bytes.lowerBound) / Sector.byteCount
    return (sectors, Array(copy.stamps[start..<start + sectors.count]))
  }

  func handlePieceEnded(_ token: Int) {
    guard let index = copies.firstIndex(where: { $0.pieces.contains(token) }) else { return }
    copies[index].piecesLeft -= 1
    guard copies[index].piecesLeft == 0 else { return }
    let copy = copies.remove(at: index)
    machine.lead { $0.handleCopied(token: copy.token, now: world.now) }
  }
}
