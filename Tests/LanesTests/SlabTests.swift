import Foundation
import Testing

@testable import Lanes

@Suite struct SlabTests {
  @Test func `all slots are distinct, zero, writable, and come back`() throws {
    let slab = try Slab(slotCount: 7, slotByteCount: 48)
    var held: Set<Int> = []
    while let index = slab.acquire() {
      #expect(held.insert(index).inserted)
      let slot = slab.slot(index)
      #expect(slot.count == 48)
      #expect(slot.allSatisfy { $0 == 0 })
      slot.copyBytes(from: [UInt8](repeating: UInt8(index), count: 48))
    }
    #expect(held == Set(0..<7))
    for index in held {
      #expect(slab.slot(index).allSatisfy { $0 == UInt8(index) })
      slab.release(index)
    }
    #expect(slab.freeCount == 7)
    #expect(slab.acquire() != nil)
  }

  @Test func `a slab on a node, where there are nodes`() throws {
    let slab = try Slab(slotCount: 4, slotByteCount: 4096, node: 0)
    #expect(slab.node == (NUMANodes.count > 0 ? 0 : nil))
    slab.slot(3)[4095] = 7
    #expect(slab.slot(3)[4095] == 7)
    #expect(try Slab(slotCount: 1, slotByteCount: 16, node: 4711).node == nil)
  }

  @Test func `pages come when they are touched`() throws {
    let slab = try Slab(slotCount: 1024, slotByteCount: 1 << 20, node: 0)
    #expect(try slab.pageKind == .hugetlb || residentPages(of: slab) == 0)
    slab.slot(0)[0] = 1
    #expect(try slab.pageKind == .hugetlb || residentPages(of: slab) * 4096 <= 2 << 20)
  }

  @Test(arguments: [PagePolicy.automatic, .off, .failsAtFirstUse])
  func `whatever the pages are, they are zero and ours`(policy: PagePolicy) throws {
    let slab = try Slab(slotCount: 40, slotByteCount: 1 << 20, node: 0, policy: policy)
    if policy != .automatic { #expect(slab.pageKind == .ordinary) }
    // A byte of every ordinary page, and the last one.
    let offsets = Array(stride(from: 0, to: 1 << 20, by: 4096)) + [(1 << 20) - 1]
    for index in 0..<40 {
      #expect(offsets.allSatisfy { slab.slot(index)[$0] == 0 })
      for offset in offsets { slab.slot(index)[offset] = UInt8(index) }
    }
    for index in 0..<40 {
      #expect(offsets.allSatisfy { slab.slot(index)[$0] == UInt8(index) })
    }
  }

  @Test(.enabled(if: PageKind.hasTransparent || PageKind.freeInPool >= 4))
  func `pages are huge where there are any`() throws {
    let slab = try Slab(slotCount: 8, slotByteCount: 1 << 20, policy: .required)
    #expect(slab.pageKind != .ordinary)
    for index in 0..<8 { slab.slot(index)[0] = 1 }
    // One byte brings all of a huge page; a kernel short of memory makes fewer than four of them.
    #expect(try residentPages(of: slab) * 4096 >= 2 << 20)
    let small = try Slab(slotCount: 2, slotByteCount: 4096)
    #expect(small.pageKind == .ordinary)
  }

  @Test(.enabled(if: !PageKind.hasTransparent && PageKind.freeInPool == 0))
  func `huge pages that must be and aren't are an error`() {
    #expect(throws: SystemError.self) {
      _ = try Slab(slotCount: 8, slotByteCount: 1 << 20, policy: .required)
    }
  }

  @Test(.enabled(if: NUMANodes.count > 0))
  func `a page lies on the node that it was asked from, once it is touched`() throws {
    for node in 0..<NUMANodes.count where NUMANodes.exists(node) {
      let slab = try Slab(slotCount: 4, slotByteCount: 4 << 20, node: node)
      #expect(slab.pageKind == .hugetlb || slab.node(of: 3) == nil)
      slab.slot(3)[0] = 1
      // A kernel that may not be asked says nothing.
      if slab.node == node { #expect(slab.node(of: 3) == node) }
    }
  }

  @Test func `a slot released twice is our own bug`() async {
    await #expect(processExitsWith: .failure) {
      let slab = try Slab(slotCount: 2, slotByteCount: 16)
      let index = try #require(slab.acquire())
      _ = slab.acquire()
      slab.release(index)
      slab.release(index)
      exit(EXIT_SUCCESS)
    }
  }

  @Test func `a slot that isn't there is our own bug`() async {
    await #expect(processExitsWith: .failure) {
      let slab = try Slab(slotCount: 2, slotByteCount: 16)
      _ = slab.slot(2)
      exit(EXIT_SUCCESS)
    }
  }

  @Test func `memory that can't be had is an error`() {
    #expect(throws: SystemError.self) {
      _ = try Slab(slotCount: 1 << 20, slotByteCount: 1 << 42)
    }
  }

  /// How many ordinary pages' worth of a slab is there: of this slab, not of the process, where
  /// other tests take memory and give it back meanwhile.
  private func residentPages(of slab: Slab) throws -> Int {
    let byteCount = slab.slotCount * slab.slotByteCount
    var states = [UInt8](repeating: 0, count: (byteCount + 4095) / 4096)
    try #require(mincore(slab.slot(0).baseAddress, byteCount, &states) == 0)
    return states.count { $0 & 1 == 1 }
  }
}
