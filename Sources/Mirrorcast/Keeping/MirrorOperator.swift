// A kept mirror is seen and steered by others through any of its legs. An order is left there, and
// waits until the initiator that has the mirror open looks for it (`KeepingSteering`).
//
// Which leg is asked hardly matters, and each knows where the others are: its record names them.
// But it is not the leg that is to be detached: its own session ends by that, and the answer too.
public import Logging
import Replication

/// Who looks at kept mirrors and steers them from outside.
public struct MirrorOperator: Sendable {
  /// How long an order may take; one leg is waited for that long, and its claim.
  private static let orderSeconds: Double = 60
  /// A claim of a moment is waited for so often, and so long each time.
  private static let claimTries = 20
  private static let claimPauseMilliseconds = 100

  private let identity: InitiatorIdentity
  private let logger: Logger

  public init(identity: InitiatorIdentity, logger: Logger) {
    self.identity = identity
    self.logger = logger
  }

  /// What is seen through a leg.
  public enum Sight: Sendable {
    /// Its mirror is open, and it is here.
    case open(OpenMirror)
    /// Nobody has the leg; its mirror may be open without it, and is named if it is.
    case resting(LegSelfDescription, elsewhere: OpenMirror?)

    /// The mirror; throws where nobody has it open.
    /// - Parameter steering: what is to be ordered of it.
    public func open(
      for steering: MirrorSteering? = nil
    ) throws(MirrorcastError) -> OpenMirror {
      switch self {
      case .open(let mirror), .resting(_, let mirror?): return mirror
      case .resting(let leg, nil):
        guard let record = leg.record else {
          throw MirrorcastError("\(leg.url) belongs to no mirror")
        }
        throw MirrorcastError(
          "the mirror '\(record.mirrorName)' of \(leg.url) is open nowhere",
          advice: MirrorSteering.advice(steering, where: record))
      }
    }
  }

  /// Looks through a leg; throws where it can't be reached, or its mirror is just being opened.
  public func look(through url: LogicalUnitURL) async throws(MirrorcastError) -> Sight {
    for _ in 0..<Self.claimTries {
      if let mirror = try await openMirror(through: url) { return .open(mirror) }
      let leg = try await LegSelfDescription.readIfFree(url, identity: identity, logger: logger)
      if let leg { return .resting(leg, elsewhere: await elsewhere(leg)) }
      // Somebody opens it just now, or only looks as we do.
      try? await Task.sleep(for: .milliseconds(Self.claimPauseMilliseconds))
    }
    throw MirrorcastError(
      "\(url) is just being opened, or looked at by many", advice: "Try again in a moment.")
  }

  /// The mirror that is open, by any of its legs; throws where nobody has it open.
  public func find(through url: LogicalUnitURL) async throws(MirrorcastError) -> OpenMirror {
    try await look(through: url).open()
  }

  /// A mirror of that name that is open, by the first of these legs that knows of one; nil where
  /// none does, or none is reached.
  public func find(
    named name: String, throughAnyOf urls: [LogicalUnitURL]
  ) async -> OpenMirror? {
    for url in urls {
      guard let mirror = try? await find(through: url), mirror.name == name else { continue }
      return mirror
    }
    return nil
  }

  /// The mirror as it stands now; throws where nobody has it open any more.
  public func look(at mirror: OpenMirror) async throws(MirrorcastError) -> OpenMirror {
    for door in doors(mirror, besides: nil) {
      guard let link = try? await open(door),
        case .standing(let standing) = try await ask(.status, through: link)
      else { continue }
      return OpenMirror(standing, through: door)
    }
    throw MirrorcastError(
      "nobody has the mirror '\(mirror.name)' open any more",
      advice: "See how it stands, by: mirrorcast status \(mirror.door)")
  }

