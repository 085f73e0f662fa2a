// The connection between a shared mirror's leader and one guest: their words (`SharingMessage`) as
// text keys, each behind its length. One that says nothing for long is gone, as one that is closed;
// so either says that it is there when it has nothing else to say.
import ISCSI
import NIOCore
import NIOPosix
import Replication

/// One end of it. All calls from any thread.
final class SharingConnection: Sendable {
  /// Whom its end tells; called on its event loop, so neither may block.
  struct Hooks: Sendable {
    let onMessage: @Sendable (SharingMessage) -> Void
    /// It has ended, for people why. Once.
    let onClosed: @Sendable (String) -> Void
  }

  private let channel: any Channel

  init(_ channel: any Channel) { self.channel = channel }

  func send(_ message: SharingMessage) { channel.writeAndFlush(message, promise: nil) }

  func close() { channel.close(promise: nil) }

  /// Connects to a leader.
  static func open(
    _ place: LeaderPlace, silenceSeconds: Double, _ hooks: Hooks
  ) async throws(MirrorcastError) -> SharingConnection {
    let address = try HostAndPort(parsing: place.address, ports: 1...65535, in: place.address)
    do {
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(.seconds(3))
        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try prepare(channel, silenceSeconds: silenceSeconds) { _ in hooks }
          }
        }
        .connect(host: address.host, port: address.port).get()
      return SharingConnection(channel)
    } catch {
      throw MirrorcastError(
        "the initiator that leads the mirror is not reached at \(place.address): \(error)",
        advice: "Initiators of a shared mirror have to reach each other by TCP.")
    }
  }

  /// Sets up one end of it, on its event loop.
  static func prepare(
    _ channel: any Channel, silenceSeconds: Double,
    _ hooks: (SharingConnection) -> Hooks
  ) throws {
    let silence = Int64(silenceSeconds * 1e9)
    let handlers = channel.pipeline.syncOperations
    try handlers.addHandlers([
      ByteToMessageHandler(SharingFrames()),
      IdleStateHandler(
        readTimeout: .nanoseconds(silence), writeTimeout: .nanoseconds(silence / 4)),
      SharingHandler(hooks(SharingConnection(channel))),
    ])
  }
}

/// Takes messages from bytes.
private struct SharingFrames: NIOSingleStepByteToMessageDecoder {
  typealias InboundOut = SharingMessage

  mutating func decode(buffer: inout ByteBuffer) throws -> SharingMessage? {
    guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else {
      return nil
    }
    guard length <= UInt32(TextKeys.byteCountMax) else {
      throw MirrorcastError("a message of \(length) bytes")
    }
    guard buffer.readableBytes >= 4 + Int(length) else { return nil }
    buffer.moveReaderIndex(forwardBy: 4)
    let bytes = buffer.readBytes(length: Int(length)) ?? []
    return try SharingMessage(try TextKeys(strict: bytes[...]))
  }

  mutating func decodeLast(buffer: inout ByteBuffer, seenEOF: Bool) throws -> SharingMessage? {
    try decode(buffer: &buffer)
  }
}

/// Hands messages over, and says that it is there.
private final class SharingHandler: ChannelDuplexHandler {
  typealias InboundIn = SharingMessage
  typealias OutboundIn = SharingMessage
  typealias OutboundOut = ByteBuffer

  private let hooks: SharingConnection.Hooks
  private var words = "connection ended"
  private var isOver = false

  init(_ hooks: SharingConnection.Hooks) { self.hooks = hooks }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    hooks.onMessage(unwrapInboundIn(data))
  }

  func write(
    context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
  ) {
    let bytes = unwrapOutboundIn(data).keys.encoded
    var buffer = context.channel.allocator.buffer(capacity: 4 + bytes.count)
    buffer.writeInteger(UInt32(bytes.count))
    buffer.writeBytes(bytes)
    context.write(wrapOutboundOut(buffer), promise: promise)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event as? IdleStateHandler.IdleStateEvent {
    case .write?:
      // Through the whole of our own write.
      context.channel.writeAndFlush(SharingMessage.alive, promise: nil)
    case .read?:
      words = "it said nothing for too long"
      context.close(promise: nil)
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    words = (error as? MirrorcastError)?.what ?? "\(error)"
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    guard !isOver else { return }
    isOver = true
    hooks.onClosed(words)
  }
}
