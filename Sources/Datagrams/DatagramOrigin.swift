/// Whose datagrams a receiver takes.
package enum DatagramOrigin: Equatable, Sendable {
  /// An address and port; port 0 stands for any, where the sender has named none.
  case socket(Endpoint)
  /// A queue pair: exactly its GID and number.
  case queuePair(Endpoint)

  /// Whether a datagram from there is one of them.
  package func admits(_ source: Endpoint) -> Bool {
    switch self {
    case .socket(let own):
      own.port == 0 ? source.with(port: 0).matches(own) : source.matches(own)
    case .queuePair(let own): source == own
    }
  }
}
