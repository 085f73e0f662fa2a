// A target's side of the answer streams: one listener on the lane for each address that sessions
// come in by, and the streams that were opened there. Who connects has to say which registration it
// is and the random word that the registration's grant told over its session; until then it is
// nobody: few are let in, for a short time, and nothing is sent to them.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Replication

/// The streams of one target's lane.
struct AnswerPort: ~Copyable {
  static let listenersMax = 8
  /// Streams that have not said who they are.
  static let strangersMax = 16
  static let descriptorsMax = listenersMax + strangersMax
  static let strangerNanosecondsMax: UInt64 = 5_000_000_000

  /// A stream that has not said who it is.
  private struct Stranger {
    let stream: StreamSocket
    let deadline: UInt64
  }

  private var listeners: [(address: Endpoint, listener: StreamListener)] = []
  private var strangers: [Stranger] = []
  private(set) var refused: UInt64 = 0

  init() {}

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
    for (_, listener) in listeners {
      list.append(listener.descriptor)
    }
    for stranger in strangers {
      list.append(stranger.stream.descriptor)
    }
  }

  var nextDeadline: UInt64? { strangers.map(\.deadline).min() }

  /// Lets streams in and hears what they say; `attach` gets each one that named a registration, and
  /// says whether the word was right.
  mutating func work(
    ready: WaitList, now: UInt64,
    attach: (_ registration: UInt32, _ token: UInt64, StreamSocket) -> Bool
  ) -> Int {
    var work = 0
    for (_, listener) in listeners where ready.isReady(descriptor: listener.descriptor) {
      while let stream = try? listener.accept() {
        work += 1
        guard strangers.count < Self.strangersMax else {
          refused += 1
          continue
        }
        strangers.append(
          Stranger(stream: stream, deadline: now + Self.strangerNanosecondsMax))
      }
    }
    guard !strangers.isEmpty else { return work }
    var staying: [Stranger] = []
    for stranger in strangers {
      switch hear(stranger, now: now, attach) {
      case .waits: staying.append(stranger)
      case .attached: work += 1
      case .refused: refused += 1
      }
    }
    strangers = staying
    return work
  }

  private enum Hearing { case waits, attached, refused }

  private func hear(
    _ stranger: Stranger, now: UInt64,
    _ attach: (_ registration: UInt32, _ token: UInt64, StreamSocket) -> Bool
  ) -> Hearing {
    if case .moved = stranger.stream.receive() {} else { return .refused }
    guard let header = stranger.stream.withReadable({ BasicHeaderSegment($0) }) else {
      return now < stranger.deadline ? .waits : .refused
    }
    guard let (registration, token) = MirrorRequest.attached(header) else { return .refused }
    stranger.stream.consume(BasicHeaderSegment.byteCount)
    return attach(registration, token, stranger.stream) ? .attached : .refused
  }
}
