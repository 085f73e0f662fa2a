import Synchronization

/// Which LUNs belong to a mirror now: their medium changes only through it.
final class MirroredNumbers: Sendable {
  private let numbers = Mutex<Set<Int>>([])

  func contains(_ lun: Int) -> Bool { numbers.withLock { $0.contains(lun) } }
  func insert(_ luns: [Int]) { numbers.withLock { $0.formUnion(luns) } }
  func remove(_ luns: [Int]) { numbers.withLock { $0.subtract(luns) } }
}
