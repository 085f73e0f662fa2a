// What must hold in every instant of a virtual mirror's run.
import Bytes
import ISCSI

@testable import Replication

extension VirtualMirror {
  func beginStore(_ leg: VirtualLeg, _ store: StoreRequest) {
    let range = store.byteOffset..<store.byteOffset + UInt64(store.length)
    if leg.storesRunning.contains(where: { $0.unit == store.unit && $0.range.overlaps(range) }) {
      violations.append("leg \(leg.index) stores overlapping writes at once")
    }
    leg.storesRunning.append((store.unit, range))
    agenda.enter(
      .stored(leg: leg.index, store),
      at: now + leg.faults.storeNanoseconds + random.below(leg.faults.storeNanoseconds))
  }

  /// The bytes reach the disk when the I/O ends: what moves them meanwhile is seen.
  func finishStore(_ leg: VirtualLeg, _ store: StoreRequest) {
    let (slot, unit) = (store.slot, store.unit)
    let write = leg.receiver.writes[slot]
    let range = store.byteOffset..<store.byteOffset + UInt64(store.length)
    leg.storesRunning.removeAll { $0.unit == unit && $0.range == range }
    let piece = store.slotOffset..<store.slotOffset + store.length
    let data = leg.buffers[slot][piece]
    if let token = tokens[write.number], let payload = payloads[token] {
      if offsets[token] != write.byteOffset || payload.count != write.length
        || piece.upperBound > write.length
        || store.byteOffset != write.byteOffset + UInt64(store.slotOffset)
      {
        violations.append("leg \(leg.index) stores \(range), not the write's own range")
      } else if !unitPayloadsChange, data != payload[piece] {
        violations.append("leg \(leg.index) stores wrong bytes at \(range)")
      }
    } else {
      violations.append("leg \(leg.index) stores a write that was never sent")
    }
    checkNotAborted(leg, write.number)
    let refusal = leg.storeStatus(unit, write.number)
    if refusal == nil {
      leg.disks[unit].replaceSubrange(Int(range.lowerBound)..<Int(range.upperBound), with: data)
    }
    leg.receiver.handleStored(
      slot: slot, unit: unit, status: refusal?.0 ?? 0, sense: refusal?.1 ?? [])
  }

  /// A leg that was kept from a write touches its disk for it no more.
  private func checkNotAborted(_ leg: VirtualLeg, _ number: SerialNumber) {
    guard let token = tokens[number], sender.legs[leg.index].isActive else { return }
    let outcome = LegOutcome(leg: leg.index, failure: .aborted)
    guard completions[token]?.contains(outcome) == true else { return }
    violations.append("leg \(leg.index) stores token \(token), which was aborted")
  }

  /// GOOD at a leg means that all its LUNs hold the bytes now.
  func checkStored(_ token: UInt64, failures: [LegOutcome]) {
    guard let payload = payloads[token], let offset = offsets[token] else { return }
    let range = Int(offset)..<Int(offset) + payload.count
    for leg in legs
    where lost[leg.index] == nil && !failures.contains(where: { $0.leg == leg.index }) {
      guard sender.legs[leg.index].isActive else { continue }
      for disk in leg.disks where Array(disk[range]) != payload {
        violations.append("token \(token) is GOOD but not stored at leg \(leg.index)")
      }
    }
  }

  /// No two open writes overlap; the grants of the legs hold.
  func checkOpenWrites() {
    guard sender.counters.writes != writesChecked else { return }
    writesChecked = sender.counters.writes
    let open = sender.writes.filter { $0.phase != .idle }
    for (index, one) in open.enumerated() {
      for other in open[(index + 1)...] {
        let ranges = [one, other].map {
          $0.submission.byteOffset..<$0.submission.byteOffset + UInt64($0.submission.length)
        }
        if ranges[0].overlaps(ranges[1]) { violations.append("overlapping writes open at once") }
        if Datagram.taskTag(of: one.number) == Datagram.taskTag(of: other.number) {
          violations.append("two open writes have one tag")
        }
      }
    }
    openWritesSeenMax = max(openWritesSeenMax, open.count)
    openBytesSeenMax = max(openBytesSeenMax, open.reduce(0) { $0 + $1.submission.length })
    checkTurns()
    if open.count != sender.openWrites { violations.append("open writes are miscounted") }
  }
}
