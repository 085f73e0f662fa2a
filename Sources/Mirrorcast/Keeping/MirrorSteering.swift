// What is ordered of a kept mirror that is open: by its owner, and by others through a leg
// (`MirrorOperator`).
import Replication

/// What is ordered of a kept mirror that somebody else has open.
public enum MirrorSteering: Sendable, Equatable {
  /// Let a leg go, until it is attached or the mirror is opened anew.
  case detach(LogicalUnitURL)
  /// Try a leg again that isn't here.
  case attach(LogicalUnitURL)
  /// One more leg; its disk is overwritten.
  case add(LogicalUnitURL)
  /// A member that isn't here is gone for good.
  case forget(LogicalUnitURL)

  /// The leg that it is about.
  public var url: LogicalUnitURL {
    switch self {
    case .detach(let url), .attach(let url), .add(let url), .forget(let url): url
    }
  }

  var order: OperatorOrder {
    switch self {
    case .detach(let url): .detach("\(url)")
    case .attach(let url): .attach("\(url)")
    case .add(let url): .add("\(url)")
    case .forget(let url): .forget("\(url)")
    }
  }
}

extension Mirror {
  /// Lets a leg of a kept mirror go: what it misses is remembered at the others, which have stored
  /// so when this returns. It is not tried again before `attach`, or before the mirror is opened
  /// anew. Throws where the mirror would have too few legs left to take writes.
  public func detach(_ url: LogicalUnitURL) async throws(MirrorcastError) {
    try await order(.detach("\(url)"))
  }

  /// Tries a leg again that was detached, lost or given up; returns when mirrored writes reach it,
  /// and throws where it isn't had at once. `whenInSync` tells when it has all.
  public func attach(_ url: LogicalUnitURL) async throws(MirrorcastError) {
    try await order(.attach("\(url)"))
  }

  /// A member that is not here is gone for good: from when this returns nothing is remembered for
  /// it. Throws where it is here, or where the others are too few to take writes.
  public func forget(_ url: LogicalUnitURL) async throws(MirrorcastError) {
    try await order(.forget("\(url)"))
  }

  private func order(_ order: OperatorOrder) async throws(MirrorcastError) {
    if let current = succession?.current { return try await current.order(order) }
    guard let keeping else {
      throw MirrorcastError("the mirror is not kept", advice: "Give it a name.")
    }
    let answer = await withCheckedContinuation { continuation in
      keeping.inbox.post(.ordered(order) { continuation.resume(returning: $0) })
    }
    guard case .refused(let words) = answer else { return }
    throw MirrorcastError("\(order.words): \(words)")
  }
}
