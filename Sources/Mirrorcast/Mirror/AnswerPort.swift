// A target's side of the answer streams: one listener on the lane for each address that sessions
// come in by, and the streams that were opened there. Who connects has to say which registration it
// is and the random word that the registration's grant told over its session; until then it is
// nobody: few are let in, for a short time, and nothing is sent to them.
//
// Where this machine can't take a stream (it has no descriptor left, no memory), the stream goes on
// waiting and its listener stays ready. So nobody is let in for a moment then, and the listeners
// are not looked at: the legs answer by their sessions meanwhile.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Logging
import Replication

/// The streams of one target's lane.
struct AnswerPort: ~Copyable {
  static let listenersMax = 8
  /// Streams that have not said who they are.
  static let strangersMax = 16
  static let strangerNanosecondsMax: UInt64 = 5_000_000_000
  static let descriptorsMax = listenersMax + strangersMax
  /// Streams that are taken, or turned away, in one cycle.
  static let acceptsMax = 64
  /// How long nobody is let in after this machine could not take a stream.
  static let pauseNanoseconds: UInt64 = 1_000_000_000

  /// A stream that has not said who it is.
  private struct Stranger {
    let stream: StreamSocket
    let deadline: UInt64
  }

  private let logger: Logger
  private var listeners: [(address: Endpoint, listener: StreamListener)] = []
  /// In the order in which they came, and so of their deadlines.
  private var strangers: [Stranger] = []
  /// Nobody is let in until then.
  private var pausedUntil: UInt64?
  private(set) var refused: UInt64 = 0
  /// Times that this machine could not take a stream.
  private(set) var acceptFailures: UInt64 = 0

  init(logger: Logger) { self.logger = logger }

  /// Where streams may come in beside the sessions of this local address; nil where none can.
  mutating func endpoint(beside address: Endpoint) -> Endpoint? {
    let key = address.with(port: 0)
    if let known = listeners.first(where: { $0.address == key }) {
      return try? known.listener.localEndpoint()
    }
    guard listeners.count < Self.listenersMax else { return nil }
    do throws(SystemError) {
      let listener = try StreamListener(address: key)
      listeners.append((key, listener))
      return try listener.localEndpoint()
    } catch {
      return nil
    }
  }

  func fileDescriptors(into list: inout WaitList) {
    if pausedUntil == nil {
      for (_, listener) in listeners { list.append(listener.descriptor) }
    }
    for stranger in strangers { list.append(stranger.stream.descriptor) }
  }

  var nextDeadline: UInt64? {
    guard let deadline = strangers.first?.deadline else { return pausedUntil }
    return min(deadline, pausedUntil ?? .max)
  }

  /// Lets streams in and hears what they say; `attach` gets each one that named a registration, and
  /// says whether the word was right.
  mutating func work(
    ready: inout WaitList, now: UInt64,
    attach: (_ registration: UInt32, _ token: UInt64, StreamSocket) -> Bool
  ) -> Int {
    if let until = pausedUntil, now >= until { pausedUntil = nil }
    var work = 0
    for index in listeners.indices where pausedUntil == nil {
      let listener = listeners[index].listener
      guard ready.isReady(descriptor: listener.descriptor) else { continue }
      work += letIn(from: listener, ready: &ready, now: now)
    }
    return work + hearStrangers(ready: &ready, now: now, attach)
  }

  private mutating func letIn(
    from listener: StreamListener, ready: inout WaitList, now: UInt64
  ) -> Int {
    do throws(SystemError) {
      for count in 0..<Self.acceptsMax {
        guard let stream = try listener.accept() else {
          ready.clear(descriptor: listener.descriptor)
          return count
        }
        guard strangers.count < Self.strangersMax else {
          refused += 1
          continue
        }
        strangers.append(
          Stranger(stream: stream, deadline: now + Self.strangerNanosecondsMax))
      }
      return Self.acceptsMax
    } catch {
      if acceptFailures == 0 {
        logger.warning("streams for answers can't be taken now, and are tried later: \(error)")
      }
      acceptFailures += 1
      ready.clear(descriptor: listener.descriptor)
      pausedUntil = now + Self.pauseNanoseconds
      return 0
    }
  }

  private enum Hearing { case waits, attached, refused }

  private mutating func hearStrangers(
    ready: inout WaitList, now: UInt64,
    _ attach: (_ registration: UInt32, _ token: UInt64, StreamSocket) -> Bool
  ) -> Int {
    var work = 0
    var index = 0
    while index < strangers.count {
      let stranger = strangers[index]
      var hearing = Hearing.waits
      if ready.isReady(descriptor: stranger.stream.descriptor) {
        ready.clear(descriptor: stranger.stream.descriptor)
        hearing = hear(stranger.stream, attach)
      }
      if hearing == .waits, now >= stranger.deadline { hearing = .refused }
      switch hearing {
      case .waits:
        index += 1
        continue
      case .attached: work += 1
      case .refused: refused += 1
      }
      strangers.remove(at: index)
    }
    return work
  }

  private func hear(
    _ stream: StreamSocket,
    _ attach: (_ registration: UInt32, _ token: UInt64, StreamSocket) -> Bool
  ) -> Hearing {
    if case .moved = stream.receive() {} else { return .refused }
    guard let header = stream.withReadable({ BasicHeaderSegment($0) }) else { return .waits }
    guard let (registration, token) = MirrorRequest.attached(header) else { return .refused }
    stream.consume(BasicHeaderSegment.byteCount)
    return attach(registration, token, stream) ? .attached : .refused
  }
}
