// The disk under a journal, byte for byte in sectors of 512: what is read now, and what is on the
// medium. What is written has to be flushed; when the power goes, each sector that was not is old
// or new, by chance.
import Replication

/// The file beside a LUN.
struct JournalDisk {
  static let sectorLength = 512

  /// Requests that one worker carries out, one after the other.
  struct Batch {
    var requests: [JournalRequest]
    var isRunning = true
  }

  private(set) var live: [[UInt8]?] = []
  private var durable: [[UInt8]?] = []
  private var batches: [Batch] = []
  private var free: [Int] = []

  /// The file's bytes; nil where nothing was ever written.
  var contents: [UInt8]? {
    guard !live.isEmpty else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(live.count * Self.sectorLength)
    for sector in live {
      bytes += sector ?? [UInt8](repeating: 0, count: Self.sectorLength)
    }
    return bytes
  }

  // MARK: Work

  mutating func begin(_ requests: [JournalRequest]) -> Int {
    if let slot = free.popLast() {
      batches[slot] = Batch(requests: requests)
      return slot
    }
    batches.append(Batch(requests: requests))
    return batches.count - 1
  }

  /// Takes a batch out that has ended.
  mutating func take(_ slot: Int) -> [JournalRequest] {
    precondition(batches[slot].isRunning, "a batch ends once")
    batches[slot].isRunning = false
    free.append(slot)
    return batches[slot].requests
  }

  var running: [Int] { batches.indices.filter { batches[$0].isRunning } }

  /// - Parameter isKept: whether each of its sectors comes to the file.
  mutating func write(_ bytes: [UInt8], at offset: Int, isKept: () -> Bool = { true }) {
    let first = offset / Self.sectorLength
    let count = bytes.count / Self.sectorLength
    while live.count < first + count {
      live.append(nil)
      durable.append(nil)
    }
    for index in 0..<count where isKept() {
      live[first + index] = Array(
        bytes[index * Self.sectorLength..<(index + 1) * Self.sectorLength])
    }
  }

  mutating func flush() { durable = live }

  // MARK: Ends

  mutating func losePower(keeping rate: Double, _ random: inout SeededRandom) {
    for sector in live.indices where live[sector] != durable[sector] {
      if random.chance(rate) {
        durable[sector] = live[sector]
      } else {
        live[sector] = durable[sector]
      }
    }
  }
}
