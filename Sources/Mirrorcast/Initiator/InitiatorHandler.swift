// One connection of an initiator on its event loop: bytes in, to the session's machine; its events
// to whoever waits; its output to the socket, as fast as the socket takes it.
//
// A connection that says nothing is pinged, and given up when nothing comes then either: a host
// that vanished without a word must not hold a caller for ever, nor wait for the next command.

import ISCSI
import Logging
import NIOCore

/// Drives an `InitiatorSession`; everything happens on the channel's event loop.
final class InitiatorHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let portal: String
  private let request: InitiatorLoginRequest
  private let hooks: ConnectionHooks
  private let loggedIn: EventLoopPromise<SessionDescription>
  private let loggedOut: EventLoopPromise<Void>
  let logger: Logger

  var session: InitiatorSession
  private var decoder = FrameDecoder()
  private(set) var requests = InitiatorRequests()
  private(set) var context: ChannelHandlerContext?
  private var loginTimer: Scheduled<Void>?
  private var silenceTimer: Scheduled<Void>?
  /// From the end of login on.
  private var watch: SilenceWatch?
  private var isEstablished = false
  private var isSending = false
  private(set) var isLeaving = false
  /// Why nothing new is asked, since the target wants to be left.
  var departure: MirrorcastError?
  private(set) var failure: MirrorcastError?

  init(
    portal: String, request: InitiatorLoginRequest, configuration: InitiatorConfiguration,
    hooks: ConnectionHooks, loop: any EventLoop, logger: Logger
  ) {
    self.portal = portal
    self.request = request
    self.hooks = hooks
    self.logger = logger
    loggedIn = loop.makePromise()
    loggedOut = loop.makePromise()
    session = InitiatorSession(configuration: configuration)
  }

  /// Succeeds with full feature phase.
  var login: EventLoopFuture<SessionDescription> { loggedIn.futureResult }

  private var limits: InitiatorLimits { request.limits }
  private var isDiscovery: Bool { request.targetName == nil }

  // MARK: The channel

  func channelActive(context: ChannelHandlerContext) {
    self.context = context
    let loop = context.eventLoop.assumeIsolated()
    loginTimer = loop.scheduleTask(in: .milliseconds(limits.loginMilliseconds)) { [self] in
      end(
        MirrorcastError(
          "\(portal) does not answer the login",
          advice: "Is it an iSCSI target? Look at its log."))
    }
    send()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if watch?.heard(now: context.eventLoop.now.uptimeNanoseconds) ?? false {
      silenceTimer?.cancel()
      scheduleWatch()
    }
    let buffer = unwrapInboundIn(data)
    let bytes = buffer.readableBytesSpan
    var offset = 0
    while failure == nil {
      do throws(FramingError) {
        guard let pdu = try decoder.next(bytes, from: &offset) else { return }
        session.handle(pdu)
        decoder.digests = session.digests
      } catch {
        session.handle(error)
      }
      deliver()
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    leaveWhenIdle()
    send()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) { send() }

  func channelInactive(context: ChannelHandlerContext) {
    end(.lost(portal, isLeaving ? "closed" : "the target closed it"))
    context.fireChannelInactive()
  }

  /// Where there never was a connection, this is the only call.
  func handlerRemoved(context: ChannelHandlerContext) { end(.lost(portal, "closed")) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(.lost(portal, MirrorcastError.words(for: error)))
  }

  // MARK: What is asked

  /// Lets `body` use the machine, where there is a session, then sends what came of it.
  func perform(_ body: (inout InitiatorSession) -> Void) {
    guard session.isLoggedIn, failure == nil else { return }
    body(&session)
    deliver()
    send()
  }

  func submit(_ pending: PendingCommand) {
    guard let refusal else {
      requests.commands[session.submit(pending.command)] = pending
      return send()
    }
    pending.completion(.failure(refusal))
  }

  func sendText(_ keys: TextKeys, completion: @escaping InitiatorRequests.TextCompletion) {
    guard let refusal else {
      requests.texts[session.sendText(keys)] = completion
      return send()
    }
    completion(.failure(refusal))
  }

  func manageTasks(
    _ function: TaskManagementFunction, lun: UInt64,
    completion: @escaping InitiatorRequests.FunctionCompletion
  ) {
    if let refusal { return completion(.failure(refusal)) }
    requests.functions[session.manageTasks(function, lun: lun)] = completion
    send()
  }

  /// Logs out, once; the future succeeds when the connection is closed, however that came.
  func logOut() -> EventLoopFuture<Void> {
    if !isLeaving, failure == nil, let context {
      isLeaving = true
      session.logout()
      send()
      context.eventLoop.assumeIsolated().scheduleTask(
        in: .milliseconds(limits.logoutMilliseconds)
      ) { [self] in
        end(.lost(portal, "closed, the logout was not answered"))
      }
    }
    return loggedOut.futureResult
  }

  /// Why nothing can be asked now; nil when it can.
  private var refusal: MirrorcastError? {
    if let failure = failure ?? departure { return failure }
    return session.isLoggedIn ? nil : .lost(portal, "closed")
  }

  // MARK: What is answered

  private func deliver() {
    while failure == nil, let event = session.pollEvent() { deliver(event) }
  }

  private func deliver(_ event: InitiatorEvent) {
    switch event {
    case .loggedIn(let description):
      decoder.dataSegmentLengthMax = session.receiveDataSegmentLengthMax
      isEstablished = true
      loginTimer?.cancel()
      beginWatch()
      loggedIn.succeed(description)
    case .loginFailed(let failure):
      end(.login(failure, portal: portal, request: request))
    case .completed(let result):
      complete(result)
    case .text(let keys, let tag):
      requests.texts.removeValue(forKey: tag)?(.success(keys))
    case .taskManagementDone(let tag, let response, let ended):
      // SAM-5 §5.3.1: as a target says it that answers aborted commands.
      for tag in ended {
        requests.commands.removeValue(forKey: tag)?.completion(.success(.taskAborted))
      }
      requests.functions.removeValue(forKey: tag)?(.success(response))
    case .pingAnswered:
      hooks.onPingAnswered()
    case .mirrored(let pdu):
      hooks.onMirrored(pdu)
    case .asyncMessage(let event, let parameters, _, _):
      take(event, seconds: Int(parameters.2))
    case .rejected(let reason, _, let tag):
      logger.warning(
        "a request was rejected", metadata: ["portal": "\(portal)", "reason": "\(reason)"])
      let error = MirrorcastError("\(portal) rejects the request (reason \(reason))")
      if let tag { requests.take(tag)?(error) }
    case .loggedOut:
      end(departure ?? .lost(portal, "closed"))
    case .violation(let violation):
      end(.lost(portal, violation.words))
    }
  }

  private func complete(_ result: consuming ISCSI.CommandResult) {
    let response = result.response
    guard var pending = requests.commands.removeValue(forKey: result.taskTag) else { return }
    guard response == 0 else {
      // RFC 7143 §11.4.3: the target could not carry the command out, and there is no status.
      return pending.completion(
        .failure(MirrorcastError("\(portal) could not carry the command out (\(response))")))
    }
    let outcome = CommandOutcome(result)
    switch pending.retry.decide(outcome.status, outcome.sense) {
    case .end:
      pending.completion(.success(outcome))
    case .again(0):
      submit(pending)
    case .again(let milliseconds):
      guard let context else { return pending.completion(.success(outcome)) }
      context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(Int64(milliseconds))) {
        [self] in submit(pending)
      }
    }
  }

  private func beginWatch() {
    guard let now = context?.eventLoop.now.uptimeNanoseconds else { return }
    watch = SilenceWatch(
      quietMilliseconds: limits.idleMilliseconds, answerMilliseconds: limits.pingMilliseconds,
      now: now)
    scheduleWatch()
  }

  private func scheduleWatch() {
    guard failure == nil, let loop = context?.eventLoop.assumeIsolated(), let watch else { return }
    silenceTimer = loop.scheduleTask(deadline: .uptimeNanoseconds(watch.nextDeadline)) {
      [self] in
      checkSilence()
      scheduleWatch()
    }
  }

  private func checkSilence() {
    guard let now = context?.eventLoop.now.uptimeNanoseconds else { return }
    switch watch?.handleTimeout(now: now) {
    // RFC 7143 §4.3: a discovery session is for text and logout alone; some targets end it for
    // anything else. So it is given up only where an answer is awaited.
    case .ping where isDiscovery: break
    case .lost where isDiscovery && session.openTaskCount == 0: watch?.heard(now: now)
    case .ping: perform { _ = $0.ping() }
    case .lost:
      let seconds = (limits.idleMilliseconds + limits.pingMilliseconds) / 1000
      let words = isDiscovery ? "" : ", not even the answer to a ping"
      end(.lost(portal, "nothing came for \(seconds) s\(words)"))
    case .nothing, nil: break
    }
  }

  // MARK: Sending and ending

  func send() {
    guard let context, !isSending else { return }
    isSending = true
    defer { isSending = false }
    while context.channel.isWritable {
      var batch = OutputBatch()
      while !batch.isFull, let pdu = session.pollOutput() { batch.append(pdu) }
      guard !batch.isEmpty else { return }
      context.writeAndFlush(
        wrapOutboundOut(batch.encode(context.channel.allocator)), promise: nil)
    }
  }

  /// The one way to the end: everything in flight fails with the words of `error`.
  func end(_ error: MirrorcastError) {
    guard failure == nil else { return }
    failure = error
    loginTimer?.cancel()
    silenceTimer?.cancel()
    loggedIn.fail(error)
    for fail in requests.takeAll() { fail(error) }
    if isEstablished, !isLeaving { hooks.onClosed(error.what) }
    context?.close(promise: nil)
    context = nil
    loggedOut.succeed()
  }
}
