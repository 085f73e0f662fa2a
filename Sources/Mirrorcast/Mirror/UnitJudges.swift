// A mirrored write is asked of the same device servers as a plain one, at the moment at which it
// begins: so what another session has reserved, preempted or reset before is obeyed, and what this
// one has not heard yet it hears by its next write, whichever way that comes. Nearly always nothing
// speaks against a write, which a flag of each disk tells without its lock.
import Replication
import SCSI

/// The disks of a registration, as they judge the writes of its session.
struct UnitJudges {
  private let devices: [SharedDevice]
  private let fields: [UInt64]
  private let session: UInt64

  init(_ units: [ServedUnit], of session: UInt64) {
    devices = units.map(\.device)
    fields = units.map(\.number.field)
    self.session = session
  }

  private var isPlain: Bool {
    for device in devices where !device.isPlain { return false }
    return true
  }

  /// Tells the machine what speaks against the write that a datagram may begin.
  func judge(_ datagram: Datagram, for receiver: inout Receiver) {
    guard datagram.kind == .command else { return }
    guard !isPlain else {
      if !receiver.refusals.isEmpty { receiver.refusals = [] }
      if !receiver.descriptorUnits.isEmpty { receiver.descriptorUnits = [] }
      receiver.forcesWrites = false
      return
    }
    guard receiver.mayBegin(datagram) else { return }
    receiver.descriptorUnits = zip(devices, fields).compactMap { device, field in
      device.with { $0.usesDescriptors } ? field : nil
    }
    receiver.forcesWrites = devices.contains { !$0.with { $0.hasWriteCache } }
    if receiver.attentions.isEmpty {
      receiver.attentions = statuses(devices.map { $0.with { $0.takeAttention(of: session) } })
    }
    let isCopy = receiver.takesCopies && datagram.flags.contains(.copy)
    receiver.refusals = statuses(
      devices.map { $0.with { $0.refusal(ofWriteFrom: session, isOfMirror: isCopy) } })
  }

  /// One disk's refusal is the whole write's: it is done nowhere.
  private func statuses(_ results: [SCSI.CommandResult?]) -> [UnitStatus] {
    guard let first = results.compactMap({ $0 }).first else { return [] }
    return zip(fields, results).map { field, own in
      let result = own ?? first
      return UnitStatus(lun: field, status: result.status.rawValue, sense: result.senseBytes)
    }
  }
}
