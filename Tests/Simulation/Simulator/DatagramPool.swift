import Bytes

/// Datagrams on their way, each once however many hear it; their memory is used again and again.
final class DatagramPool {
  static let slotByteCount = 2048
  /// More than ever are on their way: what is over it was forgotten by somebody.
  static let slotsMax = 1 << 15

  private var slots: [UnsafeMutableRawPointer] = []
  private var counts: [Int32] = []
  private var lengths: [Int32] = []
  private var free: [Int32] = []

  deinit { for slot in slots { slot.deallocate() } }

  func reset() {
    free.removeAll(keepingCapacity: true)
    for index in slots.indices.reversed() { free.append(Int32(index)) }
    for index in counts.indices { counts[index] = 0 }
  }

  /// A slot for a datagram; it has to be retained for each who is to hear it.
  func take() -> Int {
    if let slot = free.popLast() { return Int(slot) }
    precondition(slots.count < Self.slotsMax, "datagrams are forgotten on their way")
    slots.append(.allocate(byteCount: Self.slotByteCount, alignment: 16))
    counts.append(0)
    lengths.append(0)
    return slots.count - 1
  }

  func buffer(_ slot: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: slots[slot], count: Self.slotByteCount)
  }

  func setLength(_ slot: Int, _ length: Int) { lengths[slot] = Int32(length) }

  func bytes(_ slot: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: slots[slot], count: Int(lengths[slot]))
  }

  func retain(_ slot: Int) { counts[slot] += 1 }

  func release(_ slot: Int) {
    counts[slot] -= 1
    if counts[slot] == 0 { free.append(Int32(slot)) }
  }

  /// Gives a slot back that nobody was to hear.
  func dropIfUnheard(_ slot: Int) {
    if counts[slot] == 0 { free.append(Int32(slot)) }
  }

  func copy(_ slot: Int) -> Int {
    let copy = take()
    slots[copy].copyMemory(from: slots[slot], byteCount: Int(lengths[slot]))
    lengths[copy] = lengths[slot]
    return copy
  }

  func flipBit(_ slot: Int, at byte: Int, mask: UInt8) {
    let old = slots[slot].load(fromByteOffset: byte, as: UInt8.self)
    slots[slot].storeBytes(of: old ^ mask, toByteOffset: byte, as: UInt8.self)
  }
}
