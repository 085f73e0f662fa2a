// The daemon: an iSCSI target with all its disks, from the first accept to the last flush.
//
// Its end has an order: nobody new is let in; who is there is asked to log out; what runs is
// finished and answered; the mirror's lanes stop; every disk is flushed, on a worker, and a failure
// of that is the daemon's own failure.

public import Logging
import NIOCore
import NIOPosix
import Replication
import SCSI
public import ServiceLifecycle
import Storage
import Synchronization

/// Serves logical units over iSCSI until it is asked to stop.
public final class TargetDaemon: Service {
  private let configuration: TargetConfiguration
  let logger: Logger
  private let onReady: @Sendable (String) -> Void
  private let directory: TargetDirectory
  private let makeHost: MirrorHostFactory
  private let limits: TargetLimits
  private let register: ConnectionRegister
  private let hasRun = Mutex(false)
  /// Nil while it does not serve.
  let running = Mutex<Running?>(nil)
  /// Who changes what is served: the start, a reload, the end.
  let turns = Turns(isTaken: true)

  /// Opens all disks. `onReady` is called with each portal, as HOST:PORT, once all accept.
  public convenience init(
    _ configuration: TargetConfiguration, logger: Logger,
    onReady: @escaping @Sendable (String) -> Void
  ) throws {
    try self.init(
      configuration, logger: logger,
      makeHost: { try MirrorService.make(configuration, $0, $1) }, onReady: onReady)
  }

  package init(
    _ configuration: TargetConfiguration, logger: Logger,
    makeHost: @escaping MirrorHostFactory, onReady: @escaping @Sendable (String) -> Void
  ) throws {
    self.configuration = configuration
    self.logger = logger
    self.onReady = onReady
    self.makeHost = makeHost
    try configuration.limits.check()
    let disks = configuration.diskDescriptors
    let descriptors = DescriptorLimit.raise(
      to: configuration.limits.descriptorsWanted(disks: disks))
    limits = configuration.limits.fitting(descriptors: descriptors, disks: disks)
    register = ConnectionRegister(limits: limits)
    if limits != configuration.limits {
      logger.warning(
        """
        only \(descriptors) files may be open: \(limits.sessionsMax) sessions and \
        \(limits.loginsMax) logins at once
        """, metadata: ["advice": "raise the hard limit (ulimit -Hn, LimitNOFILE= in a unit)"])
    }
    for warning in configuration.warnings { logger.warning("\(warning)") }
    let targets = try configuration.targets.map { target in
      let units = try target.logicalUnits.map {
        try ServedUnit(
          opening: $0, targetName: target.name, stateFolder: configuration.stateFolder)
      }
      return ServedTarget(
        name: target.name, units: ServedUnits(units),
        admission: try ServedTarget.Admission(target, secrets: configuration.secrets))
    }
    directory = TargetDirectory(
      targets, discovery: try configuration.secrets?.requirement())
  }

  /// What has become of its connections.
  public var connections: ConnectionStatistics { register.statistics }

  /// Serves until graceful shutdown or cancellation; all data is on the medium when it returns.
  public func run() async throws {
    let isFirst = hasRun.withLock { hasRun in
      defer { hasRun = true }
      return !hasRun
    }
    guard isFirst else {
      throw MirrorcastError("a target daemon runs once", advice: "Make another to serve again.")
    }
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let workers = StorageWorkers(queueLengthMax: 4096)
    let outcome: Result<Void, any Error>
    do {
      try await serve(on: group, workers)
      outcome = .success(())
    } catch {
      outcome = .failure(error)
    }
    running.withLock { $0 = nil }
    turns.give()
    workers.stop()
    for unit in directory.targets.flatMap(\.units.list) { unit.keeping.stop() }
    try? await group.shutdownGracefully()
    try outcome.get()
  }

