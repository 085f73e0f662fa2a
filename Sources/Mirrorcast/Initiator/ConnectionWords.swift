// What happens to a connection, in words that name the portal and say what to do.

import Glibc
import ISCSI
import NIOCore
import NIOPosix

extension MirrorcastError {
  /// A connection that could not be opened.
  static func connecting(to portal: String, _ error: any Error) -> MirrorcastError {
    if let error = error as? MirrorcastError { return error }
    guard let error = error as? NIOConnectionError else {
      return connecting(to: portal, cause: error)
    }
    // One of several addresses refused, others may have timed out: the first says most.
    if let cause = error.connectionErrors.first?.error {
      return connecting(to: portal, cause: cause)
    }
    return MirrorcastError(
      "there is no host '\(error.host)'", advice: "Check the name, or give its address.")
  }

  private static func connecting(to portal: String, cause: any Error) -> MirrorcastError {
    if case ChannelError.connectTimeout(let time) = cause {
      return MirrorcastError(
        "\(portal) does not answer within \(time.nanoseconds / 1_000_000_000) s",
        advice: "Check the address, the network between, and firewalls.")
    }
    switch (cause as? IOError)?.errnoCode {
    case ECONNREFUSED:
      return MirrorcastError(
        "\(portal) refuses the connection",
        advice: "Is the target running there? Start it, or correct host and port.")
    case EHOSTUNREACH, ENETUNREACH:
      return MirrorcastError(
        "there is no way to \(portal)", advice: "Check the address and `ip route`.")
    default:
      return MirrorcastError(
        "can't connect to \(portal): \(words(for: cause))",
        advice: "Check host and port, and the target's log.")
    }
  }

  /// A connection that was there and has ended.
  static func lost(_ portal: String, _ reason: String) -> MirrorcastError {
    MirrorcastError(
      "connection to \(portal) lost: \(reason)", advice: "Look at the target's log.")
  }

  /// The operating system's words for an error, where it is one of its own.
  static func words(for error: any Error) -> String {
    guard let error = error as? IOError else { return "\(error)" }
    // Safe: the text is the C library's own, ends with a zero and is copied at once.
    return unsafe strerror(error.errnoCode).map { unsafe String(cString: $0) } ?? "\(error)"
  }
}

extension MirrorcastError {
  /// A login that came to nothing.
  static func login(
    _ failure: LoginFailure, portal: String, request: InitiatorLoginRequest
  ) -> MirrorcastError {
    let target = request.targetName ?? "discovery"
    switch failure {
    case .badAnswer("AuthMethod"):
      return MirrorcastError(
        "\(portal) and this side can't agree on what is proved for \(target)",
        advice: "Give --secrets FILE where the target wants CHAP, and nowhere else.")
    case .unprovedTarget:
      return MirrorcastError(
        "\(portal) does not know the secret by which \(target) is to be known",
        advice: "Is it the right portal? Compare the files of secrets on both sides.")
    case .badAnswer(let key):
      return MirrorcastError(
        "\(portal) answers a login against the standard (\(key))",
        advice: "Is it an iSCSI target? Look at its log.")
    case .refused(_, let place?) where TargetAddress.isValid(place):
      return MirrorcastError(
        "\(target) has moved from \(portal) to \(place)", advice: "Give that portal in the URL.")
    case .refused(let code, _):
      return refused(code, portal: portal, target: target, name: request.identity.name)
    }
  }

  private static func refused(
    _ code: UInt16, portal: String, target: String, name: String
  ) -> MirrorcastError {
    switch LoginStatus(rawValue: code) {
    case .targetNotFound, .targetRemoved:
      MirrorcastError(
        "\(portal) has no target \(target)", advice: "`mirrorcast ls \(portal)` lists them.")
    case .authenticationFailure:
      MirrorcastError(
        "\(portal) wants a proof for \(target) that it didn't get from \(name)",
        advice: "Give --secrets FILE, with the name and the secret that the target has, too.")
    case .authorizationFailure:
      MirrorcastError(
        "\(portal) does not admit \(name) to \(target)",
        advice: "Admit that name and address at the target, or give --initiator-name.")
    case .serviceUnavailable, .outOfResources, .tooManyConnections, .targetError:
      MirrorcastError(
        "\(portal) can't take a session for \(target) now",
        advice: "Try again; when it lasts, look at the target's log and its limits.")
    default:
      MirrorcastError(
        "\(portal) refuses the login to \(target) (status \(hexadecimal(code)))",
        advice: "Look at the target's log.")
    }
  }

  private static func hexadecimal(_ code: UInt16) -> String {
    let digits = String(code, radix: 16)
    return "0x" + String(repeating: "0", count: 4 - digits.count) + digits
  }
}

extension ProtocolViolation {
  /// What the target did, for a person who will look at its log.
  var words: String {
    switch self {
    case .unexpectedOpcode(let opcode): "it sent an unexpected PDU (opcode \(opcode))"
    case .unknownTask(let opcode, let tag):
      "it answered task \(tag), which isn't open (opcode \(opcode))"
    case .dataOutOfPlace(let tag): "its data of task \(tag) does not follow what came before"
    case .badReadyToTransfer(let tag): "it asked for data that task \(tag) does not have"
    case .malformed(let opcode): "it sent a malformed PDU (opcode \(opcode))"
    case .damaged: "what it sent was damaged on the way (a digest is wrong)"
    case .dataSegmentTooLong: "it sent more data in one PDU than was allowed"
    }
  }
}
