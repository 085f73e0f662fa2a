import ISCSI

/// Whom a daemon lets in, as each of its sessions is told.
struct Admission: Sendable {
  /// By name; nil: everybody.
  let initiators: Set<String>?
  /// What is to be proved; nil: nothing.
  let requirement: CHAPRequirement?

  init(_ configuration: TargetConfiguration) throws(MirrorcastError) {
    initiators = configuration.initiators
    requirement = try configuration.secrets?.requirement()
  }
}
