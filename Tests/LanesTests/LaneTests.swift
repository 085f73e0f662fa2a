import Foundation
import Synchronization
import Testing

@testable import Lanes

/// What a test's duty shows to the test's thread.
final class Trace: Sendable {
  let cycles = Atomic<Int>(0)
  let sum = Atomic<Int>(0)
  let wokenAt = Atomic<UInt64>(0)
  let isGone = Atomic<Bool>(false)
  let cores = Mutex<[Int]>([])
  let event = DispatchSemaphore(value: 0)

  var hasGone: Bool { isGone.load(ordering: .acquiring) }

  func waitForEvent() -> Bool { event.wait(timeout: .now() + 60) == .success }
}

/// Adds up what comes by ring, and signals once when the sum or the deadline is reached.
struct AddingDuty: LaneDuty, ~Copyable {
  let ring: Ring<Int>
  let trace: Trace
  let goal: Int
  var deadline: UInt64?
  var extra: Int32?

  init(ring: Ring<Int>, trace: Trace, goal: Int, deadline: UInt64? = nil, extra: Int32? = nil) {
    self.ring = ring
    self.trace = trace
    self.goal = goal
    self.deadline = deadline
    self.extra = extra
  }

  deinit { trace.isGone.store(true, ordering: .releasing) }

  static var descriptorsMax: Int { 1 }
  var nextDeadline: UInt64? { deadline }

  func fileDescriptors(into list: inout WaitList) {
    if let extra { list.append(extra) }
  }

  mutating func doWork(now: UInt64) -> Int {
    trace.cycles.add(1, ordering: .relaxed)
    var work = 0
    if let due = deadline, now >= due {
      trace.wokenAt.store(now, ordering: .releasing)
      deadline = nil
      trace.event.signal()
      work += 1
    }
    if let descriptor = extra {
      var byte: UInt8 = 0
      if read(descriptor, &byte, 1) == 1 {
        extra = nil
        trace.event.signal()
        work += 1
      }
    }
    while let value = ring.pop() {
      work += 1
      if trace.sum.add(value, ordering: .acquiringAndReleasing).newValue == goal {
        trace.event.signal()
      }
    }
    return work
  }
}

/// Has work in every cycle; its descriptor becomes ready in the tenth, when nobody looks.
struct BusyDuty: LaneDuty, ~Copyable {
  let trace: Trace
  private let event: Signal
  private var cycles = 0

  init(_ trace: Trace) throws {
    self.trace = trace
    event = try Signal()
    event.arm()
  }

  static var descriptorsMax: Int { 1 }
  var nextDeadline: UInt64? { nil }

  func fileDescriptors(into list: inout WaitList) { list.append(event.descriptor) }

  mutating func doWork(now: UInt64) -> Int {
    cycles += 1
    if cycles == 10 { event.wake() }
    return 1
  }

  mutating func noteReady(_ list: WaitList) {
    guard list.isReady(descriptor: event.descriptor), event.disarm() else { return }
    trace.sum.store(cycles - 10, ordering: .releasing)
    trace.event.signal()
  }
}

@Suite struct LaneTests {
  func lane(
    _ trace: Trace, ring: Ring<Int> = Ring(capacity: 64), goal: Int = 0, deadline: UInt64? = nil,
    extra: Int32? = nil, placement: LanePlacement = .anywhere, name: String = "test-lane"
  ) throws -> Lane<AddingDuty> {
    let duty = AddingDuty(ring: ring, trace: trace, goal: goal, deadline: deadline, extra: extra)
    return try Lane(name: name, placement: placement, signal: Signal(), duty: duty)
  }

  @Test func `work handed in by many threads wakes the lane, every time`() throws {
    let trace = Trace()
    let ring = Ring<Int>(capacity: 16)
    let each = 5_000
    let lane = try lane(trace, ring: ring, goal: 3 * each)
    _ = try lane.start()
    onThreads(3) { _ in
      for _ in 0..<each {
        while !ring.push(1) { sched_yield() }
        lane.signal.wake()
      }
    }
    #expect(trace.waitForEvent())
    lane.stop()
    #expect(trace.sum.load(ordering: .acquiring) == 3 * each)
  }

  @Test func `single pieces of work never wait for a second wake`() throws {
    let trace = Trace()
    let ring = Ring<Int>(capacity: 2)
    for goal in 1...300 {
      // Each lane sees one push only: a lost wake would last for ever.
      let one = Trace()
      let lane = try lane(one, ring: ring, goal: goal)
      _ = try lane.start()
      #expect(ring.push(goal))
      lane.signal.wake()
      #expect(one.waitForEvent(), "push \(goal)")
      lane.stop()
      trace.sum.add(1, ordering: .relaxed)
    }
    #expect(trace.sum.load(ordering: .relaxed) == 300)
  }

