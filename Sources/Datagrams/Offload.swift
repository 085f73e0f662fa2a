package import Lanes

/// Whether the kernel cuts trains up (or couples them) for a socket, and if it doesn't, why.
package enum Offload: Equatable, Sendable, CustomStringConvertible {
  case on
  /// The caller wanted none.
  case off
  /// The kernel refused it when it was asked for.
  case unavailable(SystemError)
  /// It was there and failed in use; the socket goes on without.
  case failed(SystemError)

  package var description: String {
    switch self {
    case .on: "on"
    case .off: "off"
    case .unavailable(let error): "unavailable (\(error))"
    case .failed(let error): "failed (\(error))"
    }
  }
}

/// What a caller wants of an offload.
package enum OffloadPolicy: Equatable, Sendable {
  /// Use it where it is, go on without where it isn't or fails.
  case automatic
  case off
  /// Behave as if the kernel refused it when it is first used: to see the way without it.
  case failsAtFirstUse
}
