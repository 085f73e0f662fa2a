// Task attributes in a virtual mirror: writes of all of them, and in every instant whether an
// ordered one is alone.
import Bytes

@testable import Replication

extension VirtualMirror {
  /// Submits `count` writes at random places: a sixth ordered, a sixth at the head of the queue.
  func writeInTurns(_ count: Int, blocksMax: Int) {
    for _ in 0..<count {
      let blocks = 1 + Int(random.below(UInt64(blocksMax)))
      let attribute: Submission.Attribute =
        switch random.below(6) {
        case 0: .ordered
        case 1: .headOfQueue
        default: .simple
        }
      attributes[UInt64(order.count) + 1] = attribute
      write(
        block: Int(random.below(UInt64(shape.diskBlocks - blocks))), blocks: blocks,
        attribute: attribute)
    }
  }

  /// Nothing is open with an ordered write, all before it have begun, none behind it has; but for
  /// those that go before the queue.
  func checkTurns() {
    guard !attributes.isEmpty else { return }
    let open = sender.writes.filter { $0.phase != .idle && !$0.submission.isCopy }
    for write in open { begun.insert(write.submission.token) }
    let others = order.filter { attributes[$0] ?? .simple != .headOfQueue }
    for write in open where write.submission.attribute == .ordered {
      let token = write.submission.token
      if open.contains(where: {
        $0.submission.token != token && $0.submission.attribute != .headOfQueue
      }) {
        violations.append("ordered token \(token) is not alone")
      }
      if others.contains(where: { $0 < token && !begun.contains($0) && !over.contains($0) }) {
        violations.append("ordered token \(token) is too early")
      }
      if others.contains(where: { $0 > token && begun.contains($0) }) {
        violations.append("ordered token \(token) is too late")
      }
    }
  }
}