  @Test func `a deadline wakes the lane, not early, and an idle lane doesn't spin`() throws {
    let trace = Trace()
    let due = MonotonicClock.now() + 50_000_000
    let lane = try lane(trace, deadline: due)
    _ = try lane.start()
    #expect(trace.waitForEvent())
    #expect(trace.wokenAt.load(ordering: .acquiring) >= due)
    #expect(trace.cycles.load(ordering: .relaxed) <= 10)
    lane.stop()
  }

  @Test func `a readable descriptor wakes the lane`() throws {
    let trace = Trace()
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    #expect(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
    defer { ends.forEach { close($0) } }
    let lane = try lane(trace, extra: ends[0])
    _ = try lane.start()
    #expect(write(ends[1], "x", 1) == 1)
    #expect(trace.waitForEvent())
    lane.stop()
  }

  @Test func `a lane that is always busy looks at its descriptors now and then`() throws {
    let trace = Trace()
    let lane = try Lane(
      name: "busy", placement: .anywhere, signal: Signal(), duty: BusyDuty(trace))
    _ = try lane.start()
    #expect(trace.waitForEvent(), "never looked")
    lane.stop()
    // What became ready in a cycle is known after so many more at the latest.
    #expect(trace.sum.load(ordering: .acquiring) <= 64)
  }

  @Test func `stop joins, once or often, from several threads, and ends the duty`() throws {
    let trace = Trace()
    let lane = try lane(trace)
    _ = try lane.start()
    #expect(!trace.hasGone)
    onThreads(3) { _ in
      lane.stop()
    }
    #expect(trace.hasGone)
    lane.stop()
  }

  @Test func `no thread before start, a named one after it, none after stop`() throws {
    let lane = try lane(Trace(), name: "floor-name-probe")
    #expect(!threadNames().contains("floor-name-prob"))
    _ = try lane.start()
    #expect(becomes("floor-name-prob", there: true))
    lane.stop()
    #expect(becomes("floor-name-prob", there: false))
  }

  @Test func `a lane that never started can be stopped, and its duty goes with it`() throws {
    let trace = Trace()
    do {
      let lane = try lane(trace)
      lane.stop()
    }
    #expect(trace.hasGone)
  }

  @Test func `a named core is what the lane gets`() throws {
    let allowed = try CoreSet.allowed()
    let core = try #require((0..<CoreSet.coreMax).first { allowed.contains($0) })
    let lane = try lane(Trace(), placement: .core(core))
    let report = try lane.start()
    #expect(report.cores == 1)
    #expect(report.asked == .core(core))
    lane.stop()
  }

  @Test func `a core that can't be had is an error, and leaves no thread`() throws {
    let trace = Trace()
    let lane = try lane(trace, placement: .core(1023), name: "core-1023")
    #expect(throws: PlacementError.noSuchCore(1023)) { try lane.start() }
    #expect(becomes("core-1023", there: false))
    #expect(trace.hasGone)
    lane.stop()
  }

  @Test func `the only node is had`() throws {
    let near = try lane(Trace(), placement: .near(interface: "lo"))
    let report = try near.start()
    #expect(report.cores == (try CoreSet.allowed().count))
    near.stop()
  }

  @Test(.enabled(if: NUMANodes.count > 0, "the kernel tells of no nodes"))
  func `a node that isn't there is an error`() throws {
    let far = try lane(Trace(), placement: .node(999))
    #expect(throws: PlacementError.noSuchNode(999, of: NUMANodes.count)) { try far.start() }
  }

  @Test func `a lane stopped from its own thread is our own bug`() async {
    await #expect(processExitsWith: .failure) {
      final class Own: LaneDuty {
        var lane: Lane<Own>?
        static var descriptorsMax: Int { 0 }
        var nextDeadline: UInt64? { nil }
        func fileDescriptors(into list: inout WaitList) {}
        func doWork(now: UInt64) -> Int {
          lane?.stop()
          return 0
        }
      }
      let box = UnsafeBox(Own())
      let lane = try Lane(
        name: "own", placement: .anywhere, signal: Signal(), duty: box.take())
      box.duty.lane = lane
      _ = try lane.start()
      sleep(20)
      exit(EXIT_SUCCESS)
    }
  }

  /// The kernel lists a thread for a moment after it was joined, and may pass over one where others
  /// end meanwhile.
  private func becomes(_ name: String, there isThere: Bool) -> Bool {
    let end = MonotonicClock.now() + 60_000_000_000
    while threadNames().contains(name) != isThere {
      guard MonotonicClock.now() < end else { return false }
      sched_yield()
    }
    return true
  }

  private func threadNames() -> [String] {
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return tasks.compactMap { task in
      try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8)
        .trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }
}

/// Hands one object to a lane and to the test, for the test of our own bug only.
private final class UnsafeBox<T: AnyObject>: @unchecked Sendable {
  nonisolated(unsafe) let duty: T
  init(_ duty: T) { self.duty = duty }
  func take() -> sending T {
    nonisolated(unsafe) let duty = duty
    return duty
  }
}
