// The way to one leg of a kept mirror beside its mirrored writes: a session by which it is claimed
// and asked what it keeps. Bulk has another (`LegBulk`), so that an answer about membership, which
// all writes may wait for, never stands behind a disk's bytes.
import ISCSI
import Logging
import Replication
import Synchronization

/// What came of a question to a leg.
enum LinkFailure: Error, Sendable {
  /// Its connection is gone, or it didn't answer in time.
  case lost(String)
  /// It has answered, and doesn't do it.
  case refused(String)
  /// It doesn't do it for this initiator, by another's reservation: that says nothing of the leg.
  case conflict(String)

  var words: String {
    switch self {
    case .lost(let words), .refused(let words), .conflict(let words): words
    }
  }
}

/// The session by which a leg is claimed.
final class LegLink: Sendable {
  let url: LogicalUnitURL
  private let control: InitiatorConnection

  private init(_ url: LogicalUnitURL, control: InitiatorConnection) {
    self.url = url
    self.control = control
  }

  /// Logs in; `onLost` is told once where the session ends by itself.
  static func open(
    _ url: LogicalUnitURL, _ identity: InitiatorIdentity, logger: Logger,
    onLost: @escaping @Sendable (String) -> Void,
    onPingAnswered: @escaping @Sendable () -> Void = {}
  ) async throws(MirrorcastError) -> LegLink {
    var request = InitiatorLoginRequest(
      identity: identity, targetName: url.targetName, offersMirror: true)
    request.limits.connectMilliseconds = 3_000
    request.limits.loginMilliseconds = 5_000
    request.limits.logoutMilliseconds = 500
    var hooks = ConnectionHooks(onClosed: onLost)
    hooks.onPingAnswered = onPingAnswered
    let control = try await InitiatorConnection.open(
      host: url.host, port: url.port, login: request, logger: logger,
      hooks: hooks)
    guard control.isMirrorcast else {
      await control.close()
      throw MirrorcastError.foreignLeg(url)
    }
    return LegLink(url, control: control)
  }

  /// This end's address, numeric.
  var localAddress: String { control.localAddress }

  func close() async { await control.close() }

  /// Whether its host lives: `onPingAnswered` says so.
  func ping() { control.perform { _ = $0.ping() } }

  /// Where the initiator is that leads a shared mirror of the LUN; nil where nobody does.
  func findLeader(within seconds: Double) async throws -> LeaderPlace? {
    let question = TextKeys([
      .init(RegistrationKey.operation, LeaderPlace.operation),
      .init(RegistrationKey.lun, "\(url.lun)"),
    ])
    return try LeaderPlace(try await control.ask(question, within: seconds))
  }

  /// Asks the leg; questions are asked in the order of the calls. The callback comes once, from
  /// anywhere.
  func ask(
    _ request: KeepingRequest, within seconds: Double,
    completion: @escaping @Sendable (Result<KeepingAnswer, LinkFailure>) -> Void
  ) {
    let reply = SingleReply(completion)
    guard let request = request.asText else { return reply.give(.success(.done)) }
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
}

/// A callback that is called once, whoever comes first.
final class SingleReply<Value: Sendable>: Sendable {
  private let isGiven = Atomic<Bool>(false)
  private let callback: @Sendable (Value) -> Void

  init(_ callback: @escaping @Sendable (Value) -> Void) { self.callback = callback }

  func give(_ value: Value) {
    guard !isGiven.exchange(true, ordering: .relaxed) else { return }
    callback(value)
  }
}

extension KeepingRequest {
  /// As it is asked: ranges in order, as a text has them; nil where there is nothing to ask.
  fileprivate var asText: KeepingRequest? {
    switch self {
    case .mark(let ranges):
      ranges.isEmpty ? nil : .mark(ranges.sorted { $0.lowerBound < $1.lowerBound })
    case .synced(let ranges):
      ranges.isEmpty ? nil : .synced(ranges.sorted { $0.lowerBound < $1.lowerBound })
    default: self
    }
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
