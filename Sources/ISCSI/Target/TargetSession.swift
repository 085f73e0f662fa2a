// A target's end of one connection, which is one session (MaxConnections=1, ErrorRecoveryLevel 0,
// or 1 where the initiator offers it).
//
// It is a value: bytes of the connection become PDUs (`FrameDecoder`), PDUs go in by `handle`, what
// the owner must know comes out by `pollEvent`, what must be sent by `pollOutput`. It knows tags,
// numbers, windows and lengths, and nothing of what a command means. Numbers are stamped in the
// order in which PDUs are queued, so the owner sends them in that order and never sorts.
// Roads not taken: sessions of several connections, and so recovery across them (level 2).
import Bytes

/// One session as its target sees it. Call `handle`, then poll events and output until both are
/// empty; after `.close` send what is left and close.
package struct TargetSession: ~Copyable, Sendable {
  /// Where the session stands.
  enum Phase {
    case login
    case fullFeature
    case ended
  }

  var configuration: TargetConfiguration
  var phase = Phase.login
  var login: TargetLogin
  var description = SessionDescription()
  var window = CommandWindow(first: SerialNumber(0), size: 1)
  var tasks: TargetTasks
  var text: TextExchange
  var statusNumber = SerialNumber(0)
  /// Bytes that came in Data-Out PDUs, and were taken.
  package internal(set) var dataOutByteCount: UInt64 = 0
  /// Nil at ErrorRecoveryLevel 0.
  var recovery: SessionRecovery?
  var output = Fifo<PDU>()
  var events = Fifo<TargetEvent>()
  /// The last request of a login and its answer, while the owner has to admit it.
  private var candidate: (request: BasicHeaderSegment, response: PDU)?

  /// PDUs dropped without an answer: outside the command window, or after the end.
  package internal(set) var droppedCount = 0
  /// PDUs answered with a Reject.
  package internal(set) var rejectedCount = 0
  /// Bytes of data segments that were too long.
  private var skippedBytes = 0

  package init(configuration: TargetConfiguration) {
    self.configuration = configuration
    login = TargetLogin(configuration: configuration)
    text = TextExchange(byteCountMax: configuration.textBytesMax)
    tasks = TargetTasks(promisedMax: configuration.writeBytesMax)
  }

  // MARK: Looking

  /// The initiator's name as its login tells it, proved or not; empty before.
  package var claimedInitiator: String { login.session.initiatorName }
  /// The account that it proved, where that is not for an initiator of its name.
  package var foreignAccount: String? { login.foreignAccount }
  package var isLoggedIn: Bool { phase == .fullFeature }
  package var parameters: OperationalParameters { description.parameters }
  /// What the frame decoder may take now, in bytes.
  package var receiveDataSegmentLengthMax: Int { parameters.receiveDataSegmentLengthMax }
  /// The digests that the frame decoder has to look for now.
  package var digests: Digests { phase == .login ? [] : parameters.digests }
  /// Tasks that have not been answered.
  package var openTaskCount: Int { tasks.byTag.count }
  /// Memory taken for texts that are not whole, or not all sent, in bytes.
  package var heldTextByteCount: Int {
    login.heldByteCount + text.assembly.byteCount + text.pieces.byteCount
  }
  /// PDUs that wait for `pollOutput`: while there are many the owner should read no more.
  package var outputCount: Int { output.count }

  /// There are other targets, or other rules, from now on: for a login that has not begun, and for
  /// what SendTargets tells.
  package mutating func replaceTargets(by other: TargetConfiguration) {
    configuration.targets = other.targets
    configuration.discoveryAuthentication = other.discoveryAuthentication
    if phase == .login, !login.hasBegun { login = TargetLogin(configuration: configuration) }
  }

  // MARK: Polling

  package mutating func pollEvent() -> TargetEvent? { events.popFirst() }
  package mutating func pollOutput() -> PDU? { output.popFirst() }

  // MARK: Handling

  package mutating func handle(_ pdu: PDU) {
    switch phase {
    case .login: handleLogin(pdu)
    case .fullFeature: handleFullFeature(pdu)
    case .ended: droppedCount += 1
    }
  }

  /// What a header with wrong lengths means. In a session a data segment that is too long is
  /// rejected, and the decoder skips it: the next PDU is where it should be. Before a login, and
  /// where that happens again and again, it is the end; and so is, at every level of recovery, a
  /// header that was damaged: RFC 7143 §7.8, nothing tells where the next PDU begins.
  package mutating func handle(_ error: FramingError) {
    switch error {
    case .dataSegmentTooLong(let header):
      guard phase == .fullFeature else { return end(.dataSegmentTooLong) }
      skippedBytes += header.dataSegmentLength
      var pdu = PDU(header: header)
      pdu.fault = .tooLong
      guard skippedBytes <= configuration.skippedBytesMax else {
        reject(pdu, .protocolError)
        return end(.dataSegmentTooLong)
      }
      if header.opcode == .dataOut { receiveData(pdu) } else { reject(pdu, .protocolError) }
    case .headerDigest: end(.headerDigest)
    }
  }

  private mutating func handleLogin(_ pdu: PDU) {
    if !login.hasBegun {
      // RFC 7143 §4.2.2.1: login's CmdSN is that of the first command to come.
      let first = SerialNumber(pdu.header.word24)
      window = CommandWindow(first: first, size: configuration.commandWindow)
      statusNumber = SerialNumber(pdu.header.word28)
    }
    guard candidate == nil else { return refuse(.initiatorError) }
    switch login.handle(pdu) {
    case .answer(let response):
      send(response, advances: true)
    case .loggedIn(let response):
      candidate = (pdu.header, response)
      guard configuration.asksForAdmission else { return admit() }
      events.append(.admission(login.session))
    case .refused(let response, let status):
      send(response, advances: true)
      end(.loginRefused(status))
    case .terminated:
      end(.notALogin)
    }
  }

  /// Lets an initiator in whose login was all right.
  package mutating func admit() {
    guard phase == .login, let admitted = candidate else { return }
    candidate = nil
    // RFC 7143 §13.1: digests begin behind the last login response.
    send(admitted.response, advances: true)
    description = login.session
    login.forget()
    phase = .fullFeature
    if parameters.errorRecoveryLevel > 0 {
      recovery = SessionRecovery(first: statusNumber, bytesMax: configuration.recoveryBytesMax)
    }
    events.append(.loggedIn(description))
  }

  /// Ends a login that was all right with a status that says why it can't be served.
  package mutating func refuse(_ status: LoginStatus) {
    guard phase == .login, let refused = candidate else { return }
    candidate = nil
    send(login.refusal(of: refused.request, status), advances: true)
    end(.loginRefused(status))
  }

  mutating func end(_ reason: CloseReason) {
    guard phase != .ended else { return }
    for handle in tasks.handles {
      guard let task = tasks.remove(handle), task.isDelivered else { continue }
      events.append(.taskAborted(handle))
    }
    phase = .ended
    recovery = nil
    events.append(.close(reason))
  }

  // MARK: Sending

  /// Queues a PDU with the session's numbers; `advances` when it carries a status.
  mutating func send(_ pdu: PDU, advances: Bool) {
    var stamped = pdu
    stamped.digests = digests
    // RFC 7143 §11.7.3: Data-In without status has no StatSN.
    let hasNumber = advances || stamped.header.storage[0] != Opcode.dataIn.rawValue
    stamped.header.word24 = hasNumber ? statusNumber.rawValue : 0
    stamped.header.word28 = window.expected.rawValue
    stamped.header.word32 = window.last.rawValue
    if advances {
      recovery?.keep(stamped)
      statusNumber = statusNumber.next
    }
    output.append(stamped)
  }

  // RFC 7143 §11.17.4: the Reject carries the header that it is about, as it came.
  mutating func reject(_ pdu: PDU, _ reason: RejectReason, nextNumber: UInt32 = 0) {
    rejectedCount += 1
    var header = BasicHeaderSegment(opcode: .reject)
    header.byte2 = reason.rawValue
    header.initiatorTaskTag = reservedTag
    header.word36 = nextNumber
    let rejected = (pdu.header.array + pdu.additional)[...]
    let data = rejected.copiedPrefix(parameters.sendDataSegmentLengthMax)
    send(PDU(header: header, data: data), advances: true)
  }
}
