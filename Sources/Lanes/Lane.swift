// One thread owns the data, the rest send messages. The cycle reads like the whole data path: look
// at the clock, work, and sleep when there was nothing to do, at once or after a while (LaneIdle).
// Work of one kind must not hide that another waits: a lane that never finds nothing looks at its
// descriptors every 64 cycles.

internal import CDatagram
internal import Synchronization

/// What a lane does, cycle by cycle; the lane's thread owns it.
package protocol LaneDuty: ~Copyable, SendableMetatype {
  /// Does what there is to do and returns how much that was; 0 lets the lane sleep.
  mutating func doWork(now: UInt64) -> Int
  /// When to wake at the latest, in nanoseconds of MonotonicClock; nil: only for work.
  var nextDeadline: UInt64? { get }
  /// How many descriptors it may have at most, by its limits.
  static var descriptorsMax: Int { get }
  /// Appends the descriptors whose readiness is work, all of them.
  func fileDescriptors(into list: inout WaitList)
  /// Tells which of them are ready, after the lane has waited for them or looked at them.
  mutating func noteReady(_ list: WaitList)
}

extension LaneDuty where Self: ~Copyable {
  package mutating func noteReady(_ list: WaitList) {}
}

/// A named thread on its own cores that turns the cycle of one duty.
///
/// `start()`, then `signal.wake()` after handing in work, then `stop()`. A running lane keeps
/// itself alive; the duty is destroyed on the lane's thread when it stops.
package final class Lane<Duty: LaneDuty & ~Copyable>: @unchecked Sendable {
  private enum State {
    case idle
    case running(UInt)
    case stopped
  }

  package let name: String
  package let placement: LanePlacement
  package let idle: LaneIdle
  package let signal: Signal
  private let started: Signal
  private let mustStop = Atomic<Bool>(false)
  private let state = Mutex(State.idle)
  private let outcome = Mutex<Result<PlacementReport, PlacementError>?>(nil)
  // Touched before the thread exists, then by the thread alone.
  private var duty: Duty?

  /// Takes the duty; there is no thread before `start()`. `name` shows in `ps -L`, 15 bytes of it.
  package init(
    name: String, placement: LanePlacement, idle: LaneIdle = .blocks, signal: Signal,
    duty: consuming sending Duty
  ) throws(SystemError) {
    // One more is the signal's.
    precondition(Duty.descriptorsMax < WaitList.countMax, "more descriptors than a lane waits for")
    self.name = name
    self.placement = placement
    self.idle = idle
    self.signal = signal
    started = try Signal()
    self.duty = consume duty
  }

  /// Starts the thread and returns what it got; a lane starts once.
  package func start() throws(PlacementError) -> PlacementReport {
    started.arm()
    let thread = try launch()
    var list = WaitList()
    list.append(started.descriptor)
    while true {
      if let outcome = outcome.withLock({ $0 }) {
        if case .failure = outcome { join(thread) }
        return try outcome.get()
      }
      do {
        try list.wait(nanoseconds: nil)
      } catch {
        preconditionFailure("waiting for a lane to start: \(error)")
      }
    }
  }

  private func launch() throws(PlacementError) -> UInt {
    let body = LaneBody { self.run() }
    var thread: UnsafeMutableRawPointer?
    let result = state.withLock { state -> Int32 in
      guard case .idle = state else { preconditionFailure("a lane starts once") }
      // Safe: the thread takes over the reference to the body, or we take it back below.
      let context = unsafe Unmanaged.passRetained(body).toOpaque()
      let result = unsafe mirrorcast_start_thread(LaneBody.enter, context, &thread)
      if result == 0 {
        state = .running(UInt(bitPattern: thread))
      } else {
        unsafe Unmanaged<LaneBody>.fromOpaque(context).release()
      }
      return result
    }
    guard result == 0 else {
      throw .system(SystemError(doing: "start the thread '\(name)'", number: -result))
    }
    return UInt(bitPattern: thread)
  }

  /// Ends the cycle and waits for the thread; may be called again, and before a start.
  package func stop() {
    mustStop.store(true, ordering: .releasing)
    signal.wake()
    let thread = state.withLock { state -> UInt? in
      guard case .running(let thread) = state else { return nil }
      return thread
    }
    if let thread { join(thread) }
  }

  private func join(_ thread: UInt) {
    state.withLock { state in
      guard case .running = state else { return }
      // Safe: a thread that runs, and that nobody else joins: the state says so, under its lock.
      let result = unsafe mirrorcast_join_thread(UnsafeMutableRawPointer(bitPattern: thread))
      precondition(result == 0, "a lane is not stopped from its own thread")
      state = .stopped
    }
  }

  // MARK: On the lane's thread

  private func run() {
    // Safe: the text lives as long as the call; a name that is refused is no harm.
    _ = unsafe name.withCString { unsafe mirrorcast_name_thread($0) }
    // Counted before this thread is pinned to some of them.
    let coreCount = (try? CoreSet.allowed().count) ?? 1
    let placed: Result<PlacementReport, PlacementError>
    do throws(PlacementError) {
      placed = .success(try placement.pinCurrentThread())
    } catch {
      placed = .failure(error)
    }
    outcome.withLock { $0 = placed }
    let taken = duty.take()
    started.wake()
    guard case .success = placed, var duty = taken else { return }
    LaneSpin.runningLanes.add(1, ordering: .relaxed)
    cycle(&duty, LaneSpin(idle, coreCount: coreCount))
    LaneSpin.runningLanes.subtract(1, ordering: .relaxed)
  }

  private func cycle(_ duty: inout Duty, _ spin: consuming LaneSpin) {
    var list = WaitList()
    var busyCycles = 0
    while !mustStop.load(ordering: .acquiring) {
      let lookedAt = MonotonicClock.now()
      if duty.doWork(now: lookedAt) > 0 {
        spin.noteWork()
        busyCycles += 1
        guard busyCycles >= LaneSpin.busyCyclesMax else { continue }
        look(&duty, &list, nanoseconds: 0)
        busyCycles = 0
        continue
      }
      // From here on it looks in any case.
      busyCycles = 0
      if spin.continues(now: lookedAt) {
        look(&duty, &list, nanoseconds: 0)
        spin.pause()
        continue
      }
      mirrorcast_yield()
      look(&duty, &list, nanoseconds: 0)
      if duty.doWork(now: MonotonicClock.now()) > 0 { continue }
      signal.arm()
      let now = MonotonicClock.now()
      if duty.doWork(now: now) == 0 && !mustStop.load(ordering: .acquiring) {
        sleep(&duty, &list, now: now)
      }
      spin.noteWork()
      signal.disarm()
    }
  }

  private func sleep(_ duty: inout Duty, _ list: inout WaitList, now: UInt64) {
    look(&duty, &list, nanoseconds: duty.nextDeadline.map { $0 > now ? $0 - now : 0 })
  }

  /// Waits until something is ready or the time is over (nil: for something), and tells the duty.
  private func look(_ duty: inout Duty, _ list: inout WaitList, nanoseconds timeout: UInt64?) {
    list.removeAll()
    list.append(signal.descriptor)
    duty.fileDescriptors(into: &list)
    do {
      try list.wait(nanoseconds: timeout)
    } catch {
      preconditionFailure("a lane's sleep: \(error)")
    }
    duty.noteReady(list)
  }
}

/// What a new thread runs, without the type of its duty, which C can't carry.
private final class LaneBody: Sendable {
  let run: @Sendable () -> Void

  init(run: @escaping @Sendable () -> Void) {
    self.run = run
  }

  static let enter: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
    // Safe: the starter passed one retained reference, which is taken over here.
    let body = unsafe $0.map { unsafe Unmanaged<LaneBody>.fromOpaque($0).takeRetainedValue() }
    body?.run()
    return nil
  }
}
