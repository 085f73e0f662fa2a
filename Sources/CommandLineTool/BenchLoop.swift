// The benchmark's writes: each one that ends begins the next from its own completion, on the thread
// of a lane, so that no other thread has to wake up in between. What is measured is the mirror.
// With several lanes writes end at the same time: that one has ended, and that none is to follow,
// is decided in one step, or nobody would be the last, or two.

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
    var attribute = TaskAttribute.simple
  }

  /// A closure as it is: an array of bare ones would wrap each one anew when it is read.
  private struct Completion: Sendable {
    let call: @Sendable (WriteResult) -> Void
  }

  private struct State {
    var begun: UInt64 = 0
    var ended: UInt64 = 0
    var random = SplitMix64(seed: 1)
    var starts: [ContinuousClock.Instant]
    var offsets: [UInt64]
    /// One for each slot, made once: the lane's thread allocates nothing for a write.
    var completions: [Completion] = []
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
      Completion { [unowned self] in end(slot, $0) }
    }
    state.withLock { $0.completions = completions }
    for slot in 0..<min(plan.depth, Int(clamping: plan.count)) { next(slot, hasEnded: false) }
    isDone.wait()
  }

  /// Begins the next write in a slot that has none, or none when all were begun; the last one that
  /// ends ends the loop.
  private func next(_ slot: Int, hasEnded: Bool) {
    let now = ContinuousClock.now
    let isStopped = run.watch.everyLegFailed
    let (begun, isLast) = state.withLock { state -> (Begun?, isLast: Bool) in
      if hasEnded { state.ended += 1 }
      guard state.begun < plan.count, !isStopped else {
        return (nil, hasEnded && state.ended == state.begun)
      }
      let index = state.begun
      state.begun += 1
      let place =
        plan.isRandom
        ? UInt64.random(in: 0..<plan.places, using: &state.random) : index % plan.places
      state.starts[slot] = now
      state.offsets[slot] = place * UInt64(payload.writeLength)
      let begun = Begun(
        index: Int(truncatingIfNeeded: index), offset: state.offsets[slot],
        completion: state.completions[slot])
      return (begun, false)
    }
    if isLast { isDone.signal() }
    guard let begun else { return }
    // Safe: nobody changes the payload, and it outlives `perform`.
    unsafe run.mirror.submit(
      payload[begun.index], at: begun.offset, attribute: plan.attribute,
      completion: begun.completion.call)
  }

  private struct Begun {
    let index: Int
    let offset: UInt64
    let completion: Completion
  }

  private func end(_ slot: Int, _ result: WriteResult) {
    let now = ContinuousClock.now
    let (start, offset) = state.withLock { ($0.starts[slot], $0.offsets[slot]) }
    let ended = WriteWindow.Ended(
      offset: offset, length: payload.writeLength, start: start, end: now, result: result)
    run.record(ended)
    progress.advance(by: payload.writeLength)
    next(slot, hasEnded: true)
  }
}
