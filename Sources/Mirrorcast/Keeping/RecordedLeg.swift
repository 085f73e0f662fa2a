// What a leg remembers of its mirror, for people: to look at, and to take away. Both claim the leg
// for a moment: one that an initiator has open answers that it is held.
public import Logging
import Replication

/// A leg's record of the kept mirror that it belongs to.
public struct RecordedLeg: Sendable {
  /// A member as the record names it.
  public struct Member: Sendable {
    /// Where it was reached last.
    public var label: String
    public var state: LegState
    /// The mirror takes no write without it.
    public var isRequired: Bool
    /// It is the leg that has the record.
    public var isOwn: Bool
  }

  public var url: LogicalUnitURL
  /// What people call the mirror.
  public var mirrorName: String
  public var generation: UInt64
  /// Random; two legs of one generation's number and different identities went on alone.
  public var generationID: UInt64
  /// When the generation was made, in seconds since 1970.
  public var madeAt: UInt64
  public var state: LegState
  /// The mirror was ended in order.
  public var isClosed: Bool
  public var members: [Member]
  /// How many legs that have everything the mirror needs to take a write.
  public var requiredCount: Int

  init(_ url: LogicalUnitURL, _ record: MirrorRecord) {
    self.url = url
    mirrorName = record.name
    generation = record.generation.counter
    generationID = record.generation.id
    madeAt = record.generation.madeAt
    state = LegState(record.state)
    isClosed = record.isClosed
    requiredCount = record.generation.requiredCount
    members = record.generation.members.map {
      Member(
        label: $0.label, state: LegState($0.state), isRequired: $0.isRequired,
        isOwn: $0.id == record.member)
    }
  }
}

/// Whether a disk is a kept mirror's, as far as it says.
public enum LegOccupation: Sendable {
  /// Of none, or its target knows of no such thing.
  case free
  case recorded(RecordedLeg)
  /// An initiator has the mirror open.
  case open
}

/// What a leg says of itself when nobody has it.
public struct LegSelfDescription: Sendable {
  public var url: LogicalUnitURL
  /// Nil where it belongs to no mirror.
  public var record: RecordedLeg?
  /// Regions in which it may differ from the others.
  public var markedRegions: Int
  public var regionCount: Int
  /// Bytes of a region.
  public var regionLength: UInt64
  /// It was never without its power since these marks were made, or there are none.
  public var isIntact: Bool

  /// Asks a leg; throws where it can't be reached, or another initiator has it.
  public static func read(
    _ url: LogicalUnitURL, identity: InitiatorIdentity, logger: Logger
  ) async throws(MirrorcastError) -> LegSelfDescription {
    LegSelfDescription(url, try descriptor(try await claimOnce(url, identity, logger), url))
  }

  /// The same; nil where another initiator has it.
  static func readIfFree(
    _ url: LogicalUnitURL, identity: InitiatorIdentity, logger: Logger
  ) async throws(MirrorcastError) -> LegSelfDescription? {
    let answer = try await claimOnce(url, identity, logger)
    if case .success(.refused(.held, _)) = answer { return nil }
    return LegSelfDescription(url, try descriptor(answer, url))
  }

  /// Whether it may be read by itself; one that can't be reached counts as free.
  public static func occupation(
    of url: LogicalUnitURL, identity: InitiatorIdentity, logger: Logger
  ) async -> LegOccupation {
    switch try? await claimOnce(url, identity, logger) {
    case .success(.description(let descriptor)):
      return descriptor.record.map { .recorded(RecordedLeg(url, $0)) } ?? .free
    case .success(.refused(.held, _)): return .open
    default: return .free
    }
  }

  /// Takes a leg's record away: its LUN is an ordinary one again. Returns what it was.
  public static func release(
    _ url: LogicalUnitURL, identity: InitiatorIdentity, logger: Logger
  ) async throws(MirrorcastError) -> LegSelfDescription {
    let link = try await LegLink.open(url, identity, logger: logger, onLost: { _ in })
    let result: Result<LegDescriptor, MirrorcastError>
    do throws(MirrorcastError) {
      let descriptor = try descriptor(await claim(link), url)
      if descriptor.record != nil { _ = try check(await link.ask(.release, within: 60), url) }
      result = .success(descriptor)
    } catch {
      result = .failure(error)
    }
    await link.close()
    return LegSelfDescription(url, try result.get())
  }

  private init(_ url: LogicalUnitURL, _ descriptor: LegDescriptor) {
    self.url = url
    record = descriptor.record.map { RecordedLeg(url, $0) }
    markedRegions = descriptor.markedCount
    regionCount = descriptor.layout.regionCount
    regionLength = descriptor.layout.regionLength
    isIntact = descriptor.isIntact
  }

  /// What a leg says to a claim of a moment.
  private static func claimOnce(
    _ url: LogicalUnitURL, _ identity: InitiatorIdentity, _ logger: Logger
  ) async throws(MirrorcastError) -> Result<KeepingAnswer, LinkFailure> {
    let link = try await LegLink.open(url, identity, logger: logger, onLost: { _ in })
    let answer = await claim(link)
    await link.close()
    return answer
  }

  private static func claim(_ link: LegLink) async -> Result<KeepingAnswer, LinkFailure> {
    await link.ask(.claim(holder: UInt64.random(in: 1...UInt64.max)), within: 30)
  }

  private static func descriptor(
    _ answer: Result<KeepingAnswer, LinkFailure>, _ url: LogicalUnitURL
  ) throws(MirrorcastError) -> LegDescriptor {
    guard case .description(let descriptor) = try check(answer, url) else {
      throw MirrorcastError("\(url) answers nothing of itself")
    }
    return descriptor
  }

  private static func check(
    _ answer: Result<KeepingAnswer, LinkFailure>, _ url: LogicalUnitURL
  ) throws(MirrorcastError) -> KeepingAnswer {
    switch answer {
    case .failure(let failure): throw MirrorcastError("\(url): \(failure.words)")
    case .success(.refused(let refusal, let words)):
      throw MirrorcastError(
        "\(url) refuses (\(refusal.rawValue)): \(words)",
        advice: refusal.advice(url))
    case .success(let answer): return answer
    }
  }
}
