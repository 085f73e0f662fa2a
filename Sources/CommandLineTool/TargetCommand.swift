import ArgumentParser
import Logging
import Mirrorcast
import ServiceLifecycle
import UnixSignals

/// `mirrorcast target`: the daemon that serves LUNs and takes part in mirrors.
struct TargetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "target",
    abstract: "Serve disks over iSCSI, and take mirrored writes by multicast.",
    discussion: """
      Any iSCSI initiator can use the disks; one that knows Mirrorcast can register them in a \
      mirror. A file that isn't there is made, sparse, of the size given.

      Two disks, one in a sparse file and one in memory:
        mirrorcast target --portal 10.0.0.1:3260 --interface eth1 \\
          --iqn iqn.2026-01.org.example:store \\
          --lun 0=file:/srv/disk0.img,size=20G --lun 1=memory:512M

      Several targets, and who may use each, stand in a file, which SIGHUP has read again \
      without a break for those that go on; `mirrorcast check FILE` says what is wrong with it:
        mirrorcast target --config /etc/mirrorcast.yaml

      When it accepts connections, one line 'ready HOST:PORT' for each portal appears on standard \
      output; with port 0 a free port is taken and told there. Logs go to standard error. SIGTERM \
      or SIGINT ends it cleanly, with all data on disk. Mirrored datagrams are not authenticated: \
      use a network that you trust.
      """)

  @Option(
    help: ArgumentHelp(
      """
      A YAML file with all of this, and more: portals, targets, lists, limits. No other option \
      goes with it but --log-level, which wins over the file's.
      """, valueName: "file"))
  var config: String?

  @Option(
    name: .customLong("portal"),
    help: ArgumentHelp(
      "Where to accept: HOST:PORT, [v6]:PORT; give one for each.", valueName: "address"),
    transform: parsing(PortalAddress.init(parsing:)))
  var portals: [PortalAddress] = []

  @Option(help: ArgumentHelp("The target's iSCSI name, iqn.YYYY-MM.domain:name.", valueName: "iqn"))
  var iqn: String?

  @Option(
    name: .customLong("lun"),
    help: ArgumentHelp(
      """
      A disk, N=file:PATH[,size=SIZE], N=device:PATH or N=memory:SIZE, each with \
      [,thin|,thin=writesame|,thick][,removable][,readonly][,block=4096][,physical=512]; give one \
      for each LUN.
      """,
      valueName: "lun"))
  var luns: [String] = []

  @Option(
    help: ArgumentHelp(
      "The interface to join groups on. (default: the one the initiator came in by)",
      valueName: "name"))
  var interface: String?

  @Option(
    help: ArgumentHelp(
      """
      A file of CHAP secrets that nobody else may read: a line 'initiator NAME SECRET [IQN …]' \
      for each that may log in, as these initiators alone (without any: as NAME, where that is an \
      iSCSI name, else as every initiator), and 'target NAME SECRET' for what this target proves \
      when it is asked.
      """, valueName: "file"))
  var secrets: String?

  @Flag(
    name: .customLong("require-secure"),
    help: "Take part in no mirror whose datagrams are not secured ('--secure' of the initiator).")
  var requiresSecurity = false

  @Option(
    name: .customLong("allow"),
    help: ArgumentHelp(
      "The iSCSI name of an initiator that may log in; give one for each. (default: all may)",
      valueName: "iqn"))
  var allowed: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      Where disks keep persistent reservations over a restart. (default: PATH.mirrorcast beside \
      the file of each disk)
      """, valueName: "folder"))
  var state: String?

  @OptionGroup(title: "Lanes")
  var laneArguments: LaneArguments

  @OptionGroup(title: "Faults on purpose")
  var faultArguments: FaultArguments

  @Option(help: "The least severe log lines to show on standard error. (default: info)")
  var logLevel: Logger.Level?

  func validate() throws {
    if config != nil {
      guard isSilent else {
        throw usageError(
          "--config goes with no other option but --log-level",
          advice: "Write the others into the file: 'mirrorcast check FILE' helps.")
      }
      return
    }
    try validateInterface(interface)
    do throws(MirrorcastError) {
      _ = try configuration()
    } catch {
      throw usageError(
        error.what, advice: error.advice ?? "See 'mirrorcast target --help' for the forms.")
    }
  }

  /// Whether nothing is said that a file says.
  private var isSilent: Bool {
    portals.isEmpty && iqn == nil && luns.isEmpty && allowed.isEmpty
      && [interface, secrets, state].allSatisfy { $0 == nil } && !requiresSecurity
      && laneArguments.lanes == LaneOptions() && faultArguments.faults == .none
  }

  private func configuration() throws(MirrorcastError) -> TargetConfiguration {
    guard let iqn, !portals.isEmpty else {
      throw MirrorcastError(
        "\(iqn == nil ? "--iqn" : "--portal") is missing",
        advice: "Give --portal, --iqn and --lun, or a file of all: --config FILE.")
    }
    var target = try TargetDefinition(name: iqn, logicalUnits: luns)
    if !allowed.isEmpty { target.access.initiators = Set(allowed) }
    var configuration = try TargetConfiguration(portals: portals, targets: [target])
    configuration.interface = interface
    configuration.stateFolder = state
    configuration.requiresSecurity = requiresSecurity
    configuration.faults = faultArguments.faults
    configuration.lanes = laneArguments.lanes
    configuration.secrets = try secrets.map { (path) throws(MirrorcastError) in
      try CHAPSecrets(file: path)
    }
    return configuration
  }

  func run() async throws {
    // From the beginning: a signal that comes early must not end the process.
    let hangups = await UnixSignalsSequence(trapping: .sighup)
    let file = try config.map { (path) throws(ConfigurationError) in
      try ConfigurationFile(path: path)
    }
    let level = logLevel ?? file?.logLevel ?? .info
    let logger = Logger(label: "mirrorcast.target") { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = level
      return handler
    }
    let daemon = try TargetDaemon(
      try file?.configuration ?? configuration(), logger: logger
    ) { portal in
      Console.shared.result("ready \(portal)")
    }
    let reload = ReloadService(daemon: daemon, path: config, hangups: hangups, logger: logger)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [
          .init(
            service: daemon, successTerminationBehavior: .gracefullyShutdownGroup,
            failureTerminationBehavior: .cancelGroup),
          .init(service: reload, successTerminationBehavior: .ignore),
        ],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    try await group.run()
  }
}
