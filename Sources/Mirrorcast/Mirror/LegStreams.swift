// The answers of the legs, on streams that the lane owns: a small write's answer need not wait for
// two event loops to wake up. A stream is a shortcut and no more. What it loses is asked for again
// on the session, as any answer is that does not come; where none can be had, answers come by the
// session.
import Bytes
import Datagrams
import ISCSI
import Lanes
import Logging
import Replication

/// Where a leg offers a stream for its answers, and the word that opens it.
struct AnswerOffer: Sendable {
  var endpoint: Endpoint
  var token: UInt64
}

/// An initiator's streams, by leg.
struct LegStreams {
  /// What became of a look at a stream.
  enum Piece { case header(BasicHeaderSegment, dataLength: Int), nothing }

  /// One leg's stream.
  private struct Stream {
    let socket: StreamSocket
    let token: UInt64
    var isConnected = false
  }

  private let registration: UInt32
  private let logger: Logger
  private var streams: [Stream?] = []
  /// Legs whose stream was lost: what they had said may be lost with it.
  var lost: LegSet = []
  /// That streams end is what is wanted, and no news.
  var isEnding = false

  init(registration: UInt32, logger: Logger) {
    self.registration = registration
    self.logger = logger
  }

  var indices: Range<Int> { streams.indices }

  /// Begins to connect, where the leg offers a stream.
  mutating func open(_ offer: AnswerOffer?, ofLeg leg: Int) {
    while streams.count <= leg { streams.append(nil) }
    guard let offer else { return }
    do throws(SystemError) {
      let socket = try StreamSocket(connectingTo: offer.endpoint)
      streams[leg] = Stream(socket: socket, token: offer.token)
    } catch {
      logger.notice("a leg's answers come by its session: \(error)", metadata: ["leg": "\(leg)"])
    }
  }

  mutating func close(_ leg: Int) {
    if leg < streams.count { streams[leg] = nil }
  }

  func descriptor(_ leg: Int) -> Int32? { streams[leg]?.socket.descriptor }

  func fileDescriptors(into list: inout WaitList) {
    for stream in streams {
      guard let stream else { continue }
      list.append(
        stream.socket.descriptor, wantsWrite: !stream.isConnected || stream.socket.wantsWrite)
    }
  }

  /// Takes in what has come for a leg; how many bytes are new.
  mutating func receive(_ leg: Int) -> Int {
    guard let stream = streams[leg] else { return 0 }
    guard stream.isConnected || connect(leg, stream) else { return 0 }
    switch stream.socket.receive() {
    case .moved(let count): return count
    case .full: return 0
    case .ended: drop(leg, "closed")
    case .failed(let error): drop(leg, "\(error)")
    }
    return 0
  }

  private mutating func connect(_ leg: Int, _ stream: Stream) -> Bool {
    switch stream.socket.finishConnecting() {
    case .moved(0): return false
    case .moved: break
    case .failed(let error):
      drop(leg, "\(error)")
      return false
    case .ended, .full:
      drop(leg, "closed")
      return false
    }
    streams[leg]?.isConnected = true
    let header = MirrorRequest.attach(registration: registration, token: stream.token)
    // Safe: the span over the array ends with the statement.
    let isTaken = unsafe stream.socket.append(header.array.span.bytes)
    precondition(isTaken, "a new stream has room for a header")
    if case .failed(let error) = stream.socket.flush() { drop(leg, "\(error)") }
    return true
  }

  /// The header of the next whole PDU, its data behind it; the caller consumes it with `consume`.
  mutating func next(_ leg: Int) -> Piece {
    guard let stream = streams[leg], stream.isConnected else { return .nothing }
    let header = stream.socket.withReadable { BasicHeaderSegment($0) }
    guard let header else { return .nothing }
    let length = BasicHeaderSegment.byteCount + PDU.padded(header.dataSegmentLength)
    guard header.totalAHSLength == 0, length <= stream.socket.limits.inboundByteCountMax else {
      drop(leg, "a PDU of \(length) bytes")
      return .nothing
    }
    let isWhole = stream.socket.withReadable { $0.byteCount >= length }
    return isWhole ? .header(header, dataLength: header.dataSegmentLength) : .nothing
  }

  /// The data of the PDU whose header `next` gave; meaningful until `consume`.
  @unsafe func data(_ leg: Int, count: Int) -> UnsafeRawBufferPointer {
    // Safe: `next` saw that the whole PDU is readable; the slice is checked.
    guard let stream = streams[leg] else {
      return unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }
    let start = BasicHeaderSegment.byteCount
    return unsafe UnsafeRawBufferPointer(
      rebasing: stream.socket.readableBytes[start..<start + count])
  }

  func consume(_ leg: Int, dataLength: Int) {
    streams[leg]?.socket.consume(BasicHeaderSegment.byteCount + PDU.padded(dataLength))
  }

  private mutating func drop(_ leg: Int, _ why: String) {
    streams[leg] = nil
    lost.insert(LegSet(leg))
    guard !isEnding else { return }
    logger.notice(
      "a leg's answers come by its session from now on",
      metadata: ["leg": "\(leg)", "why": "\(why)"])
  }
}
