// The datagram boundary, with faults: the same on the way in and on the way out.
//
//   passage.admit(bytes, peer)                 one datagram comes
//   while let (bytes, peer) = passage.next()   none, one, two or more go on
//   passage.releaseAll()                       nothing comes any more: let the held ones go
//
// What `next` gives is either the memory that was admitted or a slot of the passage; both are good
// until the next `admit`.

/// A datagram on its way through a passage.
@unsafe package struct PassingDatagram {
  package let bytes: UnsafeRawBufferPointer
  package let peer: Endpoint
}

/// What a passage has done to the datagrams.
package struct FaultCounts: Equatable, Sendable, BitwiseCopyable {
  package var passed = 0
  package var dropped = 0
  package var duplicated = 0
  package var held = 0
  /// Passed at once because no slot was free to hold them.
  package var notHeld = 0
}

/// Drops, doubles and holds back datagrams as an injector says; holds a few, in its own slots.
@safe
package struct FaultyPassage: ~Copyable {
  package static let slotCount = 16

  private struct Held {
    var length = 0
    var peer = Endpoint(any: .v4)
    // Others that may still overtake it; nil in a free slot.
    var remaining: Int?
  }

  package private(set) var counts = FaultCounts()
  package private(set) var heldCount = 0
  private var injector: FaultInjector
  private var held = InlineArray<16, Held>(repeating: Held())
  private let slots: UnsafeMutableRawBufferPointer
  private let datagramMax: Int
  private var current: UnsafeRawBufferPointer
  private var currentPeer = Endpoint(any: .v4)
  private var currentPasses = 0

  package init(_ injector: FaultInjector, datagramMax: Int) {
    precondition(datagramMax > 0 && datagramMax <= 65536, "a datagram has 1 to 65536 bytes")
    self.injector = injector
    self.datagramMax = datagramMax
    // Safe: nothing is read before `admit`; the slots are given back by deinit.
    unsafe current = UnsafeRawBufferPointer(start: nil, count: 0)
    unsafe slots = .allocate(byteCount: Self.slotCount * datagramMax, alignment: 64)
  }

  deinit {
    // Safe: allocated by init, and nobody else has it.
    unsafe slots.deallocate()
  }

  /// Takes in one datagram, whose memory must stay until `next` has given nil.
  package mutating func admit(_ bytes: UnsafeRawBufferPointer, peer: Endpoint) {
    precondition(currentPasses == 0, "the last datagram was not taken out")
    // Safe: kept by the caller until `next` has given nil.
    unsafe current = bytes
    currentPeer = peer
    // Those held before are overtaken by this one; one that is held now is not.
    if heldCount > 0 {
      for index in 0..<Self.slotCount {
        if let remaining = held[index].remaining { held[index].remaining = remaining - 1 }
      }
    }
    switch injector.decide() {
    case .pass:
      currentPasses = 1
    case .drop:
      counts.dropped += 1
    case .duplicate:
      counts.duplicated += 1
      currentPasses = 2
    case .hold(let others):
      hold(others)
    }
  }

  private mutating func hold(_ others: Int) {
    // Safe: the length is compared with the slot's; the slot is free.
    let free = held.indices.first { held[$0].remaining == nil }
    guard let free, unsafe current.count <= datagramMax else {
      counts.notHeld += 1
      currentPasses = 1
      return
    }
    unsafe UnsafeMutableRawBufferPointer(rebasing: slots[(free * datagramMax)...])
      .copyMemory(from: current)
    held[free] = Held(length: unsafe current.count, peer: currentPeer, remaining: others)
    heldCount += 1
    counts.held += 1
  }

  /// A datagram that goes on now; nil when there is none.
  package mutating func next() -> PassingDatagram? {
    if currentPasses > 0 {
      currentPasses -= 1
      counts.passed += 1
      // Safe: kept by the caller until `next` has given nil.
      return unsafe PassingDatagram(bytes: current, peer: currentPeer)
    }
    guard heldCount > 0 else { return nil }
    for index in 0..<Self.slotCount {
      guard let remaining = held[index].remaining, remaining <= 0 else { continue }
      held[index].remaining = nil
      heldCount -= 1
      counts.passed += 1
      let start = index * datagramMax
      // Safe: the slot is overwritten by a later `admit` at the earliest.
      return unsafe PassingDatagram(
        bytes: UnsafeRawBufferPointer(rebasing: slots[start..<start + held[index].length]),
        peer: held[index].peer)
    }
    return nil
  }

  /// Lets `next` give all that are held: nothing comes that could overtake them.
  package mutating func releaseAll() {
    for index in 0..<Self.slotCount where held[index].remaining != nil {
      held[index].remaining = 0
    }
  }
}
