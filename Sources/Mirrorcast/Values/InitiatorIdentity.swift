/// Who an initiator says it is, and how it proves that.
public struct InitiatorIdentity: Sendable {
  /// The iSCSI name under which sessions log in, RFC 7143 §4.2.7.
  public var name: String
  /// The secrets of both sides, for targets that want CHAP; nil: nothing can be proved.
  public var secrets: CHAPSecrets?

  public init(name: String, secrets: CHAPSecrets? = nil) {
    self.name = name
    self.secrets = secrets
  }
}
