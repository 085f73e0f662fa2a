// A TCP connection that a lane owns, for small messages that must not wait for another thread:
//
//   stream.append(message)   as often as there is room, then
//   stream.flush()           once a cycle: one send for all of them
//   stream.receive()         once a cycle, or when it is readable; then look and consume:
//   stream.readable          what has come and was not consumed
//
// Two buffers of fixed length, taken at the start. What is left moves to a buffer's front when its
// end is reached: messages are short, so that is a few bytes now and then.

internal import CDatagram
internal import Glibc
package import Lanes

/// What a stream may take of memory and patience.
package struct StreamLimits: Equatable, Sendable {
  package var outboundByteCountMax = 64 << 10
  package var inboundByteCountMax = 64 << 10
  /// How long the peer's machine may be silent before the stream fails.
  package var silenceSecondsMax = 30

  package init() {}
}

/// What became of one send or receive.
package enum StreamProgress: Equatable, Sendable {
  /// So many bytes moved; 0: nothing to do, or it would block.
  case moved(Int)
  /// The peer sends no more, and all that it sent was received.
  case ended
  /// The inbound buffer has no room: consume first.
  case full
  case failed(SystemError)
}

/// A non-blocking TCP stream with its buffers, owned by one thread; it is closed with its owner.
@safe
package final class StreamSocket {
  private enum State {
    case connecting
    case open
    case failed(SystemError)
  }

  package let descriptor: Int32
  package let peer: Endpoint
  package let limits: StreamLimits
  private var state: State
  private var hasEnded = false
  private let pages: Pages
  // What lies in each buffer, as offsets from its start.
  private var outbound = 0..<0
  private var inbound = 0..<0

  /// Takes over a socket, connected or about to be; it is closed also when this fails.
  private init(
    _ descriptor: Int32, peer: Endpoint, limits: StreamLimits, node: Int?, state: State
  ) throws(SystemError) {
    precondition(
      limits.outboundByteCountMax > 0 && limits.inboundByteCountMax > 0
        && limits.silenceSecondsMax > 0, "a stream without room or patience")
    self.descriptor = descriptor
    self.peer = peer
    self.limits = limits
    self.state = state
    pages = Pages.taken(
      byteCount: limits.outboundByteCountMax + limits.inboundByteCountMax, node: node)
    // From here on deinit closes the descriptor.
    try SystemError.check(
      mirrorcast_stream_set_silence(descriptor, Int32(clamping: limits.silenceSecondsMax)),
      "set up a stream")
  }

  deinit {
    mirrorcast_close(descriptor)
  }

  /// One that a listener accepted.
  convenience init(
    accepted descriptor: Int32, peer: Endpoint, limits: StreamLimits, node: Int?
  ) throws(SystemError) {
    try self.init(descriptor, peer: peer, limits: limits, node: node, state: .open)
  }

  /// Begins to connect, from an address of this machine where one is given. Whether the peer can be
  /// reached shows later, by `finishConnecting()`, when the stream is writable.
  package convenience init(
    connectingTo peer: Endpoint, from local: Endpoint? = nil,
    limits: StreamLimits = StreamLimits(), node: Int? = nil
  ) throws(SystemError) {
    var from = (local ?? Endpoint(any: peer.family)).raw
    var to = peer.raw
    // Safe: one endpoint to read for each call.
    let descriptor = try SystemError.check(
      unsafe mirrorcast_stream_open(&from), "open a stream")
    try self.init(descriptor, peer: peer, limits: limits, node: node, state: .connecting)
    let result = unsafe mirrorcast_connect(descriptor, &to)
    if result == 0 {
      state = .open
    } else if result != -EINPROGRESS {
      fail("connect", result)
    }
  }

  /// Whether the stream is connected: moved(1); moved(0) while that isn't known.
  package func finishConnecting() -> StreamProgress {
    switch state {
    case .open: return .moved(1)
    case .failed(let error): return .failed(error)
    case .connecting: break
    }
    let result = mirrorcast_stream_connected(descriptor)
    if result < 0 { return fail("connect", result) }
    if result > 0 { state = .open }
    return .moved(Int(result))
  }

  @discardableResult
  private func fail(_ doing: String, _ result: Int32) -> StreamProgress {
    let error = SystemError(doing: doing, number: -result)
    state = .failed(error)
    return .failed(error)
  }

  /// Where this end is.
  package func localEndpoint() throws(SystemError) -> Endpoint {
    try Endpoint(localOf: descriptor)
  }
}

