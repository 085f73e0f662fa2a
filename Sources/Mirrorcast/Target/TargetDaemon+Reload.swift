// A daemon becomes what another configuration says while it serves: all of it, or nothing.
//
//     plan ──▶ ask the mirrors ──▶ open disks ──▶ open portals ──▶ change ──▶ tell sessions
//                   └────────────────┴────────────────┴──▶ refused: what is served is the same
//
// A file that was made for a new disk stays where that is refused, empty: whoever asks for it again
// finds it, and nothing that has a name is deleted here.
//
// From the change on nothing can fail any more. Then every session is visited on its event loop,
// and when no command is about a disk that leaves, that is flushed and let go.

import Logging
import NIOCore
import SCSI
import Storage
import Synchronization

/// What became of a reload, in words.
public struct ReloadOutcome: Sendable {
  /// What is otherwise than before.
  public var changes: [String]
  /// What stays as it was, though the new configuration says otherwise, and why.
  public var remarks: [String]
}

extension TargetDaemon {
  /// What a daemon has while it serves.
  struct Running: Sendable {
    let serving: Serving
    let group: any EventLoopGroup
    var portals: [Portal]
    /// As it is, which is what the last configuration said but for the remarks.
    var configuration: TargetConfiguration

    /// A portal was closed in vain. Nil: it can't be opened again, and is no portal any more, so
    /// that the next reload opens it.
    mutating func reopened(_ address: PortalAddress, as portal: Portal?) {
      if let portal {
        guard let index = portals.firstIndex(where: { $0.address == address }) else { return }
        portals[index] = portal
      } else {
        portals.removeAll { $0.address == address }
        configuration.portals.removeAll { $0 == address }
      }
    }
  }

  /// A disk that was let go of, by the time that its file is closed.
  private struct Leftover: Sendable {
    weak var backing: (any BlockBacking)?
    let words: String
  }

  /// Serves what `new` says from now on; sessions go on wherever they still may. Waits until the
  /// daemon serves, and until disks that were taken away are flushed and closed.
  ///
  /// - Throws: what stands against it; the daemon then serves what it did, all of it. A LUN of a
  ///   mirror, or one that is being sanitized, can't be taken away.
  @discardableResult
  public func reload(_ new: TargetConfiguration) async throws(MirrorcastError) -> ReloadOutcome {
    await turns.take()
    defer { turns.give() }
    guard let running = running.withLock({ $0 }) else {
      throw MirrorcastError("the daemon does not serve any more")
    }
    let (outcome, leftovers) = try await change(running, to: new)
    await waitForEnd(of: leftovers)
    for change in outcome.changes { logger.notice("reloaded: \(change)") }
    for remark in outcome.remarks + new.warnings { logger.warning("reloaded: \(remark)") }
    if outcome.changes.isEmpty, outcome.remarks.isEmpty {
      logger.notice("reloaded: nothing has changed")
    }
    return outcome
  }

  private func change(
    _ running: Running, to new: TargetConfiguration
  ) async throws(MirrorcastError) -> (ReloadOutcome, [Leftover]) {
    let plan = try ReloadPlan(
      from: running.configuration, to: new, served: running.serving.directory.targets)
    let discovery = try new.secrets?.requirement()
    let admissions = try plan.targets.map { (target) throws(MirrorcastError) in
      try ServedTarget.Admission(target.definition, secrets: new.secrets)
    }
    try withdraw(plan, running)
    let descriptors = raiseDescriptorLimit(for: plan, running)
    let opened: [[ServedUnit]]
    let portals: [Portal]
    do throws(MirrorcastError) {
      opened = try open(plan)
      portals = try await openPortals(plan, running)
    } catch {
      restore(plan, running)
      throw error
    }
    // Before anybody can register one of these disks for a mirror.
    resumeSanitizing(opened.flatMap { $0 }, on: running.group, running.serving.workers)
    startKeeping(opened.flatMap { $0 }, on: running.group, running.serving.workers)
    var targets: [ServedTarget] = []
    for (index, target) in plan.targets.enumerated() {
      let units = ServedUnits(target.staying + opened[index])
      if let served = target.served {
        served.change(units, admissions[index])
        targets.append(served)
      } else {
        targets.append(
          ServedTarget(name: target.definition.name, units: units, admission: admissions[index]))
      }
    }
    let directory = running.serving.directory
    directory.change(targets: targets, discovery: discovery)
    directory.setPortals(portals.compactMap(\.channel.localAddress))
    self.running.withLock { running in
      running?.configuration = plan.configuration
      running?.portals = portals
    }
    for portal in running.portals where plan.leavingPortals.contains(portal.address) {
      try? await portal.channel.close()
    }
    await tellSessions(running)
    running.serving.host?.settle(plan.comingPlaces)
    let leftovers = await flush(plan.leaving, running)
    let remarks = plan.remarks + (descriptors.map { [$0] } ?? [])
    return (ReloadOutcome(changes: plan.changes, remarks: remarks), leftovers)
  }

  /// Makes room for more disks; says so where it can't, and connections have to do with less.
  private func raiseDescriptorLimit(for plan: ReloadPlan, _ running: Running) -> String? {
    let wanted = running.serving.limits.descriptorsWanted(
      disks: plan.configuration.diskDescriptors)
    let descriptors = DescriptorLimit.raise(to: wanted)
    guard descriptors < wanted, plan.targets.contains(where: { !$0.coming.isEmpty }) else {
      return nil
    }
    return "only \(descriptors) files may be open, \(wanted) are wanted: raise the hard limit"
      + " (ulimit -Hn, LimitNOFILE= in a unit) and restart, or not all connections find room"
  }

