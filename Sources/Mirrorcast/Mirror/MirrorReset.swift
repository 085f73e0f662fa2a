// LOGICAL UNIT RESET through the mirror. The function goes to each leg; there all open writes end
// as TASK ABORTED, and each session hears of the reset by its next command. The sender takes both
// for news (`SenderNews`): those writes are done again at all legs, so a caller sees at most that
// they take longer, and the legs stay equal. What a reset takes back at a leg (reservations of
// SCSI-2, mode parameters) it takes back at all; what the mirror itself has set is set again.
import ISCSI
import SCSI

extension Mirror {
  /// Resets the logical unit at every leg (SAM-5 §7.7), in parallel; writes that are open are done
  /// again. Returns each leg's answer: good where the function is complete and the leg's write
  /// cache is again as the mirror has set it.
  ///
  /// A leg that doesn't answer within the mirror's deadline loses its session, and so its place:
  /// what it has made of the function can't be known.
  public func resetLogicalUnit() async -> [LegStatus] {
    guard let succession else { return await resetHere() }
    return await succession.ask(self) { await $0.resetHere() }
  }

  private func resetHere() async -> [LegStatus] {
    let (limit, wish) = (options.deadlineSeconds, writeCacheWish)
    let answers = await eachUnit { leg, url in
      let response = try await leg.connection.manageTasks(
        .logicalUnitReset, lun: url.number, within: limit)
      guard response == .complete else {
        throw MirrorcastError("LOGICAL UNIT RESET: \(response.words)")
      }
      if let isOn = wish.value { try await leg.connection.setWriteCache(isOn, url) }
    }
    let here = answers.map { answer in
      switch answer.result {
      case .success: LegStatus(url: answer.url, isGood: true, text: "GOOD")
      case .failure(let error): LegStatus(url: answer.url, isGood: false, text: error.what)
      }
    }
    // Those that are not here keep saying why.
    return statuses.map { status in here.first { $0.url == status.url } ?? status }
  }
}

extension InitiatorConnection {
  /// As `manageTasks`; a target that does not answer within `limit` seconds loses its session.
  fileprivate func manageTasks(
    _ function: TaskManagementFunction, lun: LogicalUnitNumber, within limit: Double
  ) async throws(MirrorcastError) -> TaskManagementResponse {
    let watch = Task {
      guard (try? await Task.sleep(for: .seconds(limit))) != nil else { return }
      await close()
    }
    defer { watch.cancel() }
    return try await manageTasks(function, lun: lun)
  }
}

extension TaskManagementResponse {
  /// For people, RFC 7143 §11.6.1.
  var words: String {
    switch self {
    case .complete: "complete"
    case .taskDoesNotExist: "the task does not exist"
    case .lunDoesNotExist: "the LUN does not exist"
    case .taskStillAllegiant: "the task is still allegiant"
    case .reassignmentNotSupported: "no reassignment"
    case .notSupported: "not supported"
    case .authorizationFailed: "not authorized"
    case .rejected: "rejected"
    }
  }
}
