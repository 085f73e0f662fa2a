// What the session's machine has to tell, carried out.

import ISCSI
import Logging
import NIOCore
import SCSI

extension TargetConnection {
  /// Carries out what the session has told.
  func handleEvents() {
    while let event = session.pollEvent() { handle(event) }
  }

  private func handle(_ event: TargetEvent) {
    switch event {
    case .admission(let description): admit(description)
    case .loggedIn(let description): loggedIn(description)
    case .command(let task): begin(task)
    case .taskAborted(let handle): commands.drop(handle)
    case .taskManagement(let request): manage(request)
    case .abortMirrored(let task, let reply):
      guard let host = serving.host else {
        return session.completeTaskManagement(reply, .taskDoesNotExist)
      }
      host.abort(task, session: port, reply: reply)
    case .text(let keys, let reply): answer(keys, reply)
    case .mirrorRequest(let pdu): serving.host?.request(pdu, session: port)
    case .pingAnswered: break
    case .loggedOut:
      hasLoggedOut = true
      logger.debug("logged out")
    case .close(.loginRefused(let status)):
      let count = serving.directory.countRefusal()
      logger[metadataKey: "refusals"] = "\(count)"
      logger[metadataKey: "initiator"] = "\(session.claimedInitiator)"
      // Its secret was right, the initiator is not one of its: the log alone may say so.
      if let name = session.foreignAccount { logger[metadataKey: "foreignAccount"] = "\(name)" }
      endAfterOutput("login refused: \(status)")
    case .close(let reason): endAfterOutput(reason.words)
    }
  }

  /// Whether there is a place for the session; those of discovery stay where they are.
  private func admit(_ description: SessionDescription) {
    guard description.type == .normal else {
      after(serving.limits.discoveryMilliseconds) { $0.cut("discovery takes too long") }
      return session.admit()
    }
    if let status = objection(to: description) { return session.refuse(status) }
    let nexus = ConnectionRegister.Nexus(
      initiatorName: description.initiatorName, isid: description.isid,
      targetName: description.targetName)
    switch serving.register.logIn(port.id, nexus) {
    case .refused: session.refuse(.outOfResources)
    case .admitted(let replaced) where replaced.isEmpty: enter(description)
    case .admitted(let replaced):
      // RFC 7143 §6.3.5: the same initiator port again ends its old session. The login is answered
      // when nothing of that can touch the medium any more.
      heldInput = ByteBuffer()
      for entry in replaced { entry.port.close(reason: "the initiator logged in anew") }
      EventLoopFuture.andAllComplete(replaced.map(\.ended), on: channel.eventLoop)
        .assumeIsolated().whenComplete { [self] _ in
          guard stage == .open else { return }
          enter(description)
          releaseInput()
        }
    }
  }

  /// Why a login can't be served as things stand: since the session was told of it, the target may
  /// have gone, or its list may be another.
  private func objection(to description: SessionDescription) -> LoginStatus? {
    guard let target = serving.directory.target(named: description.targetName ?? "") else {
      return .targetRemoved
    }
    let isAdmitted = target.admits(description.initiatorName, from: channel.remoteAddress)
    return isAdmitted ? nil : .authorizationFailure
  }

  private func enter(_ description: SessionDescription) {
    if let status = objection(to: description) { return session.refuse(status) }
    target = serving.directory.target(named: description.targetName ?? "")
    session.admit()
  }

  /// The login is answered: what came behind it is due.
  private func releaseInput() {
    guard let input = heldInput else { return }
    heldInput = nil
    adoptNegotiated()
    receive(input)
    settle()
  }

  private func loggedIn(_ description: SessionDescription) {
    initiator = MirrorInitiator(
      name: description.initiatorName, secret: description.provedSecret)
    logger[metadataKey: "initiator"] = "\(description.initiatorName)"
    serving.log.note(.loggedIn, on: channel.eventLoop) {
      logger.info("logged in", metadata: ["session": "\(description.type.rawValue)"])
    }
    guard let target else { return }
    units = target.units
    beginSession()
    attach(InitiatorPort(name: description.initiatorName, isid: description.isid))
  }

  private func answer(_ keys: TextKeys, _ reply: TaskHandle) {
    if let host = serving.host, let target {
      return host.text(keys, initiator: initiator, of: target, session: port, reply: reply)
    }
    let refusal = TextKeys([
      .init(KeyName.mirrorPrefix + "result", "bad-request"),
      .init(KeyName.mirrorPrefix + "reason", "this_target_takes_part_in_no_mirror"),
    ])
    session.respondText(reply, refusal)
  }

  // MARK: Task management

