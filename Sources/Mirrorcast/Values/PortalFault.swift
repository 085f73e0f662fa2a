import Glibc

/// Why nobody can listen at a portal's address: the words of a check, and of an attempt.
enum PortalFault {
  case noSuchHost
  case noSuchAddress
  case inUse
  case notAllowed

  /// What a failed bind or listen left in errno; nil for what has no words here.
  init?(errno code: Int32) {
    switch code {
    case EADDRINUSE: self = .inUse
    case EADDRNOTAVAIL: self = .noSuchAddress
    case EACCES, EPERM: self = .notAllowed
    default: return nil
    }
  }

  var what: String {
    switch self {
    case .noSuchHost: "no such host"
    case .noSuchAddress: "this machine has no such address"
    case .inUse: "the port is in use"
    case .notAllowed: "not allowed"
    }
  }

  var advice: String {
    switch self {
    case .noSuchHost: "Give an address of this machine, or 0.0.0.0 for all."
    case .noSuchAddress: "'ip -brief address' lists what it has; 0.0.0.0 and \"[::]\" mean all."
    case .inUse: "Stop what uses it ('ss -ltnp' names it), or choose another, 0 for any."
    case .notAllowed: "Ports below 1024 need privileges: choose a higher one."
    }
  }
}
