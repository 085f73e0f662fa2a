import Foundation
import SCSI

@testable import Mirrorcast
@testable import Storage

/// Keeps everybody else away from some blocks of a disk, until it is opened.
final class DiskGate: Sendable {
  private let leave = DispatchSemaphore(value: 0)

  init(_ unit: ServedUnit, at offset: UInt64 = 0) {
    let exclusion = unit.backing.exclusion
    let entered = DispatchSemaphore(value: 0)
    let leave = leave
    Thread.detachNewThread {
      try? exclusion.with(ByteRange(offset: offset, length: 4096), alone: true) {
        entered.signal()
        leave.wait()
      }
    }
    entered.wait()
  }

  func open() { leave.signal() }
}
