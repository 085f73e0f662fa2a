internal import CDatagram
internal import Glibc
package import Lanes

/// A TCP address at which streams arrive; non-blocking, owned by one thread.
package final class StreamListener {
  /// Readable when a stream waits.
  package let descriptor: Int32

  /// Listens at an address of this machine; port 0 takes any free one.
  package init(address: Endpoint, waitingMax: Int = 64) throws(SystemError) {
    var raw = address.raw
    // Safe: one endpoint to read.
    descriptor = try SystemError.check(
      unsafe mirrorcast_stream_listen(&raw, Int32(clamping: waitingMax)), "listen at \(address)")
  }

  deinit {
    mirrorcast_close(descriptor)
  }

  /// Where it listens.
  package func localEndpoint() throws(SystemError) -> Endpoint {
    try Endpoint(localOf: descriptor)
  }

  /// The next stream that arrived; nil when none waits. Takes the stream's memory.
  package func accept(
    limits: StreamLimits = StreamLimits(), node: Int? = nil
  ) throws(SystemError) -> StreamSocket? {
    var raw = mirrorcast_endpoint()
    // Safe: one endpoint to fill.
    let result = unsafe mirrorcast_stream_accept(descriptor, &raw)
    if result == -EAGAIN { return nil }
    try SystemError.check(result, "accept a stream")
    guard let peer = Endpoint(raw) else { preconditionFailure("a stream of another family") }
    return try StreamSocket(accepted: result, peer: peer, limits: limits, node: node)
  }
}