  private func manage(_ request: TaskManagement) {
    for handle in request.aborted { commands.drop(handle) }
    var affected: [ConnectionRegister.Entry] = []
    let function = request.function
    let meant = function.isAboutUnit ? unitsMeant(by: request.lun) : nil
    if let meant, meant.isEmpty {
      return session.completeTaskManagement(request.handle, .lunDoesNotExist)
    }
    if function.reachesOthers { affected = othersAtTarget }
    let luns = meant?.map(\.number.field)
    if function.isReset { noteReset(meant ?? units.list) }
    logger.info("task management", metadata: ["function": "\(function)"])
    var others = affected.map { entry in
      let done = channel.eventLoop.makePromise(of: Void.self)
      entry.port.visit { $0.abortTasks(luns, tells: !function.isReset) { done.succeed() } }
      return done.futureResult
    }
    if function != .abortTask {
      let sessions: Set<UInt64>? = function == .abortTaskSet ? [port.id] : nil
      others.append(mirroredEnd(at: meant ?? units.list, of: sessions))
    }
    if function.reachesOthers, units[field: request.lun] == nil, let luns {
      // By a virtual LUN: the tasks at the LUNs themselves are in the same task sets.
      let done = channel.eventLoop.makePromise(of: Void.self)
      abortTasks(luns) { done.succeed() }
      others.append(done.futureResult)
    }
    let own = channel.eventLoop.makePromise(of: Void.self)
    commands.drain(request.aborted) { own.succeed() }
    callFinished()
    // RFC 7143 §11.6.1: answered once no aborted task can touch the medium any more.
    EventLoopFuture.andAllComplete(others + [own.futureResult], on: channel.eventLoop)
      .assumeIsolated().whenComplete { [self] _ in
        perform { $0.completeTaskManagement(request.handle, .complete) }
        guard request.function == .targetColdReset else { return }
        // RFC 7143 §11.5.1: a cold reset ends all connections, too.
        for entry in affected { entry.port.visit { $0.announceDrop("target cold reset") } }
        announceDrop("target cold reset")
      }
  }

  private var othersAtTarget: [ConnectionRegister.Entry] {
    serving.register.others(than: port.id, at: target?.name)
  }

  /// Another session ends the tasks at some LUNs (nil: at all of them); `tells`: this one hears of
  /// it by a unit attention, where it had any.
  func abortTasks(_ luns: [UInt64]?, tells: Bool = false, ended: @escaping () -> Void) {
    guard stage == .open else {
      commands.drain(nil, ended)
      return callFinished()
    }
    var owned: [TaskHandle] = []
    for lun in luns.map({ $0.map(Optional.some) }) ?? [nil] {
      let aborted = session.abortTasks(lun: lun)
      owned += aborted.owned
      // SAM-5 §5.6: with TAS 0 no aborted command has a status, a unit attention tells of them.
      if tells, aborted.count > 0, let nexus, let unit = lun.flatMap({ units[field: $0] }) {
        unit.device.with { $0.noteCleared(nexus.session) }
      }
    }
    for handle in owned { commands.drop(handle) }
    commands.drain(owned, ended)
    callFinished()
    settle()
  }

  // SAM-5 §6.3.3: every initiator learns of a reset by a unit attention.
  private func noteReset(_ units: [ServedUnit]) {
    for unit in units { unit.device.with { $0.reset() } }
  }

  /// The disks that a LUN field of task management names: a LUN's, or all of a virtual LUN's.
  private func unitsMeant(by lun: UInt64) -> [ServedUnit] {
    if let unit = units[field: lun] { return [unit] }
    return serving.host?.units(ofVirtualLUN: lun, session: port.id) ?? []
  }

  /// The end of the mirrored writes at some disks, of those sessions or (nil) of all.
  func mirroredEnd(
    at units: [ServedUnit], of sessions: Set<UInt64>?
  ) -> EventLoopFuture<Void> {
    let done = channel.eventLoop.makePromise(of: Void.self)
    if let host = serving.host {
      host.abortAll(at: units, of: sessions) { done.succeed() }
    } else {
      done.succeed()
    }
    return done.futureResult
  }

  // MARK: The session at its disks

  private func attach(_ initiator: InitiatorPort) {
    let nexus = Nexus(session: port.id, port: initiator)
    self.nexus = nexus
    for unit in units.list { unit.device.with { $0.attach(nexus) } }
  }

  /// The session is gone: what it held at the disks is free.
  func detach() {
    guard let nexus else { return }
    self.nexus = nil
    for unit in units.list {
      unit.device.with { $0.detach(nexus.session, isLost: !hasLoggedOut) }
    }
  }
}

extension TaskManagementFunction {
  /// Whether a LUN says what it is about, beside any task.
  fileprivate var isAboutUnit: Bool {
    switch self {
    case .abortTaskSet, .clearACA, .clearTaskSet, .logicalUnitReset: true
    case .abortTask, .targetWarmReset, .targetColdReset, .taskReassign: false
    }
  }

  fileprivate var isReset: Bool {
    switch self {
    case .logicalUnitReset, .targetWarmReset, .targetColdReset: true
    case .abortTask, .abortTaskSet, .clearACA, .clearTaskSet, .taskReassign: false
    }
  }

  // SPC-4 §7.5.8: TST is 0, so all sessions share a disk's one task set.
  fileprivate var reachesOthers: Bool { isReset || self == .clearTaskSet }
}

extension CloseReason {
  /// For the log.
  fileprivate var words: String {
    switch self {
    case .loginRefused: "login refused"
    case .notALogin: "not an iSCSI login"
    case .dataSegmentTooLong: "a data segment longer than allowed"
    case .headerDigest: "a header was damaged on the way"
    case .loggedOut: "logged out"
    }
  }
}
