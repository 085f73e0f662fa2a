import Datagrams
import Logging
import Replication

/// Datagrams that no registration took, by reason; strangers are named once each.
struct DatagramDrops {
  static let namedMax = 64

  var truncated: UInt64 = 0
  var socketErrors: UInt64 = 0
  private(set) var malformed: [DatagramFault: UInt64] = [:]
  private(set) var unknownRegistration: UInt64 = 0
  private(set) var wrongSource: UInt64 = 0
  private var named: Set<UInt32> = []

  mutating func count(_ fault: DatagramFault) {
    malformed[fault, default: 0] += 1
  }

  /// Another mirror on the same group is no error, but who looks for a fault wants to know.
  mutating func noteUnknown(_ registration: UInt32, from source: Endpoint, _ logger: Logger) {
    unknownRegistration += 1
    guard named.count < Self.namedMax, named.insert(registration).inserted else { return }
    logger.notice(
      "datagrams of another mirror on this group",
      metadata: ["registration": "\(hexadecimal(registration))", "source": "\(source)"])
  }

  mutating func noteStranger(_ registration: UInt32, from source: Endpoint, _ logger: Logger) {
    wrongSource += 1
    guard named.count < Self.namedMax, named.insert(~registration).inserted else { return }
    logger.warning(
      "datagrams that claim a registration but come from elsewhere are dropped",
      metadata: ["registration": "\(hexadecimal(registration))", "source": "\(source)"])
  }

  /// What was dropped and who was not let in, for a log line; empty when there was nothing.
  func summary(
    of ports: borrowing GroupPorts, _ answerPort: borrowing AnswerPort
  ) -> Logger.Metadata {
    var metadata: Logger.Metadata = [:]
    for (fault, count) in malformed { metadata["\(fault)"] = "\(count)" }
    for (reason, count) in [
      ("truncated", truncated), ("unknownRegistration", unknownRegistration),
      ("wrongSource", wrongSource), ("socketErrors", socketErrors),
      ("forWantOfBuffer", ports.ports.reduce(0) { $0 + UInt64($1.port.dropCount ?? 0) }),
      ("streamsRefused", answerPort.refused), ("acceptFailures", answerPort.acceptFailures),
    ] where count > 0 {
      metadata[reason] = "\(count)"
    }
    return metadata
  }
}