  /// Opens the disks that come, for each target; closes all again where one can't be.
  private func open(_ plan: ReloadPlan) throws(MirrorcastError) -> [[ServedUnit]] {
    let leaving = Set(plan.leaving.map(\.id))
    let current = running.withLock { $0?.serving.directory.targets ?? [] }.flatMap(\.units.list)
    var opened: [[ServedUnit]] = []
    for target in plan.targets {
      var units: [ServedUnit] = []
      for specification in target.coming {
        do throws(MirrorcastError) {
          units.append(
            try ServedUnit(
              opening: specification, targetName: target.definition.name,
              stateFolder: plan.configuration.stateFolder))
        } catch {
          let isMoved = current.contains { unit in
            leaving.contains(unit.id) && specification.path != nil
              && unit.path == specification.path
          }
          guard isMoved else { throw error }
          throw MirrorcastError(
            "\(specification.path ?? "") is to become LUN \(specification.number.value) of"
              + " \(target.definition.name), and is another LUN still",
            advice: "Take that away, reload, and add it after.")
        }
      }
      opened.append(units)
    }
    return opened
  }

  /// From here on no mirror and no SANITIZE begins at what leaves.
  private func withdraw(_ plan: ReloadPlan, _ running: Running) throws(MirrorcastError) {
    let refusal = running.serving.host?.change(
      leaving: plan.leaving, coming: plan.comingPlaces)
    if let refusal {
      throw MirrorcastError(refusal, advice: "End the mirror first, then reload.")
    }
    // Without a host there is nobody else who marks them.
    for unit in plan.leaving { unit.changes.withdraw() }
    if let unit = plan.leaving.first(where: { !$0.keeping.withdraw() }) {
      restore(plan, running)
      throw MirrorcastError(
        "LUN \(unit.number.value) of \(unit.targetName) belongs to a mirror that is open",
        advice: "Close the mirror first, then reload.")
    }
    // Asked after the mark is set, for a SANITIZE is noted before it looks at the mark.
    if let unit = plan.leaving.first(where: { $0.device.with { $0.isSanitizing } }) {
      restore(plan, running)
      throw MirrorcastError(
        "LUN \(unit.number.value) of \(unit.targetName) is being sanitized",
        advice: "Wait until that has ended, then reload.")
    }
  }

  /// All of them stay, after all.
  private func restore(_ plan: ReloadPlan, _ running: Running) {
    for unit in plan.leaving {
      unit.changes.restore()
      unit.keeping.restore()
    }
    running.serving.host?.settle(plan.comingPlaces)
  }

  // MARK: Portals

  /// The portals that there will be, all of them listening. One that is in the way of another is
  /// closed before, and opened again when that was in vain.
  private func openPortals(
    _ plan: ReloadPlan, _ running: Running
  ) async throws(MirrorcastError) -> [Portal] {
    let inTheWay = running.portals.filter { portal in
      plan.leavingPortals.contains(portal.address)
        && plan.comingPortals.contains { $0.overlaps(portal.address) }
    }
    for portal in inTheWay { try? await portal.channel.close() }
    let (group, serving) = (running.group, running.serving)
    do throws(MirrorcastError) {
      let coming = try await Portal.open(plan.comingPortals, on: group, serving, logger)
      let all =
        running.portals.filter { !plan.leavingPortals.contains($0.address) } + coming
      return plan.configuration.portals.compactMap { address in
        all.first { $0.address == address }
      }
    } catch {
      for portal in inTheWay {
        let again = try? await Portal.open(portal.address, on: group, serving, logger)
        if again == nil {
          logger.error(
            "portal \(portal.address) can't be opened again",
            metadata: ["advice": "Reload when its port is free: that opens it."])
        }
        self.running.withLock { $0?.reopened(portal.address, as: again) }
      }
      let left = self.running.withLock { $0?.portals } ?? []
      serving.directory.setPortals(left.compactMap(\.channel.localAddress))
      throw error
    }
  }

  // MARK: Sessions and disks

  /// Every session takes over what there is now; none uses what is not there any more when this
  /// returns.
  private func tellSessions(_ running: Running) async {
    let loop = running.group.next()
    let told = running.serving.register.everybody.map { entry in
      let done = loop.makePromise(of: Void.self)
      entry.port.visit { $0.adoptChanges { done.succeed() } }
      return done.futureResult
    }
    try? await EventLoopFuture.andAllComplete(told, on: loop).get()
  }

  private func flush(_ units: [ServedUnit], _ running: Running) async -> [Leftover] {
    var leftovers: [Leftover] = []
    for unit in units {
      let words = "LUN \(unit.number.value) of \(unit.targetName)"
      if let failure = await Flush.of(unit, by: running.serving.workers) {
        logger.error("not all data of \(words) is on the medium: \(failure)")
      }
      unit.keeping.stop()
      leftovers.append(Leftover(backing: unit.backing, words: words))
    }
    return leftovers
  }

  /// A file is closed, and its lock free, when the last one lets go of it: workers and event loops
  /// do so a moment after they have told that they are done.
  private func waitForEnd(of leftovers: [Leftover]) async {
    let end = ContinuousClock.now + .seconds(5)
    for leftover in leftovers {
      while leftover.backing != nil, ContinuousClock.now < end {
        guard (try? await Task.sleep(for: .milliseconds(1))) != nil else { return }
      }
      if leftover.backing != nil {
        logger.warning("\(leftover.words) is taken away, but is closed only when a work has ended")
      }
    }
  }
}
