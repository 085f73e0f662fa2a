/// The callers' buffers: one for each slot of a sender, filled when it is first sent from.
package final class PayloadPlaces {
  private static let byteCount = 64 * 512
  private var places: [UnsafeMutableRawPointer] = []
  private var tokens: [UInt64] = []

  deinit { for place in places { place.deallocate() } }

  func reset() {
    for index in tokens.indices { tokens[index] = 0 }
  }

  /// The bytes of a write in a slot, each sector of its stamp.
  func bytes(
    slot: Int, _ token: UInt64, _ sectors: Range<Int>, stamp: (Int) -> Stamp
  ) -> UnsafeRawBufferPointer {
    while places.count <= slot {
      places.append(.allocate(byteCount: Self.byteCount, alignment: 16))
      tokens.append(0)
    }
    if tokens[slot] != token {
      tokens[slot] = token
      for (offset, sector) in sectors.enumerated() {
        Sector.fill(
          places[slot] + offset * Sector.byteCount, address: sector, stamp: stamp(offset))
      }
    }
    return UnsafeRawBufferPointer(start: places[slot], count: sectors.count * Sector.byteCount)
  }
}
