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
    let before = try residentPages()
    let slab = try Slab(slotCount: 1024, slotByteCount: 1 << 20, node: 0)
    slab.slot(0)[0] = 1
    let grown = try residentPages() - before
    #expect(grown * 4096 < 256 << 20, "a GiB was touched at the start")
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

  private func residentPages() throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    return try #require(Int(text.split(separator: " ")[1]))
  }
}
