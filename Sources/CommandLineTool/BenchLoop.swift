// The benchmark's writes: each one that ends begins the next from its own completion, on the lane's
// thread, so that no other thread has to wake up in between. What is measured is the mirror.

import Dispatch
import Mirrorcast
import Synchronization

/// Keeps `depth` writes in flight until all are done.
final class BenchLoop: Sendable {
  /// Where the writes go, and of what they are made.
  struct Plan: Sendable {
    var depth: Int
    var count: UInt64
    var places: UInt64
    var isRandom: Bool
  }

  private struct State {
    var begun: UInt64 = 0
    var ended: UInt64 = 0
    var random = SplitMix64(seed: 1)
    var starts: [ContinuousClock.Instant]
    var offsets: [UInt64]
    /// One for each slot, made once: the lane's thread allocates nothing for a write.
    var completions: [@Sendable (WriteResult) -> Void] = []
  }

  private let run: MirrorRun
  private let plan: Plan
  private let payload: PayloadSlab
  private let progress: Progress
  private let state: Mutex<State>
  private let isDone = DispatchSemaphore(value: 0)

  init(_ plan: Plan, payload: PayloadSlab, through run: MirrorRun, _ progress: Progress) {
    self.plan = plan
    self.payload = payload
    self.run = run
    self.progress = progress
    state = Mutex(
      State(
        starts: Array(repeating: .now, count: plan.depth),
        offsets: Array(repeating: 0, count: plan.depth)))
  }

  /// Writes them all; returns when none is in flight any more.
  func perform() {
    let completions = (0..<plan.depth).map { slot in
      { @Sendable [unowned self] (result: WriteResult) in end(slot, result) }
    }
    state.withLock { $0.completions = completions }
    for slot in 0..<min(plan.depth, Int(clamping: plan.count)) { next(slot) }
    isDone.wait()
  }

  /// Begins the next write in a slot that has none; false when all were begun.
  @discardableResult
  private func next(_ slot: Int) -> Bool {
    let now = ContinuousClock.now
    let isStopped = run.watch.everyLegFailed
    let begun = state.withLock { state -> Begun? in
      guard state.begun < plan.count, !isStopped else { return nil }
      let index = state.begun
      state.begun += 1
      let place =
        plan.isRandom
        ? UInt64.random(in: 0..<plan.places, using: &state.random) : index % plan.places
      state.starts[slot] = now
      state.offsets[slot] = place * UInt64(payload.writeLength)
      return Begun(
        index: Int(truncatingIfNeeded: index), offset: state.offsets[slot],
        completion: state.completions[slot])
    }
    guard let begun else { return false }
    // Safe: nobody changes the payload, and it outlives `perform`.
    unsafe run.mirror.submit(
      payload[begun.index], at: begun.offset, completion: begun.completion)
    return true
  }

  private struct Begun {
    let index: Int
    let offset: UInt64
    let completion: @Sendable (WriteResult) -> Void
  }

  private func end(_ slot: Int, _ result: WriteResult) {
    let now = ContinuousClock.now
    let (start, offset) = state.withLock { ($0.starts[slot], $0.offsets[slot]) }
    let ended = WriteWindow.Ended(
      offset: offset, length: payload.writeLength, start: start, end: now, result: result)
    run.record(ended)
    progress.advance(by: payload.writeLength)
    guard !next(slot) else { return state.withLock { $0.ended += 1 } }
    let isLast = state.withLock { state in
      state.ended += 1
      return state.ended == state.begun
    }
    if isLast { isDone.signal() }
  }
}
