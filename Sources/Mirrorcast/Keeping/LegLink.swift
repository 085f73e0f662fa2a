// The way to one leg of a kept mirror, beside its mirrored writes: a session by which it is claimed
// and asked what it keeps, and one for bulk, so that an answer about membership, which all writes
// may wait for, never stands behind a disk's bytes.
import Bytes
import ISCSI
import Logging
import Replication
import SCSI
import Synchronization

/// What came of a question to a leg.
enum LinkFailure: Error, Sendable {
  /// Its connection is gone, or it didn't answer in time.
  case lost(String)
  /// It has answered, and doesn't do it.
  case refused(String)

  var words: String {
    switch self {
    case .lost(let words), .refused(let words): words
    }
  }
}

/// Two sessions with a leg.
final class LegLink: Sendable {
  let url: LogicalUnitURL
  private let control: InitiatorConnection
  private let bulk: InitiatorConnection

  private init(_ url: LogicalUnitURL, control: InitiatorConnection, bulk: InitiatorConnection) {
    self.url = url
    self.control = control
    self.bulk = bulk
  }

  /// Logs in; `onLost` is told once for each session that ends by itself.
  static func open(
    _ url: LogicalUnitURL, _ identity: InitiatorIdentity, logger: Logger,
    onLost: @escaping @Sendable (String) -> Void
  ) async throws(MirrorcastError) -> LegLink {
    let control = try await connect(url, identity, logger: logger, onLost: onLost)
    do throws(MirrorcastError) {
      guard control.isMirrorcast else { throw MirrorcastError.foreignLeg(url) }
      let bulk = try await connect(url, identity, logger: logger, onLost: onLost)
      return LegLink(url, control: control, bulk: bulk)
    } catch {
      await control.close()
      throw error
    }
  }

  private static func connect(
    _ url: LogicalUnitURL, _ identity: InitiatorIdentity, logger: Logger,
    onLost: @escaping @Sendable (String) -> Void
  ) async throws(MirrorcastError) -> InitiatorConnection {
    var request = InitiatorLoginRequest(
      identity: identity, targetName: url.targetName, offersMirror: true)
    request.limits.connectMilliseconds = 3_000
    request.limits.loginMilliseconds = 5_000
    request.limits.logoutMilliseconds = 500
    return try await InitiatorConnection.open(
      host: url.host, port: url.port, login: request, logger: logger,
      hooks: ConnectionHooks(onClosed: onLost))
  }

  func close() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [bulk] in await bulk.close() }
      group.addTask { [control] in await control.close() }
    }
  }

  // MARK: Records and marks

  /// Asks the leg; questions are asked in the order of the calls. The callback comes once, from
  /// anywhere.
  func ask(
    _ request: KeepingRequest, within seconds: Double,
    completion: @escaping @Sendable (Result<KeepingAnswer, LinkFailure>) -> Void
  ) {
    let reply = SingleReply(completion)
    let watch = Task { [portal = url.portal] in
      guard (try? await Task.sleep(for: .seconds(seconds))) != nil else { return }
      reply.give(.failure(.lost("\(portal) did not answer for \(seconds) s")))
    }
    control.submitText(KeepingText(lun: url.lun, request).keys) { result in
      watch.cancel()
      reply.give(Self.answer(result))
    }
  }

  /// The same, waited for.
  func ask(
    _ request: KeepingRequest, within seconds: Double
  ) async -> Result<KeepingAnswer, LinkFailure> {
    await withCheckedContinuation { continuation in
      ask(request, within: seconds) { continuation.resume(returning: $0) }
    }
  }

  private static func answer(
    _ result: Result<TextKeys, MirrorcastError>
  ) -> Result<KeepingAnswer, LinkFailure> {
    do {
      return .success(try KeepingAnswer(try result.get()))
    } catch let fault as RegistrationFault {
      return .success(.refused(.badRequest, "its answer can't be read: \(fault.reason)"))
    } catch {
      return .failure(.lost((error as? MirrorcastError)?.what ?? "\(error)"))
    }
  }

  // MARK: Bulk

  /// The SHA-256 of each chunk of a range, one behind the other.
  func digests(
    _ bytes: Range<UInt64>, chunk: Int, within seconds: Double
  ) async throws(LinkFailure) -> [UInt8] {
    var digests: [UInt8] = []
    var start = bytes.lowerBound
    let step = DigestRequest.lengthMax / UInt64(chunk) * UInt64(chunk)
    while start < bytes.upperBound {
      let length = min(step, bytes.upperBound - start)
      let request = DigestRequest(lun: url.lun, offset: start, length: length, chunk: chunk)
      let answer: DigestAnswer
      do {
        answer = try DigestAnswer(try await bulk.ask(request.keys, within: seconds), to: request)
      } catch let fault as RegistrationFault {
        throw .refused("its digests can't be read: \(fault.reason)")
      } catch {
        throw .lost((error as? MirrorcastError)?.what ?? "\(error)")
      }
      switch answer {
      case .digests(let some): digests += some
      case .refused(_, let words): throw .refused("no digests: \(words)")
      }
      start += length
    }
    return digests
  }

  /// A range of whole blocks.
  func read(
    _ bytes: Range<UInt64>, blockSize: Int, within seconds: Double
  ) async throws(LinkFailure) -> [UInt8] {
    let blocks = BlockRange(
      address: bytes.lowerBound / UInt64(blockSize), count: UInt32(bytes.count / blockSize))
    let outcome = try await command(
      .read16(blocks), transfer: .read(lengthMax: bytes.count), within: seconds)
    guard outcome.isGood, outcome.data.count == bytes.count else {
      throw .refused(
        "can't read at byte \(bytes.lowerBound): "
          + (outcome.isGood ? "only \(outcome.data.count) bytes came" : outcome.text))
    }
    return outcome.data
  }

  /// All that was written to the medium (SBC-3 §5.22).
  func flush(within seconds: Double) async throws(LinkFailure) {
    let outcome = try await command(.synchronizeCache16, within: seconds)
    guard outcome.isGood else { throw .refused("it could not flush: \(outcome.text)") }
  }

  private func command(
    _ block: CommandDescriptorBlock, transfer: InitiatorCommand.Transfer = .none,
    within seconds: Double
  ) async throws(LinkFailure) -> CommandOutcome {
    let result = await withCheckedContinuation { continuation in
      let reply = SingleReply<Result<CommandOutcome, LinkFailure>> {
        continuation.resume(returning: $0)
      }
      let watch = Task { [portal = url.portal] in
        guard (try? await Task.sleep(for: .seconds(seconds))) != nil else { return }
        reply.give(.failure(.lost("\(portal) did not answer for \(seconds) s")))
      }
      bulk.submit(lun: url.number, block, transfer: transfer) { outcome in
        watch.cancel()
        reply.give(outcome.mapError { .lost($0.what) })
      }
    }
    return try result.get()
  }
}

/// A callback that is called once, whoever comes first.
private final class SingleReply<Value: Sendable>: Sendable {
  private let isGiven = Atomic<Bool>(false)
  private let callback: @Sendable (Value) -> Void

  init(_ callback: @escaping @Sendable (Value) -> Void) { self.callback = callback }

  func give(_ value: Value) {
    guard !isGiven.exchange(true, ordering: .relaxed) else { return }
    callback(value)
  }
}

extension MirrorcastError {
  /// A target of another make where a mirror is kept.
  static func foreignLeg(_ url: LogicalUnitURL) -> MirrorcastError {
    MirrorcastError(
      "\(url) is a target of another make, which can't remember what it lacks",
      advice: "Leave it out, or mirror without a name.")
  }
}
