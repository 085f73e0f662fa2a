// Task management and preempting reservations at disks that are a mirror's: the open writes of its
// registrations end, and whoever asked is told when none of them can touch a medium any more.
import ISCSI
import Replication
import SCSI
import Storage

/// Which open writes somebody ends, and what is to be done then.
struct MirroredAbort: Sendable {
  /// The disks' ids.
  let units: Set<UInt64>
  /// Whose writes; nil: everybody's.
  let sessions: Set<UInt64>?
  let ended: @Sendable () -> Void
}

/// Registrations whose aborted writes have I/O under way, and who waits for its end.
struct WritesAborting {
  let registrations: [UInt32]
  let ended: @Sendable () -> Void
}

extension ReceiverDuty {
  mutating func abort(_ order: MirroredAbort) {
    var serials: [UInt32] = []
    for registration in registrations {
      guard order.sessions?.contains(registration.session.id) ?? true,
        registration.units.contains(where: { order.units.contains($0.id) })
      else { continue }
      registration.receiver.handleAbort()
      serials.append(registration.serial)
    }
    aborting.append(WritesAborting(registrations: serials, ended: order.ended))
  }

  /// Tells those whose writes have ended: after the answers to these, which go first.
  mutating func finishAborting() {
    guard !aborting.isEmpty else { return }
    let busy = registrations.filter(\.receiver.isAborting).map(\.serial)
    aborting.removeAll { waiter in
      let isOver = !waiter.registrations.contains { busy.contains($0) }
      if isOver { waiter.ended() }
      return isOver
    }
  }

  /// ABORT TASK of a mirrored write, by the tag and the virtual LUN of its task.
  mutating func abort(_ task: MirroredTask, _ session: SessionPort, _ reply: TaskHandle) {
    let lun = LogicalUnitNumber(field: task.lun)?.field
    for registration in registrations where registration.session.id == session.id {
      guard registration.receiver.configuration.virtualLUN == lun,
        let number = registration.number(ofTag: task.taskTag)
      else { continue }
      registration.aborts.append((number, reply))
      registration.receiver.handleFence(number, epoch: registration.receiver.currentEpoch)
      return
    }
    session.perform { $0.completeTaskManagement(reply, .taskDoesNotExist) }
  }
}
