package import ISCSI
package import Logging
import NIOCore
import NIOPosix
package import SCSI

/// Whom a connection tells what nobody asked for; called on its event loop, so neither may block.
package struct ConnectionHooks: Sendable {
  /// Traffic of mirrored writes: R2T, response, report, statuses.
  package var onMirrored: @Sendable (PDU) -> Void
  /// The connection of a session has ended, and not by `close`: why, for people. Once.
  package var onClosed: @Sendable (String) -> Void
  /// The target has answered a ping, whoever sent it.
  package var onPingAnswered: @Sendable () -> Void = {}

  package init(
    onMirrored: @escaping @Sendable (PDU) -> Void = { _ in },
    onClosed: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.onMirrored = onMirrored
    self.onClosed = onClosed
  }
}

/// An iSCSI session of an initiator, logged in, over one TCP connection. All calls from any thread.
package final class InitiatorConnection: Sendable {
  /// `HOST:PORT` as it was asked for.
  package let portal: String
  /// Numeric, without brackets.
  package let localAddress: String
  package let localPort: Int
  package let remoteAddress: String
  /// Who is logged in, and under which values.
  package let session: SessionDescription

  private let channel: any Channel
  private let handler: NIOLoopBound<InitiatorHandler>

  /// Whether the target answered the key of the mirror's version.
  package var isMirrorcast: Bool { session.parameters.mirrorVersion != nil }

  private init(
    portal: String, channel: any Channel, handler: NIOLoopBound<InitiatorHandler>,
    session: SessionDescription
  ) {
    self.portal = portal
    self.channel = channel
    self.handler = handler
    self.session = session
    localAddress = channel.localAddress?.ipAddress ?? "?"
    localPort = channel.localAddress?.port ?? 0
    remoteAddress = channel.remoteAddress?.ipAddress ?? "?"
  }

  /// Connects and logs in; throws what to do when either fails.
  package static func open(
    host: String, port: Int, login request: InitiatorLoginRequest, logger: Logger,
    hooks: ConnectionHooks = ConnectionHooks()
  ) async throws(MirrorcastError) -> InitiatorConnection {
    let portal = HostAndPort.text(host: host, port: port)
    let configuration = try request.configuration()
    do {
      let (channel, handler, login) = try await ClientBootstrap(
        group: MultiThreadedEventLoopGroup.singleton
      )
      .connectTimeout(.milliseconds(request.limits.connectMilliseconds))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.writeBufferWaterMark, value: .init(low: 128 << 10, high: 512 << 10))
      .channelOption(
        .recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 65536, maximum: 1 << 20)
      )
      .connect(host: host, port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          let handler = InitiatorHandler(
            portal: portal, request: request, configuration: configuration, hooks: hooks,
            loop: channel.eventLoop, logger: logger)
          try channel.pipeline.syncOperations.addHandler(handler)
          let bound = NIOLoopBound(handler, eventLoop: channel.eventLoop)
          return (channel, bound, handler.login)
        }
      }
      return InitiatorConnection(
        portal: portal, channel: channel, handler: handler, session: try await login.get())
    } catch {
      throw MirrorcastError.connecting(to: portal, error)
    }
  }

  /// Runs `body` on the event loop with the session's machine, then flushes once. Without a session
  /// it is not run.
  package func perform(_ body: @escaping @Sendable (inout InitiatorSession) -> Void) {
    onLoop { $0.perform(body) }
  }

  /// Sends a command; the callback comes on the event loop and must not block. Unit attentions are
  /// cleared and BUSY is waited out before it comes.
  package func submit(
    lun: LogicalUnitNumber, _ block: CommandDescriptorBlock,
    transfer: InitiatorCommand.Transfer = .none,
    completion: @escaping @Sendable (Result<CommandOutcome, MirrorcastError>) -> Void
  ) {
    let command = InitiatorCommand(
      lun: lun.field, commandDescriptorBlock: block.bytes, transfer: transfer)
    onLoop { $0.submit(PendingCommand(command, completion: completion)) }
  }

  /// As `submit`; throws when the connection is lost, a bad status is an outcome like any other.
  package func command(
    lun: LogicalUnitNumber, _ block: CommandDescriptorBlock,
    transfer: InitiatorCommand.Transfer = .none
  ) async throws(MirrorcastError) -> CommandOutcome {
    let result = await withCheckedContinuation { continuation in
      submit(lun: lun, block, transfer: transfer) { continuation.resume(returning: $0) }
    }
    return try result.get()
  }

  /// Sends a write whose data is not copied until the socket takes it, by a task attribute.
  package func submitWrite(
    lun: LogicalUnitNumber, _ block: CommandDescriptorBlock, data: ArraySlice<UInt8>,
    attribute: UInt8 = 1,
    completion: @escaping @Sendable (Result<CommandOutcome, MirrorcastError>) -> Void
  ) {
    var command = InitiatorCommand(
      lun: lun.field, commandDescriptorBlock: block.bytes, transfer: .write(data))
    command.attribute = attribute
    onLoop { [command] in $0.submit(PendingCommand(command, completion: completion)) }
  }

  /// As `text`; the callback comes on the event loop. Texts go in the order of the calls.
  func submitText(
    _ keys: TextKeys,
    completion: @escaping @Sendable (Result<TextKeys, MirrorcastError>) -> Void
  ) {
    onLoop { $0.sendText(keys, completion: completion) }
  }

  /// Sends keys and waits for the target's.
  package func text(_ keys: TextKeys) async throws(MirrorcastError) -> TextKeys {
    let result = await withCheckedContinuation { continuation in
      onLoop { $0.sendText(keys) { continuation.resume(returning: $0) } }
    }
    return try result.get()
  }

  /// Asks for a task management function, and waits for its answer; commands of the nexus that it
  /// ends are TASK ABORTED.
  func manageTasks(
    _ function: TaskManagementFunction, lun: LogicalUnitNumber
  ) async throws(MirrorcastError) -> TaskManagementResponse {
    let result = await withCheckedContinuation { continuation in
      onLoop {
        $0.manageTasks(function, lun: lun.field) { continuation.resume(returning: $0) }
      }
    }
    return try result.get()
  }

  /// Logs out and closes; what is still in flight fails. Returns when the connection is closed.
  package func close() async {
    let closed = channel.eventLoop.flatSubmit { [handler] in
      handler.value.logOut()
    }
    try? await closed.get()
  }

  private func onLoop(_ body: @escaping @Sendable (InitiatorHandler) -> Void) {
    if channel.eventLoop.inEventLoop {
      body(handler.value)
    } else {
      channel.eventLoop.execute { [handler] in body(handler.value) }
    }
  }
}