// MARK: Out

extension StreamSocket {
  /// How many bytes wait to be sent.
  package var waitingByteCount: Int { outbound.count }
  /// Whether the lane should wait for the stream to become writable.
  package var wantsWrite: Bool {
    switch state {
    case .connecting: true
    case .open: !outbound.isEmpty
    case .failed: false
    }
  }

  /// Puts a message behind those that wait; false, and nothing of it, when there is no room.
  package func append(_ bytes: RawSpan) -> Bool {
    let count = bytes.byteCount
    let capacity = limits.outboundByteCountMax
    guard count <= capacity - outbound.count else { return false }
    // Safe: there is room behind what waits, at the latest when that is in front.
    if outbound.upperBound + count > capacity {
      outbound = unsafe moveToFront(outbound, at: pages.start)
    }
    unsafe bytes.withUnsafeBytes {
      unsafe UnsafeMutableRawBufferPointer(
        start: pages.start + outbound.upperBound, count: count
      ).copyMemory(from: $0)
    }
    outbound = outbound.lowerBound..<outbound.upperBound + count
    return true
  }

  /// Sends what waits, by one call; what doesn't go stays.
  package func flush() -> StreamProgress {
    if case .failed(let error) = state { return .failed(error) }
    guard case .open = state, !outbound.isEmpty else { return .moved(0) }
    // Safe: `outbound` lies within the outbound buffer.
    let result = unsafe mirrorcast_stream_send(
      descriptor, pages.start + outbound.lowerBound, outbound.count)
    if result == -Int(EAGAIN) { return .moved(0) }
    if result < 0 { return fail("send on a stream", Int32(result)) }
    outbound = outbound.dropFirst(result)
    if outbound.isEmpty { outbound = 0..<0 }
    return .moved(result)
  }

  private func moveToFront(_ range: Range<Int>, at start: UnsafeMutableRawPointer) -> Range<Int> {
    // Safe: the range lies within the buffer that starts there; the places may overlap.
    unsafe memmove(start, start + range.lowerBound, range.count)
    return 0..<range.count
  }
}

// MARK: In

extension StreamSocket {
  /// Takes in what has come, by one call, as much as there is room for.
  package func receive() -> StreamProgress {
    if case .failed(let error) = state { return .failed(error) }
    guard case .open = state else { return .moved(0) }
    if hasEnded { return .ended }
    let capacity = limits.inboundByteCountMax
    guard inbound.count < capacity else { return .full }
    // Safe: what is free behind `inbound` lies within the inbound buffer.
    let start = unsafe pages.start + limits.outboundByteCountMax
    if inbound.upperBound == capacity || inbound.lowerBound > capacity / 2 {
      inbound = unsafe moveToFront(inbound, at: start)
    }
    let result = unsafe mirrorcast_stream_receive(
      descriptor, start + inbound.upperBound, capacity - inbound.upperBound)
    if result == -Int(EAGAIN) { return .moved(0) }
    if result < 0 { return fail("receive on a stream", Int32(result)) }
    if result == 0 {
      hasEnded = true
      return .ended
    }
    inbound = inbound.lowerBound..<inbound.upperBound + result
    return .moved(result)
  }

  /// What has come and was not consumed; meaningful until the next `receive` or `consume`.
  @unsafe package var readableBytes: UnsafeRawBufferPointer {
    // Safe: `inbound` lies within the inbound buffer.
    unsafe UnsafeRawBufferPointer(
      start: pages.start + limits.outboundByteCountMax + inbound.lowerBound, count: inbound.count)
  }

  /// Lends what has come and was not consumed.
  package func withReadable<Result, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Safe: the span can't escape, and the stream outlives the call.
    try body(unsafe readableBytes.bytes)
  }

  /// Drops bytes from the front of what is readable.
  package func consume(_ byteCount: Int) {
    precondition(byteCount >= 0 && byteCount <= inbound.count, "more consumed than had come")
    inbound = inbound.dropFirst(byteCount)
    if inbound.isEmpty { inbound = 0..<0 }
  }
}
