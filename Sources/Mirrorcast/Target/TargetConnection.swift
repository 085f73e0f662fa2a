// One connection of the daemon, on its event loop: bytes in, through `FrameDecoder` to the
// session's machine; what the machine says is carried out (`+Events`, `+Commands`); its output goes
// back as one write and flush a batch.
//
// `settle` is the duty cycle: events, commands, output, until nothing moves. Everything that
// changes the session ends with it. What may pile up is bounded: input by not reading while much
// output waits for the socket, disk commands by `CommandQueue`.

import ISCSI
import Logging
import NIOCore
import SCSI
import Storage

/// What all connections of a daemon share.
struct Serving: Sendable {
  let directory: TargetDirectory
  let workers: StorageWorkers
  let host: (any MirrorHost)?
  let register: ConnectionRegister
  let limits: TargetLimits
}

/// One initiator's connection; touched on its event loop only.
final class TargetConnection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// How far the connection has come towards its end.
  enum Stage {
    case open
    /// What is queued is sent, then the connection ends.
    case closing
    /// Our side is closed; the peer is given time to read.
    case lingering
    case closed
  }

  let serving: Serving
  let channel: any Channel
  var logger: Logger
  var session: TargetSession
  /// As it logged in; empty until then.
  var initiatorName = ""
  var commands: CommandQueue
  var stage = Stage.open
  /// Who the initiator is to the disks; nil until it has logged in to them.
  var nexus: Nexus?
  /// The target that it has logged in to, and its disks as this session has them.
  var target: ServedTarget?
  var units = ServedUnits([])
  /// Input that waits until the session that this one replaces has ended.
  var heldInput: ByteBuffer?
  /// When the session is looked at next.
  var look: Look?

  private let ticket: ConnectionRegister.Ticket
  private let ended: EventLoopPromise<Void>
  private var entryPort: SessionPort?
  private var decoder = FrameDecoder()
  private var context: ChannelHandlerContext?
  /// Bytes written that the socket has not taken.
  private var outputBytes = 0
  private var hasUnflushed = false
  private var isReading = true
  private var isSettling = false

  init(
    _ ticket: ConnectionRegister.Ticket, _ channel: any Channel, _ serving: Serving,
    _ logger: Logger
  ) {
    self.ticket = ticket
    self.channel = channel
    self.serving = serving
    self.logger = logger
    ended = channel.eventLoop.makePromise()
    commands = CommandQueue(limits: serving.limits)
    var configuration = serving.directory.configuration(for: channel, handle: ticket.handle)
    configuration.writeBytesMax = serving.limits.transferBytesMax
    configuration.dataOutNanoseconds = UInt64(serving.limits.dataOutMilliseconds) * 1_000_000
    if serving.host == nil { configuration.wanted.mirrorVersion = nil }
    session = TargetSession(configuration: configuration)
  }

  /// This connection as other threads see it.
  var port: SessionPort {
    entryPort ?? SessionPort(id: ticket.id, channel: channel, connection: self)
  }

  // MARK: Channel

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    let port = port
    entryPort = port
    serving.register.enter(.init(port: port, ended: ended.futureResult))
    logger[metadataKey: "peer"] = "\(channel.remoteAddress?.portalText ?? "unknown")"
    after(serving.limits.loginMilliseconds) { connection in
      guard !connection.session.isLoggedIn, connection.stage == .open else { return }
      connection.cut("no login by the deadline")
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    stage = .closed
    self.context = nil
    heldInput = nil
    commands.dropAll()
    serving.host?.sessionClosed(ticket.id)
    logger.debug("connection closed")
    commands.drain(nil) { [self] in
      detach()
      (target, units) = (nil, ServedUnits([]))
      serving.register.leave(ticket.id)
      // They hold each other: without this, neither would ever go.
      entryPort = nil
      ended.succeed()
    }
    callFinished()
  }

  /// Calls who waited for the end of commands.
  func callFinished() {
    for call in commands.takeFinished() { call() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard stage == .open else { return }
    var buffer = unwrapInboundIn(data)
    if heldInput != nil {
      heldInput?.writeBuffer(&buffer)
    } else {
      receive(buffer)
      settle()
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    cut("\(error)")
  }

  // MARK: Input

  /// Cuts bytes into PDUs for the session; the rest is kept when a login replaces a session.
  func receive(_ buffer: ByteBuffer) {
    let bytes = buffer.readableBytesSpan
    var offset = 0
    while stage == .open {
      do throws(FramingError) {
        guard let pdu = try decoder.next(bytes, from: &offset) else { return }
        session.handle(pdu)
        decoder.dataSegmentLengthMax = session.receiveDataSegmentLengthMax
        decoder.digests = session.digests
      } catch {
        session.handle(error)
      }
      handleEvents()
      guard heldInput == nil else {
        heldInput = buffer.getSlice(
          at: buffer.readerIndex + offset, length: buffer.readableBytes - offset)
        return
      }
    }
  }

  /// The session that this one replaces has ended: its place is free.
  func releaseInput() {
    guard let input = heldInput, stage == .open else { return }
    heldInput = nil
    receive(input)
    settle()
  }

  // MARK: The duty cycle

  /// Runs `body` on the session, then sends what it queued.
  func perform(_ body: (inout TargetSession) -> Void) {
    guard stage == .open else { return }
    body(&session)
    settle()
    // Its own datagrams make a session's answers, and only its connection can take them away.
    if outputBytes > serving.limits.answerBytesMax { cut("takes no answers") }
  }

  /// Carries out all that is due; whoever calls it from within is served by the call that runs.
  func settle() {
    guard !isSettling else { return }
    isSettling = true
    repeat {
      handleEvents()
      callFinished()
      startCommands()
      writeOutput()
      if hasUnflushed {
        hasUnflushed = false
        context?.flush()
      }
    } while commands.canStart(outputBytes: outputBytes) && stage != .closed
    isSettling = false
    updateReading()
    awaitDeadline()
    if stage == .closing, outputBytes == 0, !isAnswerHeld { finishOutput() }
  }

  private func startCommands() {
    while commands.canStart(outputBytes: outputBytes) {
      run(commands.start())
      // Large answers count as output at once, so that they hold the next command back.
      writeOutput()
    }
    departTrains()
  }

  /// A logout is answered when nothing of its session runs any more: the same initiator may be back
  /// before its last write is stored.
  private var isAnswerHeld: Bool { stage == .closing && commands.isRunning }

  /// Hands what the session has to send to the channel; `settle` flushes it.
  private func writeOutput() {
    guard let context, !isAnswerHeld else { return }
    // What a session held is free before it hears that it has ended.
    if stage == .closing { detach() }
    while let first = session.pollOutput() {
      var buffer = channel.allocator.buffer(capacity: max(first.encodedCount, 1024))
      buffer.write(first)
      while buffer.readableBytes < 262_144, let next = session.pollOutput() { buffer.write(next) }
      let count = buffer.readableBytes
      outputBytes += count
      hasUnflushed = true
      context.write(wrapOutboundOut(buffer)).assumeIsolated().whenComplete { [self] _ in
        outputBytes -= count
        settle()
      }
    }
  }

  private func updateReading() {
    let wanted =
      switch stage {
      case .open: heldInput == nil && outputBytes < serving.limits.outputBytesMax
      case .closing: false
      // What still comes is read and dropped: unread bytes would turn our end into a reset.
      case .lingering: true
      case .closed: isReading
      }
    guard wanted != isReading else { return }
    isReading = wanted
    channel.setOption(.autoRead, value: wanted).whenFailure { _ in }
  }

  // MARK: The end

  /// Sends what is queued, then ends the connection.
  func endAfterOutput(_ reason: String) {
    guard stage == .open else { return }
    logger.info("connection ends", metadata: ["reason": "\(reason)"])
    stage = .closing
    commands.dropAll()
    callFinished()
    after(serving.limits.drainMilliseconds) { $0.context?.close(promise: nil) }
    settle()
  }

  /// Ends the connection at once.
  func cut(_ reason: String) {
    guard stage != .closed else { return }
    if stage == .open { logger.info("connection cut", metadata: ["reason": "\(reason)"]) }
    stage = .closed
    context?.close(promise: nil)
  }

  private func finishOutput() {
    guard let context else { return }
    stage = .lingering
    updateReading()
    context.close(mode: .output, promise: nil)
    after(serving.limits.lingerMilliseconds) { $0.context?.close(promise: nil) }
  }

  func after(_ milliseconds: Int64, _ body: @escaping (TargetConnection) -> Void) {
    channel.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(milliseconds)) {
      [weak self] in
      if let self { body(self) }
    }
  }
}
