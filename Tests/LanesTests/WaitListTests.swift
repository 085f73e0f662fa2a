import Testing

@testable import Lanes

@Suite struct WaitListTests {
  @Test func `as many descriptors as a target's lane may have are all waited for`() throws {
    // 64 registrations with two sockets and a stream each, 16 strangers, 8 listeners, the signal.
    let count = 64 * 3 + 16 + 8 + 1
    try #require(count <= WaitList.countMax)
    let signals = try (0..<WaitList.countMax).map { _ in try Signal() }
    var list = WaitList()
    for signal in signals { list.append(signal.descriptor) }
    #expect(try list.wait(nanoseconds: 0) == 0)
    for index in [WaitList.countMax - 1, count - 1, 0] {
      signals[index].arm()
      signals[index].wake()
      #expect(try list.wait(nanoseconds: 5_000_000_000) == 1)
      for (other, signal) in signals.enumerated() {
        #expect(list.isReady(descriptor: signal.descriptor) == (other == index))
      }
      #expect(signals[index].disarm())
    }
  }

  @Test func `one more is our own bug, and no descriptor forgotten`() async {
    await #expect(processExitsWith: .failure) {
      var list = WaitList()
      for descriptor in 0...Int32(WaitList.countMax) { list.append(descriptor) }
    }
  }
}
