// What a login settles, RFC 7143 §13, and by which rule: one table for both sides.

/// The values under which a session runs; also the form in which one side states what it wants.
package struct OperationalParameters: Equatable, Sendable {
  package var maxConnections = 1
  package var maxOutstandingR2T = 1
  package var maxBurstLength = 262_144
  package var firstBurstLength = 65_536
  package var defaultTime2Wait = 2
  package var defaultTime2Retain = 20
  package var errorRecoveryLevel = 0
  package var initialR2T = true
  package var immediateData = true
  package var dataPDUInOrder = true
  package var dataSequenceInOrder = true
  /// The longest data segment that the other side takes, in bytes.
  package var sendDataSegmentLengthMax = 8192
  /// The longest data segment that this side takes, in bytes.
  package var receiveDataSegmentLengthMax = 8192
  /// What digests follow in full feature phase; as a wish, what is preferred to none.
  package var digests: Digests = []
  /// The version of the mirror's protocol; nil where the other side doesn't know it.
  package var mirrorVersion: Int?

  /// The values in force before anything is negotiated.
  package init() {}

  /// What we want: long bursts, data unasked, one connection, no recovery within it.
  package static var wanted: OperationalParameters {
    var wanted = OperationalParameters()
    wanted.maxBurstLength = 16_776_192
    wanted.firstBurstLength = 262_144
    wanted.defaultTime2Retain = 0
    wanted.initialR2T = false
    wanted.receiveDataSegmentLengthMax = 262_144
    wanted.mirrorVersion = 1
    return wanted
  }

  /// How much data may come unasked with a command: never more than one burst.
  package var unsolicitedLengthMax: Int { min(firstBurstLength, maxBurstLength) }
}

/// A numeric key: its range and whether the smaller or the larger wish wins.
struct NumericRule: Sendable {
  let key: String
  let range: ClosedRange<Int>
  let takesLarger: Bool
  let path: any WritableKeyPath<OperationalParameters, Int> & Sendable

  init(
    _ key: String, _ range: ClosedRange<Int>, takesLarger: Bool = false,
    _ path: any WritableKeyPath<OperationalParameters, Int> & Sendable
  ) {
    self.key = key
    self.range = range
    self.takesLarger = takesLarger
    self.path = path
  }

  // RFC 7143 §13, the result function of each key.
  static let all = [
    NumericRule("MaxConnections", 1...65_535, \.maxConnections),
    NumericRule("MaxOutstandingR2T", 1...65_535, \.maxOutstandingR2T),
    NumericRule("MaxBurstLength", 512...16_777_215, \.maxBurstLength),
    NumericRule("FirstBurstLength", 512...16_777_215, \.firstBurstLength),
    NumericRule("DefaultTime2Wait", 0...3600, takesLarger: true, \.defaultTime2Wait),
    NumericRule("DefaultTime2Retain", 0...3600, \.defaultTime2Retain),
    NumericRule("ErrorRecoveryLevel", 0...2, \.errorRecoveryLevel),
  ]
}

/// A key of Yes and No: either side's Yes wins, or it needs both.
struct BooleanRule: Sendable {
  let key: String
  let needsBoth: Bool
  let path: any WritableKeyPath<OperationalParameters, Bool> & Sendable

  static let all = [
    BooleanRule(key: "InitialR2T", needsBoth: false, path: \.initialR2T),
    BooleanRule(key: "ImmediateData", needsBoth: true, path: \.immediateData),
    BooleanRule(key: "DataPDUInOrder", needsBoth: false, path: \.dataPDUInOrder),
    BooleanRule(key: "DataSequenceInOrder", needsBoth: false, path: \.dataSequenceInOrder),
  ]
}

/// Names and values of digests, RFC 7143 §13.1.
enum DigestKey {
  static let header = "HeaderDigest"
  static let data = "DataDigest"
  static let crc32c = "CRC32C"
}

/// Names of keys that more than one place must spell alike.
package enum KeyName {
  package static let initiatorName = "InitiatorName"
  package static let targetName = "TargetName"
  package static let targetAddress = "TargetAddress"
  package static let sessionType = "SessionType"
  package static let authMethod = "AuthMethod"
  package static let sendTargets = "SendTargets"
  package static let portalGroupTag = "TargetPortalGroupTag"
  package static let receiveLength = "MaxRecvDataSegmentLength"
  package static let mirrorPrefix = "X-org.mirrorcast."
  package static let mirrorVersion = "X-org.mirrorcast.version"
}

/// Discovery sessions only list targets; Normal ones carry commands.
package enum SessionType: String, Sendable {
  case discovery = "Discovery"
  case normal = "Normal"
}

/// Who logged in where, and under which values.
package struct SessionDescription: Sendable {
  package var type = SessionType.normal
  package var initiatorName = ""
  package var targetName: String?
  /// The initiator's session identifier, 48 bits.
  package var isid: UInt64 = 0
  /// The target's session identifying handle.
  package var tsih: UInt16 = 0
  package var connectionID: UInt16 = 0
  package var parameters = OperationalParameters()
  /// What the initiator has proved by CHAP that it knows; nil: nothing was asked for.
  package var provedSecret: ProvedSecret?
}

/// A secret that both sides of a session know; no log ever shows it.
package struct ProvedSecret: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
  package let bytes: [UInt8]
  package var description: String { "a secret" }
  package var customMirror: Mirror { Mirror(self, children: []) }
}
