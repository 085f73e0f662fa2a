// What sessions ask about the records, the marks and the bytes of a target's LUNs. It goes to the
// LUN itself, not to a lane: a claim comes before any registration, and outlasts it.
import ISCSI
import Replication
import Storage
import Synchronization

extension MirrorService {
  /// A request about a LUN's record or marks.
  func keep(
    _ text: KeepingText, of target: ServedTarget, _ session: SessionPort, _ reply: TaskHandle
  ) throws(RegistrationFault) {
    let unit = try unit(text.lun, of: target)
    let keeping = unit.keeping
    asked.withLock { $0[session.id, default: [:]][unit.id] = keeping }
    let former = keeping.beginTakeover(text.request, session: session.id)
    let ask: @Sendable () -> Void = {
      keeping.ask(text.request, session: session.id) { answer in
        let keys = answer.keys
        session.perform { $0.respondText(reply, keys) }
      }
    }
    if let guest = keeping.beginExpelling(text.request, session: session.id) {
      return endRegistrations(at: [unit.id], of: guest, ask)
    }
    ask()
    guard let former else { return }
    endRegistrations(at: [unit.id]) { keeping.sessionClosed(former) }
  }

  /// Ends the registrations at some LUNs, whichever session's they are.
  /// - Parameter holder: whose alone; nil: all.
  func endRegistrations(
    at units: Set<UInt64>, of holder: UInt64? = nil, _ ended: @escaping @Sendable () -> Void
  ) {
    let awaited = LanesAwaited(lanes.count, ended)
    for lane in lanes {
      lane.inbox.post(.endUnits(units, holder: holder) { awaited.end() })
    }
  }

  /// Where the initiator is that leads a shared mirror of a LUN.
  func leader(
    ofLUN number: Int, of target: ServedTarget, _ session: SessionPort, _ reply: TaskHandle
  ) throws(RegistrationFault) {
    let keeping = try unit(number, of: target).keeping
    let keys =
      keeping.leader?.keys
      ?? KeepingAnswer.refused(.notClaimed, "nobody has a shared mirror open there").keys
    session.perform { $0.respondText(reply, keys) }
  }

  /// The digests of a range, for the initiator that has claimed the LUN.
  func digest(
    _ request: DigestRequest, of target: ServedTarget, _ session: SessionPort, _ reply: TaskHandle
  ) throws(RegistrationFault) {
    let unit = try unit(request.lun, of: target)
    let answer: @Sendable (DigestAnswer) -> Void = { answer in
      let keys = answer.keys
      session.perform { $0.respondText(reply, keys) }
    }
    guard unit.keeping.isHolder(session.id) else {
      return answer(.refused(.notClaimed, "claim it first"))
    }
    guard request.offset + request.length <= unit.backing.byteCount else {
      return answer(.refused(.badRequest, "the range lies off the disk"))
    }
    guard workers.submit(DigestWork(request, of: unit.backing, answer)) else {
      return answer(.refused(.storage, "too much is under way: ask again"))
    }
  }

  private func unit(
    _ number: Int, of target: ServedTarget
  ) throws(RegistrationFault) -> ServedUnit {
    guard let unit = target.units[number] else {
      throw RegistrationFault(.noSuchLUN, "there is no LUN \(number) here")
    }
    return unit
  }
}
