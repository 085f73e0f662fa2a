// One connection of the daemon, on its event loop: bytes in, through `FrameDecoder` to the
// session's machine; what the machine says is carried out (`+Events`, `+Commands`); its output goes
// back as one write and flush a batch.
//
// `settle` is the duty cycle: events, commands, output, until nothing moves. Everything that
// changes the session ends with it. What may pile up is bounded, see `+Limits` and `CommandQueue`.

import ISCSI
import Logging
import NIOCore
import SCSI
import Storage

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

  /// What is read at once of one that has no session; its buffer stays with it.
  static let loginReadByteCount = 4096

  let serving: Serving
  let channel: any Channel
  var logger: Logger
  var session: TargetSession
  /// As it logged in; of an empty name until then.
  var initiator = MirrorInitiator(name: "")
  var commands: CommandQueue
  var stage = Stage.open
  /// Who the initiator is to the disks; nil until it has logged in to them.
  var nexus: Nexus?
  /// The target that it has logged in to, and its disks as the nexus has them.
  var target: ServedTarget?
  var units = ServedUnits([])
  /// Input behind the login, which waits until the session that this one replaces has ended.
  var heldInput: ByteBuffer?
  /// When the session is looked at next.
  var look: Look?
  /// The mirror's part of the end.
  var hostDeparture = HostDeparture.none
  /// Who waits for it.
  var hostWaiters: [() -> Void] = []
  /// Nil until there is a normal session.
  var watch: PeerWatch?
  var watchTimer: Scheduled<Void>?
  var readAccount: TransferAccount
  var writeAccount: TransferAccount
  var recoveryAccount: RecoveryAccount
  /// Bytes written that the socket has not taken.
  private(set) var outputBytes = 0
  /// Bytes that the socket has taken, as far as they are counted at once.
  private(set) var outputTaken: UInt64 = 0
  private(set) var isReading = true
  /// What it held without a session, as it was told last.
  var loginBytes = 0
  var hasLoggedOut = false

  private let ticket: ConnectionRegister.Ticket
  private let ended: EventLoopPromise<Void>
  private var entryPort: SessionPort?
  private(set) var decoder = FrameDecoder()
  private(set) var context: ChannelHandlerContext?
  private var hasUnflushed = false
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
    let reserve = serving.limits.reservedBytes
    readAccount = TransferAccount(serving.reads, id: ticket.id, reserve: reserve)
    writeAccount = TransferAccount(serving.writes, id: ticket.id, reserve: reserve)
    recoveryAccount = RecoveryAccount(serving.recoveries)
    var configuration = serving.directory.configuration(for: channel, handle: ticket.handle)
    configuration.take(serving.limits)
    if serving.host == nil { configuration.wanted.mirrorVersion = nil }
    session = TargetSession(configuration: configuration)
    session.allowPromises(upTo: 0)
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
    let isAdmitted = serving.register.enter(.init(port: port, ended: ended.futureResult))
    logger[metadataKey: "peer"] = "\(channel.remoteAddress?.portalText ?? "unknown")"
    guard isAdmitted else { return cut("its place is another's") }
    after(serving.limits.loginMilliseconds) { connection in
      // Where an old session's end is waited for, it is not the initiator that is slow.
      guard !connection.session.isLoggedIn, connection.heldInput == nil, connection.stage == .open
      else { return }
      connection.serving.register.count(\.cutAtDeadline)
      connection.cut("no login by the deadline")
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    stage = .closed
    self.context = nil
    heldInput = nil
    commands.dropAll()
    leaveHost()
    logger.debug("connection closed")
    drainAll { [self] in
      detach()
      (target, units) = (nil, ServedUnits([]))
      leave()
    }
    callFinished()
  }

  /// Nothing of it is left: its place is free, also where it never had a pipeline.
  func leave() {
    readAccount.close()
    writeAccount.close()
    recoveryAccount.close()
    serving.register.leave(ticket.id)
    // They hold each other: without this, neither would ever go.
    entryPort = nil
    ended.succeed()
  }

  /// Calls who waited for the end of commands.
  func callFinished() {
    for call in commands.takeFinished() { call() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard stage == .open else { return }
    noteLife()
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
        guard let pdu = try decoder.next(bytes, from: &offset) else { return noteLoginBytes() }
        session.handle(pdu)
      } catch {
        session.handle(error)
      }
      adoptNegotiated()
      guard heldInput == nil else {
        heldInput = buffer.getSlice(
          at: buffer.readerIndex + offset, length: buffer.readableBytes - offset)
        return
      }
    }
  }

  /// What the session has told may be that it is logged in: then PDUs have another form.
  func adoptNegotiated() {
    handleEvents()
    decoder.dataSegmentLengthMax = session.receiveDataSegmentLengthMax
    decoder.digests = session.digests
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
      allowWrites()
      startCommands()
      writeOutput()
      if hasUnflushed {
        hasUnflushed = false
        context?.flush()
      }
    } while commands.canStart(outputBytes: outputBytes) && !readAccount.isWaiting
      && stage != .closed
    isSettling = false
    settleAccounts()
    updateReading()
    excuseHoldings()
    awaitDeadline()
    if stage == .closing, outputBytes == 0, !isAnswerHeld { finishOutput() }
  }

  private func startCommands() {
    while commands.canStart(outputBytes: outputBytes), reserveRead() {
      run(commands.start())
      // Large answers count as output at once, so that they hold the next command back.
      writeOutput()
    }
    departTrains()
  }

  /// A logout is answered when nothing of its session runs any more: the same initiator may be back
  /// before its last write is stored.
  private var isAnswerHeld: Bool {
    stage == .closing && (commands.isRunning || hostDeparture == .pending)
  }

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
      watch?.outputAdded(now: channel.eventLoop.now.uptimeNanoseconds)
      context.write(wrapOutboundOut(buffer)).assumeIsolated().whenComplete { [self] _ in
        outputBytes -= count
        outputTaken &+= UInt64(count)
        watch?.outputMoved(
          isEmpty: outputBytes == 0, now: channel.eventLoop.now.uptimeNanoseconds)
        settle()
      }
    }
  }

  func updateReading() {
    let wanted =
      switch stage {
      case .open:
        heldInput == nil && outputBytes < serving.limits.outputBytesMax && !isHeldBack
      case .closing: false
      // What still comes is read and dropped: unread bytes would turn our end into a reset.
      case .lingering: true
      case .closed: isReading
      }
    guard wanted != isReading else { return }
    isReading = wanted
    noteLife()
    channel.setOption(.autoRead, value: wanted).whenFailure { _ in }
  }
}
