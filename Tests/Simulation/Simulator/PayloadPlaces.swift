/// The callers' buffers: one for each slot of a sender, filled when it is first sent from.
package final class PayloadPlaces {
  private static let byteCount = 64 * 512
  private var places: [UnsafeMutableRawPointer] = []
  private var stamps: [Stamp] = []

  deinit { for place in places { place.deallocate() } }

  func reset() {
    for index in stamps.indices { stamps[index] = 0 }
  }

  /// The bytes of a write in a slot.
  func bytes(slot: Int, _ stamp: Stamp, _ sectors: Range<Int>) -> UnsafeRawBufferPointer {
    while places.count <= slot {
      places.append(.allocate(byteCount: Self.byteCount, alignment: 16))
      stamps.append(0)
    }
    if stamps[slot] != stamp {
      stamps[slot] = stamp
      for (offset, sector) in sectors.enumerated() {
        Sector.fill(places[slot] + offset * Sector.byteCount, address: sector, stamp: stamp)
      }
    }
    return UnsafeRawBufferPointer(start: places[slot], count: sectors.count * Sector.byteCount)
  }
}
