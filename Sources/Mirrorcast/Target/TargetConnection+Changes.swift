// What a session makes of a change of what its daemon serves: it goes on with the disks that it
// still has, and hears that there are others; or it is dropped, where its target is gone or admits
// it no more.

import ISCSI
import NIOCore
import SCSI

extension TargetConnection {
  /// Takes over what the directory says by now. `ended` is called once no command of the nexus
  /// is about a disk that its target no longer has.
  func adoptChanges(ended: @escaping @Sendable () -> Void) {
    session.replaceTargets(by: serving.directory.configuration(for: channel, handle: 0xffff))
    guard let target else { return ended() }
    guard let current = serving.directory.target(named: target.name), current === target else {
      return drop("its target was taken away", ended)
    }
    guard current.admits(initiator.name, from: channel.remoteAddress) else {
      return drop("its target does not admit it any more", ended)
    }
    let former = units
    units = current.units
    let leaving = former.list.filter { units[Int($0.number.value)]?.id != $0.id }
    let coming = units.list.filter { former[Int($0.number.value)]?.id != $0.id }
    guard !leaving.isEmpty || !coming.isEmpty else { return ended() }
    if let nexus {
      for unit in coming { unit.device.with { $0.attach(nexus) } }
      for unit in units.list { unit.device.with { $0.noteInventoryChange(for: nexus.session) } }
    }
    var isWaiting = true
    commands.drain(units: Set(leaving.map(\.id))) { [self] in
      isWaiting = false
      if let nexus { for unit in leaving { unit.device.with { $0.detach(nexus.session) } } }
      ended()
    }
    callFinished()
    settle()
    guard isWaiting else { return }
    // What waits for a peer that takes no answers would keep the disk for ever.
    after(serving.limits.drainMilliseconds) { connection in
      if isWaiting { connection.cut("its commands at a LUN that was taken away do not end") }
    }
  }

  /// Drops the session; what it has at the disks and in the mirror ends first.
  private func drop(_ reason: String, _ ended: @escaping () -> Void) {
    announceDrop(reason)
    drainAll { [self] in
      detach()
      (target, units) = (nil, ServedUnits([]))
      ended()
    }
    callFinished()
  }

  /// Who asks which disks there are has heard of all changes.
  func noteInventory(_ request: CommandRequest) {
    guard let nexus, request.cdb[0] == OperationCode.reportLUNs.rawValue else { return }
    for unit in units.list { unit.device.with { $0.forgetInventoryChange(for: nexus.session) } }
  }
}
