// Writes in flight, without a task each: one thread submits, the mirror's lanes complete. A slot is
// a number that stands for a buffer; there is one more of them than writes in flight where the
// submitter prepares the next write while the window is full.

import Dispatch
import Mirrorcast
import Synchronization

/// Keeps a bounded number of writes in flight through a mirror.
///
/// From one thread: `takeSlot`, then `submit` or `giveBack`; at last `drain`.
final class WriteWindow: Sendable {
  /// A write that has ended at every leg, or failed there.
  struct Ended {
    var offset: UInt64
    var length: Int
    var start: ContinuousClock.Instant
    var end: ContinuousClock.Instant
    var result: WriteResult
  }

  private struct Flight {
    var start: ContinuousClock.Instant
    var offset: UInt64 = 0
    var length = 0
  }

  private struct Slots {
    var free: [Int]
    var flights: [Flight]
  }

  private let mirror: Mirror
  private let depth: Int
  private let slots: Mutex<Slots>
  private let freeSlots: DispatchSemaphore
  private let freeFlights: DispatchSemaphore
  private let onEnd: @Sendable (Ended) -> Void

  /// `onEnd` is called on a lane's thread and must not block.
  init(
    mirror: Mirror, depth: Int, spareSlots: Int, onEnd: @escaping @Sendable (Ended) -> Void
  ) {
    self.mirror = mirror
    self.depth = depth
    self.onEnd = onEnd
    let count = depth + spareSlots
    slots = Mutex(
      Slots(
        free: Array((0..<count).reversed()),
        flights: Array(repeating: Flight(start: .now), count: count)))
    // A semaphore may not be freed below the value it was made with, so it is raised afterwards.
    freeSlots = DispatchSemaphore(value: 0)
    freeFlights = DispatchSemaphore(value: 0)
    for _ in 0..<count { freeSlots.signal() }
    for _ in 0..<depth { freeFlights.signal() }
  }

  /// Waits for a slot that no write uses.
  func takeSlot() -> Int {
    freeSlots.wait()
    return slots.withLock { slots in
      guard let slot = slots.free.popLast() else {
        preconditionFailure("the semaphore counts the free slots")
      }
      return slot
    }
  }

  /// Gives a slot back that was taken but not needed.
  func giveBack(_ slot: Int) {
    slots.withLock { $0.free.append(slot) }
    freeSlots.signal()
  }

  /// Waits until the window has room, then begins the write; `bytes` stay as they are until the
  /// slot is free again.
  @unsafe
  func submit(slot: Int, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) {
    freeFlights.wait()
    let length = bytes.count
    slots.withLock {
      $0.flights[slot] = Flight(start: .now, offset: offset, length: length)
    }
    // Safe: the submitter leaves the bytes alone until the slot is free, after the completion.
    unsafe mirror.submit(bytes, at: offset) { [self] result in
      end(slot: slot, result)
    }
  }

  /// Waits until every write has ended.
  func drain() {
    for _ in 0..<depth { freeFlights.wait() }
    for _ in 0..<depth { freeFlights.signal() }
  }

  private func end(slot: Int, _ result: WriteResult) {
    let now = ContinuousClock.now
    let flight = slots.withLock { $0.flights[slot] }
    onEnd(
      Ended(
        offset: flight.offset, length: flight.length, start: flight.start, end: now,
        result: result))
    giveBack(slot)
    freeFlights.signal()
  }
}

/// A duration as nanoseconds; a negative one counts as 0.
func nanoseconds(_ duration: Duration) -> UInt64 {
  let (seconds, attoseconds) = duration.components
  return UInt64(max(0, seconds)) * 1_000_000_000 + UInt64(max(0, attoseconds) / 1_000_000_000)
}

/// A duration in seconds.
func seconds(_ duration: Duration) -> Double { Double(nanoseconds(duration)) / 1e9 }

/// Runs work that waits for disks or semaphores on a thread of its own, off the tasks' threads.
func onOwnThread<Value: Sendable>(
  _ work: @escaping @Sendable () throws -> Value
) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    DispatchQueue(label: "mirrorcast.blocking").async {
      continuation.resume(with: Result(catching: work))
    }
  }
}
