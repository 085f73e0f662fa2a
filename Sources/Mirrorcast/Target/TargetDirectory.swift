// What a daemon has, as its sessions are told of it. Connections live on several event loops, so it
// is behind a lock, which is taken when a connection begins, when it logs in, and when all of them
// are told of a change.

import ISCSI
import NIOCore
import Synchronization

/// The targets and the portals of a daemon, as they are now.
final class TargetDirectory: Sendable {
  private struct State {
    var targets: [ServedTarget]
    var portals: [SocketAddress] = []
    /// What is to be proved before targets are told; nil: nothing.
    var discovery: CHAPRequirement?
  }

  private let state: Mutex<State>
  private let refused = Atomic<UInt64>(0)

  init(_ targets: [ServedTarget], discovery: CHAPRequirement?) {
    state = Mutex(State(targets: targets, discovery: discovery))
  }

  var targets: [ServedTarget] { state.withLock { $0.targets } }

  func target(named name: String) -> ServedTarget? { targets.first { $0.name == name } }

  func change(targets: [ServedTarget], discovery: CHAPRequirement?) {
    state.withLock { ($0.targets, $0.discovery) = (targets, discovery) }
  }

  /// Where the daemon listens by now.
  func setPortals(_ portals: [SocketAddress]) { state.withLock { $0.portals = portals } }

  /// One more login was refused; how many that makes.
  func countRefusal() -> UInt64 { refused.add(1, ordering: .relaxed).newValue }

  /// What a session on that connection is told of targets.
  func configuration(for channel: any Channel, handle: UInt16) -> ISCSI.TargetConfiguration {
    let state = state.withLock { $0 }
    let portals = Self.texts(of: state.portals, at: channel.localAddress)
    let listings = state.targets.map {
      $0.listing(portals: portals, to: channel.remoteAddress)
    }
    var configuration = ISCSI.TargetConfiguration(targets: listings, tsih: handle)
    configuration.discoveryAuthentication = state.discovery
    return configuration
  }

  /// RFC 7143 §4.4.1, appendix C: every portal, all of one group. One that listens everywhere is
  /// told by the address at which the connection came in, for it is one that this peer reaches. One
  /// on the loopback is told to those that came by it: for others it would be a place of their own.
  private static func texts(of portals: [SocketAddress], at local: SocketAddress?) -> [String] {
    guard let local else { return [] }
    var texts = [local.portalText]
    for portal in portals {
      let text: String
      if portal.isWildcard {
        guard portal.protocol == local.protocol else { continue }
        var reached = local
        reached.port = portal.port
        text = reached.portalText
      } else if portal.isLinkLocal || portal.isLoopback && !local.isLoopback {
        continue
      } else {
        text = portal.portalText
      }
      if !texts.contains(text) { texts.append(text) }
    }
    return texts.map { $0 + ",1" }
  }
}

extension SocketAddress {
  fileprivate var isWildcard: Bool { ["0.0.0.0", "::"].contains(numericText) }

  fileprivate var isLoopback: Bool { numericText.hasPrefix("127.") || numericText == "::1" }

  /// fe80::/10: it means something only on its own link.
  fileprivate var isLinkLocal: Bool {
    self.protocol == .inet6 && ["fe8", "fe9", "fea", "feb"].contains(numericText.prefix(3))
  }
}
