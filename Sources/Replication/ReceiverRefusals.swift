// A mirrored write is a command at the LUNs that its virtual LUN maps to: what their device servers
// hold against it ends it here as it would end a plain WRITE, before anything of it is stored. The
// owner asks the device servers, since their locks are its own; the machine says when a write
// begins, and tells each attention once.
import Bytes
import ISCSI
import SCSI

/// Why a write that begins is not done: how each LUN answers it.
struct WriteRefusal: Error {
  let units: [UnitStatus]
}

extension Receiver {
  /// Whether a datagram may begin a write, so that its LUNs have to be asked.
  package func mayBegin(_ datagram: Datagram) -> Bool {
    guard datagram.kind == .command, !isClosing, !isIgnored(datagram),
      window.place(of: datagram.writeNumber) == .inside
    else { return false }
    switch window[datagram.writeNumber] {
    case .unseen, .distrusted: return true
    case .open(let slot): return writes[slot].phase == .early
    case .ended, .fenced: return false
    }
  }

  /// What a write is about, where nothing speaks against it. In the order of SAM-5 §5.14 and
  /// SPC-4 §5.13: attentions, reservations and readiness, then the command's own fields.
  mutating func judged(_ header: BasicHeaderSegment) throws(WriteRefusal) -> WriteRange {
    guard attentions.isEmpty else {
      defer { attentions = [] }
      throw WriteRefusal(units: attentions)
    }
    guard refusals.isEmpty else { throw WriteRefusal(units: refusals) }
    do throws(SenseData) {
      return try WriteRange(
        cdb: header.commandDescriptorBlock, geometry: configuration.geometry)
    } catch {
      throw WriteRefusal(units: everyUnit(error))
    }
  }

  private func everyUnit(_ sense: SenseData) -> [UnitStatus] {
    configuration.units.map { unit in
      // SPC-4 §7.5.8: D_SENSE is each LUN's own.
      let hasDescriptors = descriptorUnits.contains(unit)
      return UnitStatus(
        lun: unit, status: Status.checkCondition.rawValue,
        sense: hasDescriptors ? sense.descriptorFormat : sense.fixedFormat)
    }
  }

  // MARK: Task management

  /// Ends all open writes: each is answered TASK ABORTED, at once or when the I/O that runs for it
  /// has ended. A mirror is owed a status for each write, so it gets what SAM-5 §5.6 has for TAS 1.
  package mutating func handleAbort() {
    for slot in writes.indices where writes[slot].phase != .idle {
      let number = writes[slot].number
      // The initiator has been told another end, or waits for none.
      let isOver = [.fenced, .forgotten].contains(writes[slot].storing.ending)
      guard abandon(slot) else {
        end(number, bad: taskAborted)
        continue
      }
      writes[slot].storing.isAwaited = true
      if !isOver { writes[slot].storing.ending = .aborted }
    }
  }

  /// Whether I/O still runs for a write that `handleAbort` has met.
  package var isAborting: Bool {
    writes.contains { $0.phase != .idle && $0.storing.isAwaited }
  }

  var taskAborted: [UnitStatus] {
    configuration.units.map { UnitStatus(lun: $0, status: Status.taskAborted.rawValue) }
  }
}