  /// Orders something of whoever has the mirror open; throws what that says against it.
  public func order(
    _ steering: MirrorSteering, of mirror: OpenMirror
  ) async throws(MirrorcastError) {
    if case .add = steering {
    } else if mirror.leg(steering.url) == nil {
      throw MirrorcastError(
        "\(steering.url) is no leg of the mirror '\(mirror.name)'",
        advice: "Name it as the mirror does.", details: mirror.legs.map(\.label))
    }
    for door in doors(mirror, besides: steering.url) {
      // One that can't be reached is none; what was asked is not asked twice.
      guard let link = try? await open(door) else { continue }
      switch try await ask(steering.order, through: link) {
      case .done, .standing: return
      case .refused(let words):
        throw MirrorcastError(
          "the mirror '\(mirror.name)' doesn't \(steering.order.words): \(words)",
          advice: steering.advice(words))
      case nil:
        throw MirrorcastError(
          "nobody has the mirror '\(mirror.name)' open at \(door) any more",
          advice: "See how it stands, by: mirrorcast status \(door)")
      }
    }
    throw MirrorcastError(
      "the mirror '\(mirror.name)' has no other leg to ask through",
      advice: "See how it stands, by: mirrorcast status \(mirror.door)")
  }

  private func doors(_ mirror: OpenMirror, besides url: LogicalUnitURL?) -> [LogicalUnitURL] {
    let here = mirror.legs.filter(\.isHere).compactMap { try? LogicalUnitURL(parsing: $0.label) }
    let doors = [mirror.door] + here.filter { $0 != mirror.door }
    return doors.filter { $0 != url }
  }

  /// The mirror of a leg that nobody has, where others of its legs are open.
  private func elsewhere(_ leg: LegSelfDescription) async -> OpenMirror? {
    guard let record = leg.record else { return nil }
    for member in record.members where !member.isOwn {
      guard let url = try? LogicalUnitURL(parsing: member.label),
        let mirror = try? await openMirror(through: url), mirror.name == record.mirrorName
      else { continue }
      return mirror
    }
    return nil
  }

  private func openMirror(
    through url: LogicalUnitURL
  ) async throws(MirrorcastError) -> OpenMirror? {
    switch try await ask(.status, through: try await open(url)) {
    case .standing(let standing): return OpenMirror(standing, through: url)
    case .refused(let words): throw MirrorcastError("\(url): \(words)")
    case .done, nil: return nil
    }
  }

  private func open(_ url: LogicalUnitURL) async throws(MirrorcastError) -> LegLink {
    try await LegLink.open(url, identity, logger: logger, onLost: { _ in })
  }

  /// Ends the link. Nil where nobody has the mirror open there.
  private func ask(
    _ order: OperatorOrder, through link: LegLink
  ) async throws(MirrorcastError) -> OperatorAnswer? {
    let url = link.url
    let result = await link.ask(.order(order.words), within: Self.orderSeconds)
    await link.close()
    switch result {
    case .success(.answered(let words)):
      do throws(OrderFault) {
        return try OperatorAnswer(words: words)
      } catch {
        throw MirrorcastError("what \(url) was answered can't be read: \(error.words)")
      }
    case .success(.refused(.notOpen, _)): return nil
    case .success(.refused(let refusal, let words)):
      throw MirrorcastError(
        "\(url) refuses (\(refusal.rawValue)): \(words)", advice: refusal.advice(url))
    case .success: throw MirrorcastError("\(url) answers nothing to an order")
    case .failure(let failure): throw MirrorcastError("\(url): \(failure.words)")
    }
  }
}

extension MirrorSteering {
  /// What to do instead of an order where nobody has the mirror open.
  fileprivate static func advice(_ steering: MirrorSteering?, where leg: RecordedLeg) -> String {
    let opening = "--name \(leg.mirrorName) --group 239.x.y.z, and all of its legs by --to"
    switch steering {
    case .detach:
      return
        "Nobody writes to it: its targets can be stopped at once. Whoever opens it names them all"
        + " the same, and what one misses is remembered."
    case .forget(let url):
      return "Do it in an opening: mirrorcast resync --forget \(url) \(opening)"
    case .attach, .add, nil: return "Whoever opens it takes it back: mirrorcast resync \(opening)"
    }
  }

  fileprivate func advice(_ words: String) -> String? {
    switch self {
    case .detach where words.contains("too few"):
      "Bring others up to date first, or end the mirror."
    case .forget where words.contains("detach it first"): "mirrorcast detach \(url)"
    case .forget where words.contains("too few"):
      "Bring others back first. Where they are gone, too: end the mirror, and mirrorcast resolve"
        + " --keep URL."
    case .attach where words.contains("release it"), .add where words.contains("release it"):
      "mirrorcast release \(url), then mirrorcast add \(url): its disk is overwritten."
    case .attach where words.contains("tried again"): "See to its target."
    default: nil
    }
  }
}
