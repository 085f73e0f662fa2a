// What a connection holds, and for how long: memory for data on its way, a peer that is silent or
// takes nothing.

import ISCSI
import Logging
import NIOCore

extension TargetConnection {
  // MARK: Memory

  private var bytesToSend: Int { commands.readBytes + outputBytes }

  /// Lets WRITEs ask for their data, as far as there is memory for it in the daemon.
  func allowWrites() {
    guard stage == .open else { return }
    while let wanted = session.wantedPromises {
      let promised = session.promisedByteCount
      writeAccount.need(promised)
      guard
        writeAccount.reserve(
          wanted - promised,
          granted: whenGranted { $0.writeAccount.granted($1) })
      else { return noteContention() }
      session.allowPromises(upTo: wanted)
    }
  }

  /// Whether there is memory for what the first command that waits is to read.
  func reserveRead() -> Bool {
    let byteCount = commands.firstReadBytes
    guard byteCount > 0 else { return true }
    readAccount.need(bytesToSend)
    let isTaken = readAccount.reserve(
      byteCount, granted: whenGranted { $0.readAccount.granted($1) })
    if !isTaken { noteContention() }
    return isTaken
  }

  /// There is too little memory for all: the connection waits for some.
  private func noteContention() {
    serving.contention.begin(serving, on: channel.eventLoop)
  }

  private func whenGranted(
    _ body: @escaping @Sendable (TargetConnection, Int) -> Void
  ) -> @Sendable (Int) -> Void {
    let port = port
    // Whoever gives memory back may be in the middle of its own accounts, and may be this one.
    return { byteCount in
      port.post { connection in
        body(connection, byteCount)
        connection.settle()
      }
    }
  }

  /// Gives back what is not held any more.
  func settleAccounts() {
    readAccount.need(bytesToSend)
    readAccount.settle()
    let promised = session.promisedByteCount
    writeAccount.need(promised)
    writeAccount.settle()
    recoveryAccount.settle(&session)
    session.allowPromises(upTo: promised)
  }

  /// What waits in the socket must wait there until there is memory for it. Data that was asked for
  /// does not wait: its memory is taken, and only its coming frees it.
  var isHeldBack: Bool {
    guard writeAccount.isWaiting || !commands.isEmpty && session.promisedByteCount > 0 else {
      return false
    }
    let isHeld = serving.writes.isFull && !session.awaitsPromisedData
    if isHeld { noteContention() }
    return isHeld
  }

  /// What a connection without a session has us hold is counted; most hold nothing.
  func noteLoginBytes() {
    guard watch == nil else { return }
    let byteCount = decoder.heldByteCount + session.heldTextByteCount
    guard byteCount != loginBytes else { return }
    loginBytes = byteCount
    serving.register.hold(port.id, byteCount: byteCount)
  }

  // MARK: Time

  func after(_ milliseconds: Int64, _ body: @escaping (TargetConnection) -> Void) {
    channel.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(milliseconds)) {
      [weak self] in
      if let self { body(self) }
    }
  }

  /// The connection has a normal session: larger reads are worth their memory, and its peer is
  /// watched.
  func beginSession() {
    channel.setOption(
      .recvAllocator,
      value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 65_536, maximum: 1 << 20)
    ).whenFailure { _ in }
    watch = PeerWatch(limits: serving.limits, now: channel.eventLoop.now.uptimeNanoseconds)
    scheduleWatch()
  }

  /// The peer has said something, or what it says is not read.
  func noteLife() {
    guard watch?.heard(now: channel.eventLoop.now.uptimeNanoseconds) ?? false else { return }
    watchTimer?.cancel()
    scheduleWatch()
  }

  private func scheduleWatch() {
    let loop = channel.eventLoop
    guard stage == .open, let watch else { return }
    let deadline = watch.nextDeadline(now: loop.now.uptimeNanoseconds)
    watchTimer = loop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(deadline)) {
      [weak self] in
      self?.lookAtPeer()
    }
  }

  private func lookAtPeer() {
    guard stage == .open else { return }
    let now = channel.eventLoop.now.uptimeNanoseconds
    switch watch?.handleTimeout(now: now, isReading: isReading) {
    case .ping:
      // RFC 7143 §11.19: a transfer tag asks for an answer.
      perform { $0.sendPing() }
    case .silent:
      serving.register.count(\.silent)
      cut("it does not answer a ping")
    case .stuck:
      serving.register.count(\.stuck)
      cut("it takes nothing of what is sent to it")
    case .nothing, nil: break
    }
    scheduleWatch()
  }

  func logEnd(_ words: Logger.Message, _ reason: String) {
    serving.log.note(watch == nil ? .unfinished : .ended, on: channel.eventLoop) {
      logger.info(words, metadata: ["reason": "\(reason)"])
    }
  }

  /// Ends a connection that has no session yet.
  func cutUnfinished(_ reason: String) {
    guard watch == nil else { return }
    cut(reason)
  }
}

extension ISCSI.TargetConfiguration {
  /// Takes what a daemon bounds.
  mutating func take(_ limits: TargetLimits) {
    commandWindow = limits.commandsMax
    immediateCommandsMax = limits.immediateCommandsMax
    textBytesMax = limits.textBytesMax
    writeBytesMax = limits.transferBytesMax
    dataOutNanoseconds = UInt64(limits.dataOutMilliseconds) * 1_000_000
    recoveryBytesMax = limits.recoveryBytesMax
    asksForAdmission = true
  }
}
