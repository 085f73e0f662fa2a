@testable import Replication

/// A file as a power cut treats it: of what was written and not flushed, each sector is old, new or
/// torn, for itself; and a flush that fails leaves what it should have brought in the page cache
/// only, looking as if it were stored.
struct VirtualJournalFile {
  static let sectorLength = 512

  /// A sector that was written and is not on the medium.
  struct Cached {
    var bytes: [UInt8]
    var order: Int
    /// A flush of it has failed: no other one will bring it.
    var isLost = false
  }

  private var medium: [Int: [UInt8]] = [:]
  private var cache: [Int: [Cached]] = [:]
  private var order = 0
  private var sectorCount = 0

  var isEmpty: Bool { sectorCount == 0 }

  /// As a reader finds it.
  var contents: [UInt8] {
    get { (0..<sectorCount).flatMap { cache[$0]?.last?.bytes ?? stored($0) } }
    set {
      self = VirtualJournalFile()
      carryOut(.write(offset: 0, bytes: newValue))
      flush(upTo: order)
    }
  }

  /// What a flush that begins now will cover.
  var flushPoint: Int { order }

  private func stored(_ sector: Int) -> [UInt8] {
    medium[sector] ?? [UInt8](repeating: 0, count: Self.sectorLength)
  }

  mutating func carryOut(_ work: JournalRequest.Work) {
    switch work {
    case .write(let offset, let bytes): write(offset, bytes)
    case .flush: flush(upTo: order)
    case .flushMedium: break
    }
  }

  private mutating func write(_ offset: Int, _ bytes: [UInt8]) {
    let length = Self.sectorLength
    precondition(offset % length == 0 && bytes.count % length == 0, "whole sectors")
    order += 1
    for index in 0..<bytes.count / length {
      let part = Array(bytes[index * length..<(index + 1) * length])
      cache[offset / length + index, default: []].append(Cached(bytes: part, order: order))
    }
    sectorCount = max(sectorCount, (offset + bytes.count) / length)
  }

  /// All that was written up to then is on the medium, but for what was lost before.
  mutating func flush(upTo point: Int) {
    for (sector, versions) in cache {
      guard let last = versions.lastIndex(where: { $0.order <= point && !$0.isLost }) else {
        continue
      }
      medium[sector] = versions[last].bytes
      let rest = Array(versions[(last + 1)...])
      cache[sector] = rest.isEmpty ? nil : rest
    }
  }

  mutating func failFlush(upTo point: Int) {
    for (sector, versions) in cache {
      cache[sector] = versions.map { version in
        var version = version
        if version.order <= point { version.isLost = true }
        return version
      }
    }
  }

  /// The power is gone.
  mutating func loseCache(using random: inout SeededRandom) {
    for (sector, versions) in cache.sorted(by: { $0.key < $1.key }) {
      let old = stored(sector)
      let choice = Int.random(in: 0...versions.count, using: &random)
      let found = choice == 0 ? old : versions[choice - 1].bytes
      let cut =
        Int.random(in: 0..<4, using: &random) == 0
        ? Int.random(in: 0...Self.sectorLength, using: &random) : Self.sectorLength
      medium[sector] = Array(found[..<cut] + old[cut...])
    }
    cache.removeAll()
  }
}
