// An initiator's end of one connection, which is one session (MaxConnections=1,
// ErrorRecoveryLevel=0): the counterpart of `TargetSession`, and a value like it.
//
// Tags below 0x80000000 are the session's, those above belong to mirrored writes, whose answers
// are passed out untouched. An answer to a task that isn't open is never ignored: it is a
// violation, and the owner decides what it means. Requests that the command window doesn't admit
// yet wait here.
import Bytes

/// One session as its initiator sees it. Construct it, send what `pollOutput` has, feed `handle`,
/// then poll events and output until both are empty; after a violation close the connection.
package struct InitiatorSession: ~Copyable, Sendable {
  /// Where the session stands.
  enum Phase {
    case login
    case fullFeature
    case loggingOut
    case ended
  }

  let configuration: InitiatorConfiguration
  var phase = Phase.login
  var login: InitiatorLogin
  var description = SessionDescription()
  var tasks: [UInt32: InitiatorTask] = [:]
  var text = InitiatorText()
  var output = Fifo<PDU>()
  var events = Fifo<InitiatorEvent>()

  private var waiting = Fifo<PDU>()
  private(set) var commandNumber: SerialNumber
  private var lastCommandNumber: SerialNumber
  private var expectedStatusNumber = SerialNumber(0)
  private var lastTag: UInt32 = 0

  package init(configuration: InitiatorConfiguration) {
    self.configuration = configuration
    login = InitiatorLogin(configuration: configuration)
    commandNumber = SerialNumber(configuration.firstCommandNumber)
    lastCommandNumber = commandNumber
    sendImmediate(login.begin())
  }

  // MARK: Looking

  package var isLoggedIn: Bool { phase == .fullFeature }
  package var parameters: OperationalParameters { description.parameters }
  /// What the frame decoder may take now, in bytes.
  package var receiveDataSegmentLengthMax: Int { configuration.wanted.receiveDataSegmentLengthMax }
  /// The digests that the frame decoder has to look for now.
  package var digests: Digests { phase == .login ? [] : parameters.digests }
  /// Requests that have not been answered.
  package var openTaskCount: Int { tasks.count }
  /// Requests that wait for the command window to open.
  package var waitingCount: Int { waiting.count }

  // MARK: Polling

  package mutating func pollEvent() -> InitiatorEvent? { events.popFirst() }
  package mutating func pollOutput() -> PDU? { output.popFirst() }

  // MARK: Handling

  package mutating func handle(_ pdu: PDU) {
    switch phase {
    case .login: handleLogin(pdu)
    case .fullFeature, .loggingOut: handleFullFeature(pdu)
    case .ended: break
    }
  }

  package mutating func handle(_ error: FramingError) {
    switch error {
    case .dataSegmentTooLong: violate(.dataSegmentTooLong)
    case .headerDigest: violate(.damaged)
    }
  }

  private mutating func handleLogin(_ pdu: PDU) {
    if pdu.header.opcode == .loginResponse { takeNumbers(pdu.header, hasStatus: true) }
    do throws(LoginFailure) {
      switch try login.handle(pdu) {
      case .send(let request):
        sendImmediate(request)
      case .loggedIn:
        description = login.session
        phase = .fullFeature
        events.append(.loggedIn(description))
        sendWaiting()
      }
    } catch {
      phase = .ended
      events.append(.loginFailed(error))
    }
  }

  mutating func violate(_ violation: ProtocolViolation) {
    guard phase != .ended else { return }
    phase = .ended
    events.append(.violation(violation))
  }

  // MARK: Numbers

  /// Takes the target's numbers; `hasStatus` when the PDU's StatSN is used up.
  mutating func takeNumbers(_ header: BasicHeaderSegment, hasStatus: Bool) {
    let status = SerialNumber(header.word24)
    let isFirst = phase == .login && expectedStatusNumber == SerialNumber(0)
    if hasStatus, isFirst || !status.precedes(expectedStatusNumber) {
      expectedStatusNumber = status.next
    }
    // RFC 7143 §4.2.2.1: a window that would shrink, or be less than nothing, is old news.
    let expected = SerialNumber(header.word28)
    let last = SerialNumber(header.word32)
    guard !last.next.precedes(expected), lastCommandNumber.precedes(last) else { return }
    lastCommandNumber = last
  }

  mutating func nextTag() -> UInt32 {
    repeat {
      lastTag = lastTag == 0x7fff_ffff ? 1 : lastTag + 1
    } while tasks[lastTag] != nil
    return lastTag
  }

  // MARK: Sending

  /// Queues an immediate request, which takes no number.
  mutating func sendImmediate(_ pdu: PDU) {
    var stamped = pdu
    stamped.header.isImmediate = true
    stamped.digests = digests
    stamped.header.word24 = commandNumber.rawValue
    stamped.header.word28 = expectedStatusNumber.rawValue
    output.append(stamped)
  }

  /// Queues a numbered request, at once or when the window opens.
  mutating func sendNumbered(_ pdu: PDU) {
    waiting.append(pdu)
    sendWaiting()
  }

  /// Queues data, which has no number of its own.
  mutating func sendData(_ pdu: PDU) {
    var stamped = pdu
    stamped.digests = digests
    stamped.header.word28 = expectedStatusNumber.rawValue
    output.append(stamped)
  }

  mutating func sendWaiting() {
    while phase == .fullFeature, !lastCommandNumber.precedes(commandNumber),
      let pdu = waiting.popFirst()
    {
      let tag = pdu.header.initiatorTaskTag
      // What was aborted while it waited is not sent.
      guard tasks[tag] != nil else { continue }
      tasks[tag]?.commandNumber = commandNumber.rawValue
      var stamped = pdu
      stamped.digests = digests
      stamped.header.word24 = commandNumber.rawValue
      stamped.header.word28 = expectedStatusNumber.rawValue
      commandNumber = commandNumber.next
      output.append(stamped)
      if stamped.header.opcode == .scsiCommand { sendUnsolicitedData(stamped) }
    }
  }
}
