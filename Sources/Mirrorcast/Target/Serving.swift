import Storage

/// What all connections of a daemon share.
struct Serving: Sendable {
  let directory: TargetDirectory
  let workers: StorageWorkers
  let host: (any MirrorHost)?
  let register: ConnectionRegister
  let log: ConnectionLog
  /// Memory for data on its way from disks, and to them.
  let reads: TransferBudget
  let writes: TransferBudget
  /// Memory for what was sent and may be asked for again.
  let recoveries: RecoveryBudget
  let contention = ContentionWatch()
  let limits: TargetLimits

  /// Whether ordinary commands may not change what is on that disk's medium.
  func isMirrored(_ unit: ServedUnit) -> Bool {
    unit.keeping.isKept || host?.isMirrored(unit) ?? false
  }
}
