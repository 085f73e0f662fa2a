// The ways to the legs' private addresses are found before a leg is the lane's: that may wait for
// an answer of the network, and a lane waits for nothing of the kind.
import Datagrams
import Lanes
import Logging
import NIOCore
import NIOPosix
import Replication

/// Finds the ways to legs from one lane's port.
struct LegWays: Sendable {
  let finder: any WayFinder
  let interface: NetworkInterface
  let logger: Logger

  /// The way to a leg's private address; nil where it takes no datagrams, or can't be reached by
  /// that address: then what it lacks goes to the group, and at last over TCP.
  func way(
    to leg: LogicalUnitURL, _ grant: RegistrationGrant?, in request: RegistrationRequest
  ) async throws -> DepartureWay? {
    guard let grant, !grant.isCarried(in: request) else { return nil }
    let peer = try SendingPath.repairs(grant, on: interface)
    let address = try? Endpoint(grant.repair).scoped(to: interface)
    let finder = finder
    do {
      guard finder.mayWait else { return try finder.way(to: peer, at: address) }
      return try await NIOSingletons.posixBlockingThreadPool.runIfActive {
        try finder.way(to: peer, at: address)
      }
    } catch {
      logger.warning(
        "a leg can't be reached by its own address",
        metadata: ["leg": "\(leg)", "why": "\(error)"])
      return nil
    }
  }
}

extension Logger {
  /// Tells what a port tells, with what to do.
  func log(_ news: PortNews) {
    let level: Logger.Level =
      switch news.weight {
      case .good: .notice
      case .trouble: .warning
      case .loss: .error
      }
    log(level: level, "\(news.words)", metadata: ["advice": "\(news.advice)"])
  }
}
