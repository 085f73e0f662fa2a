import Bytes
import Testing

@testable import Replication

/// Which regions have writes that have not ended everywhere, across parts and wrapping numbers.
@Suite struct OpenStoresTests {
  func empty() -> OpenStores {
    OpenStores(regionCount: 100, lost: RegionMap(regionCount: 100))
  }

  @Test func `a region is open until the last write there has ended, in all parts`() {
    var stores = empty()
    stores.begin(3..<5, part: 1, number: SerialNumber(.max))
    stores.begin(4..<6, part: 1, number: SerialNumber(0))
    stores.begin(4..<5, part: 2, number: SerialNumber(70))
    stores.handleEnded(part: 1, below: SerialNumber(0))
    #expect(stores.open.ranges().ranges == [4..<6])
    stores.handleEnded(part: 1, below: SerialNumber(1))
    #expect(stores.open.ranges().ranges == [4..<5])
    stores.handleEnded(part: 2, below: SerialNumber(70))
    #expect(stores.open.count == 1)
    stores.handleEnded(part: 2, below: SerialNumber(5000))
    #expect(stores.open.isEmpty)
    #expect(stores.lost.isEmpty)
  }

  @Test func `pieces of a write count once, and lower numbers than the first may come later`() {
    var stores = empty()
    stores.begin(10..<12, part: 1, number: SerialNumber(500))
    stores.begin(12..<14, part: 1, number: SerialNumber(500))
    stores.begin(8..<11, part: 1, number: SerialNumber(500))
    stores.begin(20..<21, part: 1, number: SerialNumber(499))
    #expect(stores.open.ranges().ranges == [8..<14, 20..<21])
    stores.handleEnded(part: 1, below: SerialNumber(500))
    #expect(stores.open.ranges().ranges == [8..<14])
    stores.handleEnded(part: 1, below: SerialNumber(501))
    #expect(stores.open.isEmpty)
    #expect(stores.untracked == 0)
  }

  @Test func `what can't be followed is lost`() {
    var stores = empty()
    stores.begin(1..<2, part: 1, number: SerialNumber(10))
    stores.handleEnded(part: 1, below: SerialNumber(10))
    stores.begin(2..<3, part: 1, number: SerialNumber(9))
    #expect(stores.lost.ranges().ranges == [2..<3])
    // Wider than a window may be.
    stores.begin(3..<4, part: 1, number: SerialNumber(10 + 1024))
    #expect(stores.lost.ranges().ranges == [1..<3])
    #expect(stores.open.ranges().ranges == [3..<4])
    for part in 2..<18 {
      stores.begin(50..<51, part: UInt32(part), number: SerialNumber(0))
    }
    #expect(!stores.lost.contains(50))
    stores.begin(60..<61, part: 99, number: SerialNumber(0))
    #expect(stores.lost.contains(60))
    stores.handleEnded(part: 99, below: SerialNumber(1))
    #expect(stores.lost.contains(60))
    stores.handlePartEnded(1, of: 7)
    #expect(stores.lost.contains(3))
    #expect(!stores.open.contains(3))
    // There is a place again, and the part's numbers begin anew.
    stores.begin(70..<71, part: 1, number: SerialNumber(4))
    #expect(stores.open.contains(70))
    #expect(!stores.lost.contains(70))
  }

  @Test func `what a part left open is believed equal only by who knows that it is gone`() {
    var stores = empty()
    let all = RegionMap(regionCount: 100, isFull: true)
    stores.begin(1..<2, part: 1, number: SerialNumber(0))
    stores.begin(5..<6, part: 2, number: SerialNumber(0))
    var asked = RegionMap(regionCount: 100)
    asked.insert(9)
    stores.lose(asked)
    stores.handlePartEnded(1, of: 11)
    stores.handlePartEnded(2, of: 12)
    // Said on the way here before that: of what nobody could know it says nothing.
    stores.forgive(all)
    #expect(stores.lost.ranges().ranges == [1..<2, 5..<6])
    stores.forgiveAll()
    #expect(stores.lost.ranges().ranges == [1..<2, 5..<6])
    // Of one of the two initiators it is known.
    stores.handleExpelled(11)
    stores.forgive(all)
    #expect(stores.lost.ranges().ranges == [1..<2, 5..<6])
    stores.handleExpelled(12)
    stores.forgive(all)
    #expect(stores.lost.isEmpty)
    // What had ended was told; a new claim begins with all marks.
    stores.begin(1..<2, part: 3, number: SerialNumber(0))
    stores.handleEnded(part: 3, below: SerialNumber(1))
    stores.handlePartEnded(3, of: 11)
    #expect(stores.lost.isEmpty)
    stores.begin(1..<2, part: 3, number: SerialNumber(0))
    stores.handlePartEnded(3, of: 11)
    stores.forgive(all)
    #expect(stores.lost.contains(1))
    stores.handleClaimed()
    stores.forgiveAll()
    #expect(stores.lost.isEmpty)
  }
}
