// Where a shared mirror's leader hears its guests. Who has not said a word that the legs told it is
// nobody, and has little time and little room.
import Logging
import NIOCore
import NIOPosix
import Replication
import Synchronization

/// The leader's end of the connections with its guests.
final class SharingServer: Sendable {
  /// Connections at once, those included that have not said who they are.
  private static let connectionsMax = 4 * GuestHall.guestsMax

  /// The word that the legs tell.
  let secret: UInt64
  let port: Int
  private let channel: any Channel
  private let guests: Guests

  private init(_ channel: any Channel, secret: UInt64, _ guests: Guests) {
    self.channel = channel
    self.secret = secret
    self.guests = guests
    port = channel.localAddress?.port ?? 0
  }

  /// Listens at all addresses, IPv6's and IPv4's where the machine has both.
  static func start(
    silenceSeconds: Double, _ inbox: KeptInbox
  ) async throws(MirrorcastError) -> SharingServer {
    let secret = UInt64.random(in: 1...UInt64.max)
    let guests = Guests(secret: secret, inbox)
    let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 16)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard guests.enter() else { throw MirrorcastError("too many guests") }
          channel.closeFuture.whenComplete { _ in guests.leave() }
          try SharingConnection.prepare(channel, silenceSeconds: silenceSeconds) {
            guests.hooks($0)
          }
        }
      }
    for host in ["::", "0.0.0.0"] {
      if let channel = try? await bootstrap.bind(host: host, port: 0).get() {
        return SharingServer(channel, secret: secret, guests)
      }
    }
    throw MirrorcastError("no port can be had for the other initiators of a shared mirror")
  }

  /// Where a leg is to say that this is, by the address that the leg's session has here.
  func place(at host: String) -> LeaderPlace {
    LeaderPlace(address: HostAndPort.text(host: host, port: port), secret: secret)
  }

  func send(_ message: SharingMessage, to guest: UInt64) {
    guests.connection(guest)?.send(message)
  }

  func close(_ guest: UInt64) { guests.connection(guest)?.close() }

  /// All connections end.
  func stop() {
    channel.close(promise: nil)
    for connection in guests.all { connection.close() }
  }

  /// Who is connected, by the number that it gave.
  private final class Guests: Sendable {
    private struct State {
      var count = 0
      var connections: [UInt64: SharingConnection] = [:]
    }

    private let secret: UInt64
    private let inbox: KeptInbox
    private let state = Mutex(State())

    init(secret: UInt64, _ inbox: KeptInbox) {
      self.secret = secret
      self.inbox = inbox
    }

    func enter() -> Bool {
      state.withLock { state in
        state.count += 1
        return state.count <= SharingServer.connectionsMax
      }
    }

    func leave() { state.withLock { $0.count -= 1 } }

    func connection(_ guest: UInt64) -> SharingConnection? {
      state.withLock { $0.connections[guest] }
    }

    var all: [SharingConnection] { state.withLock { Array($0.connections.values) } }

    /// A connection's words go to the keeping under the guest's number, once it has said that.
    func hooks(_ connection: SharingConnection) -> SharingConnection.Hooks {
      let known = Mutex<UInt64?>(nil)
      let onMessage: @Sendable (SharingMessage) -> Void = { [self] message in
        if let guest = known.withLock({ $0 }) {
          inbox.post(.said(guest: guest, message))
        } else if case .hello(let guest, secret) = message, add(guest, connection) {
          known.withLock { $0 = guest }
          inbox.post(.said(guest: guest, message))
        } else if message != .alive {
          connection.close()
        }
      }
      return SharingConnection.Hooks(
        onMessage: onMessage,
        onClosed: { [self] words in
          guard let guest = known.withLock({ $0 }) else { return }
          state.withLock { $0.connections[guest] = nil }
          inbox.post(.gone(guest: guest, words))
        })
    }

    private func add(_ guest: UInt64, _ connection: SharingConnection) -> Bool {
      state.withLock { state in
        guard state.connections[guest] == nil else { return false }
        state.connections[guest] = connection
        return true
      }
    }
  }
}