  private func serve(
    on group: MultiThreadedEventLoopGroup, _ workers: StorageWorkers
  ) async throws {
    let host = try makeHost(workers, logger)
    let serving = Serving(
      directory: directory, workers: workers, host: host, register: register,
      log: ConnectionLog(logger), reads: TransferBudget(byteCountMax: limits.readBytesInAllMax),
      writes: TransferBudget(byteCountMax: limits.writeBytesInAllMax),
      recoveries: RecoveryBudget(byteCountMax: limits.recoveryBytesInAllMax), limits: limits)
    // Before anybody can register the disk for a mirror.
    resumeSanitizing(directory.targets.flatMap(\.units.list), on: group, workers)
    startKeeping(directory.targets.flatMap(\.units.list), on: group, workers)
    let portals: [Portal]
    do {
      portals = try await Portal.open(configuration.portals, on: group, serving, logger)
    } catch {
      await host?.stop()
      throw error
    }
    directory.setPortals(portals.compactMap(\.channel.localAddress))
    for portal in portals {
      logger.info("serving", metadata: ["portal": "\(portal.text)"])
    }
    for target in directory.targets {
      logger.info("serving", metadata: ["target": "\(target.name)"])
    }
    running.withLock {
      $0 = Running(
        serving: serving, group: group, portals: portals, configuration: configuration)
    }
    turns.give()
    for portal in portals { onReady(portal.text) }
    // Cancellation ends the wait, too; what follows is the same.
    try? await gracefulShutdown()
    logger.info("stopping")
    // A reload that is under way comes to its end first.
    await turns.take()
    for portal in running.withLock({ $0?.portals ?? [] }) { try? await portal.channel.close() }
    let entries = serving.register.close()
    for entry in entries { entry.port.visit { $0.askToLogOut("the target stops") } }
    for entry in entries { try? await entry.ended.get() }
    await host?.stop()
    try await flushAll(workers)
    logger.info("connections in all", metadata: register.statistics.metadata)
    logger.info("stopped; all data is on the medium")
  }

  /// SBC-3 §4.11: what an earlier life of the daemon has begun is done.
  func resumeSanitizing(
    _ units: [ServedUnit], on group: any EventLoopGroup, _ workers: StorageWorkers
  ) {
    for unit in units {
      guard let request = unit.device.with({ $0.pendingSanitize }) else { continue }
      SanitizeRun(request, of: unit, workers, limits, on: group.next(), logger) { _ in }.resume()
    }
  }

  /// From now on the disks can remember which mirrors they belong to.
  func startKeeping(
    _ units: [ServedUnit], on group: any EventLoopGroup, _ workers: StorageWorkers
  ) {
    for unit in units {
      let loop = group.next()
      if let record = unit.keeping.descriptor.record {
        logger.info(
          "belongs to a mirror",
          metadata: [
            "lun": "\(unit.number.value)", "target": "\(unit.targetName)",
            "mirror": "\(record.name)", "state": "\(record.state)",
            "closed": "\(record.isClosed)",
          ])
      }
      unit.keeping.start(
        UnitKeeping.Shell(workers: workers, logger: logger) { nanoseconds, body in
          loop.scheduleTask(in: .nanoseconds(Int64(clamping: nanoseconds)), body)
        })
    }
  }

  private func flushAll(_ workers: StorageWorkers) async throws {
    var failures: [String] = []
    for unit in directory.targets.flatMap(\.units.list) {
      guard let failure = await Flush.of(unit, by: workers) else { continue }
      failures.append(
        "LUN \(unit.number.value) of \(unit.logicalUnit.identity.targetName): \(failure)")
    }
    guard failures.isEmpty else {
      throw MirrorcastError(
        "not all data is on the medium: " + failures.joined(separator: "; "),
        advice: "Check the disks before you trust what was written last.")
    }
  }
}

extension ConnectionStatistics {
  /// What has been counted, for the log.
  fileprivate var metadata: Logger.Metadata {
    let counters = Swift.Mirror(reflecting: self).children.compactMap { child in
      child.label.flatMap { name in (child.value as? UInt64).map { (name, $0) } }
    }
    return Dictionary(
      uniqueKeysWithValues: counters.filter { $0.1 > 0 }.map { ($0.0, "\($0.1)") })
  }
}
