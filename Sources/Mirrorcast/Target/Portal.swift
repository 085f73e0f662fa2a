// The one place where the daemon meets the network's addresses, and where their errors get words.

import Glibc
import Logging
import NIOCore
import NIOPosix

/// Where the daemon accepts connections.
struct Portal: Sendable {
  /// As it was asked for.
  let address: PortalAddress
  let channel: any Channel

  /// HOST:PORT as it was really bound.
  var text: String { channel.localAddress?.portalText ?? "" }

  /// All of them, or none: what was opened is closed again where one can't be.
  static func open(
    _ addresses: [PortalAddress], on group: any EventLoopGroup, _ serving: Serving,
    _ logger: Logger
  ) async throws(MirrorcastError) -> [Portal] {
    var portals: [Portal] = []
    for address in addresses {
      do throws(MirrorcastError) {
        portals.append(try await open(address, on: group, serving, logger))
      } catch {
        for portal in portals { try? await portal.channel.close() }
        throw error
      }
    }
    return portals
  }

  static func open(
    _ address: PortalAddress, on group: any EventLoopGroup, _ serving: Serving, _ logger: Logger
  ) async throws(MirrorcastError) -> Portal {
    // 0.0.0.0 and [::] are two portals, so neither takes what comes for the other.
    let onlyV6 = ChannelOptions.Types.SocketOption(level: .ipv6, name: .ipv6_v6only)
    let place: SocketAddress
    do {
      place = try address.resolved()
    } catch {
      throw refusal(address, error)
    }
    var bootstrap = ServerBootstrap(group: group)
    if place.protocol == .inet6 {
      bootstrap = bootstrap.serverChannelOption(onlyV6, value: 1)
    }
    bootstrap =
      bootstrap
      .serverChannelOption(.backlog, value: Int32(clamping: serving.limits.backlog))
      .serverChannelOption(.maxMessagesPerRead, value: UInt(clamping: serving.limits.acceptsAtOnce))
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            AcceptPause(serving.register, logger))
        }
      }
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
      .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: 30)
      .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: 5)
      .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPCNT)), value: 4)
      .childChannelOption(
        .recvAllocator,
        value: FixedSizeRecvByteBufferAllocator(capacity: TargetConnection.loginReadByteCount)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try admit(channel, serving, logger) }
      }
    do {
      return Portal(address: address, channel: try await bootstrap.bind(to: place).get())
    } catch {
      throw refusal(address, error)
    }
  }

  /// Gives an accepted connection a place and its handler; throws where it has to be closed.
  static func admit(_ channel: any Channel, _ serving: Serving, _ logger: Logger) throws {
    let ticket: ConnectionRegister.Ticket
    do throws(ConnectionRegister.Refusal) {
      ticket = try serving.register.admit(from: PeerAddress(channel.remoteAddress))
    } catch {
      serving.log.note(.refused, on: channel.eventLoop) {
        logger.warning(
          "connection refused: \(error.rawValue)",
          metadata: ["peer": "\(channel.remoteAddress?.portalText ?? "unknown")"])
      }
      throw error
    }
    let connection = TargetConnection(ticket, channel, serving, logger)
    do {
      try channel.pipeline.syncOperations.addHandler(connection)
    } catch {
      // It is gone already, and nobody else gives its place back.
      connection.leave()
      throw error
    }
  }

  /// Lets a listener be for a second where the process may open no more: what waits would make it
  /// readable again at once. And for a moment where connections are accepted faster than those
  /// closed whose places they take.
  private final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel

    private let register: ConnectionRegister
    private let logger: Logger
    private var isPaused = false

    init(_ register: ConnectionRegister, _ logger: Logger) {
      self.register = register
      self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      register.opened()
      let register = register
      unwrapInboundIn(data).closeFuture.whenComplete { _ in register.closed() }
      context.fireChannelRead(data)
      if register.isCrowded { pause(.milliseconds(10), context) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      guard let failure = error as? IOError,
        [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(failure.errnoCode)
      else { return context.fireErrorCaught(error) }
      guard !isPaused else { return }
      logger.warning(
        "no connection can be accepted for a second: \(failure)",
        metadata: ["advice": "raise the limit of open files (ulimit -n)"])
      pause(.seconds(1), context)
    }

    private func pause(_ time: TimeAmount, _ context: ChannelHandlerContext) {
      guard !isPaused else { return }
      isPaused = true
      let channel = context.channel
      channel.setOption(.autoRead, value: false).whenComplete { _ in }
      let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
      context.eventLoop.scheduleTask(in: time) {
        bound.value.isPaused = false
        channel.setOption(.autoRead, value: true).whenComplete { _ in }
      }
    }
  }

  private static func refusal(_ address: PortalAddress, _ error: any Error) -> MirrorcastError {
    var fault: PortalFault? = .noSuchHost
    if let failure = error as? IOError { fault = PortalFault(errno: failure.errnoCode) }
    guard let fault else { return MirrorcastError("can't listen on \(address): \(error)") }
    return MirrorcastError("can't listen on \(address): \(fault.what)", advice: fault.advice)
  }
}

extension PortalAddress {
  /// Where a socket is bound for it. The resolver maps IPv4 to IPv6 on machines whose only other
  /// addresses are IPv6; a portal is of the family that it is written in.
  func resolved() throws -> SocketAddress {
    if let address = try? SocketAddress(ipAddress: host, port: port) { return address }
    let found = try SocketAddress.makeAddressResolvingHost(host, port: port)
    return found.numericText.contains(":")
      ? found : try SocketAddress(ipAddress: found.numericText, port: port)
  }
}
