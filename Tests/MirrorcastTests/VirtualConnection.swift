// A daemon's connection and an initiator's, each on an event loop whose time a test moves: what
// takes half a minute takes none.

import ISCSI
import Logging
import NIOCore
import NIOEmbedded
import SCSI
import Storage

@testable import Mirrorcast

/// A socket that takes nothing as long as a test wants so.
final class Plug: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer
  var isShut = false
  private var held: [(NIOAny, EventLoopPromise<Void>?)] = []

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard isShut else { return context.write(data, promise: promise) }
    held.append((data, promise))
  }

  /// Takes the first of what it has held back.
  func takeOne(_ context: ChannelHandlerContext) {
    guard !held.isEmpty else { return }
    let (data, promise) = held.removeFirst()
    context.writeAndFlush(data, promise: promise)
  }

  var heldCount: Int { held.count }
}

/// A connection of a daemon with one disk in memory, and its initiator's bytes.
final class VirtualTarget {
  static let name = "iqn.2026-01.test:virtual"

  let channel: EmbeddedChannel
  let register: ConnectionRegister
  let serving: Serving
  let plug = Plug()
  let connection: TargetConnection
  private let workers: StorageWorkers
  /// Whose daemon it is, where that is not its own.
  private let first: VirtualTarget?
  private var decoder = FrameDecoder(dataSegmentLengthMax: 1 << 20)
  private var commandNumber: UInt32 = 1

  convenience init(_ limits: TargetLimits = TargetLimits(), host: (any MirrorHost)? = nil) throws {
    let configuration = try TargetConfiguration(
      portal: PortalAddress(parsing: "127.0.0.1:0"), targetName: Self.name,
      logicalUnits: ["0=memory:1M"])
    let definition = configuration.targets[0]
    let units = ServedUnits(
      try definition.logicalUnits.map { try ServedUnit(opening: $0, targetName: Self.name) })
    let target = ServedTarget(
      name: Self.name, units: units, admission: try .init(definition, secrets: nil))
    let workers = StorageWorkers(count: 1)
    let serving = Serving(
      directory: TargetDirectory([target], discovery: nil), workers: workers, host: host,
      register: ConnectionRegister(limits: limits), log: ConnectionLog(TargetScene.logger),
      reads: TransferBudget(byteCountMax: limits.readBytesInAllMax),
      writes: TransferBudget(byteCountMax: limits.writeBytesInAllMax),
      recoveries: RecoveryBudget(byteCountMax: limits.recoveryBytesInAllMax), limits: limits)
    try self.init(serving, EmbeddedEventLoop(), of: nil)
  }

  /// Another connection of the same daemon, on the same event loop.
  convenience init(besides other: VirtualTarget) throws {
    try self.init(other.serving, other.channel.embeddedEventLoop, of: other)
  }

  private init(_ serving: Serving, _ loop: EmbeddedEventLoop, of first: VirtualTarget?) throws {
    self.serving = serving
    self.first = first
    (register, workers) = (serving.register, serving.workers)
    channel = EmbeddedChannel(loop: loop)
    let ticket = try register.admit(from: .v4(1))
    connection = TargetConnection(ticket, channel, serving, TargetScene.logger)
    try channel.pipeline.syncOperations.addHandlers([plug, connection])
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
  }

  deinit {
    _ = try? channel.finish(acceptAlreadyClosed: true)
    if first == nil { workers.stop() }
  }

  var isOpen: Bool { channel.isActive }

  func pass(_ milliseconds: Int64) {
    channel.embeddedEventLoop.advanceTime(by: .milliseconds(milliseconds))
  }

  func send(_ bytes: [UInt8]) throws {
    try channel.writeInbound(ByteBuffer(bytes: bytes))
  }

  func askToLogOut() { connection.askToLogOut("the target stops") }

  func send(_ pdu: PDU) throws { try send(pdu.encoded) }

  /// What the daemon has said since the last call.
  func received() throws -> [PDU] {
    var pdus: [PDU] = []
    while let buffer = try channel.readOutbound(as: ByteBuffer.self) {
      let bytes = Array(buffer.readableBytesView)
      var offset = 0
      while let pdu = try decoder.next(bytes, from: &offset) { pdus.append(pdu) }
    }
    return pdus
  }

  func logIn(_ target: String? = VirtualTarget.name) throws -> UInt16? {
    try send(TargetClient.loginRequest(target, initiator: "iqn.2026-01.test:client", isid: 1))
    return try received().last?.header.loginStatusCode
  }

  /// A logout; 0 ends the session.
  func logOut(reason: UInt8 = 0) throws {
    var header = BasicHeaderSegment(
      opcode: .logoutRequest, flags: 0x80 | reason, isImmediate: true)
    header.initiatorTaskTag = 0x7000_0000
    header.word24 = commandNumber
    try send(PDU(header: header))
  }

  func read(blocks: UInt32, tag: UInt32) throws {
    try command(.read16(BlockRange(address: 0, count: blocks)), 0xc1, blocks, tag)
  }

  /// A WRITE that is to be asked for its data; the R2T that does so.
  func write(blocks: UInt32, tag: UInt32) throws -> BasicHeaderSegment? {
    try command(.write16(BlockRange(address: 0, count: blocks)), 0xa1, blocks, tag)
    return try received().last { $0.header.opcode == .readyToTransfer }?.header
  }

  private func command(
    _ block: CommandDescriptorBlock, _ flags: UInt8, _ blocks: UInt32, _ tag: UInt32
  ) throws {
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: flags)
    header.initiatorTaskTag = tag
    header.word20 = blocks * 512
    header.word24 = commandNumber
    commandNumber += 1
    header.commandDescriptorBlock = block.bytes
    try send(PDU(header: header))
  }

  /// Some data that an R2T has asked for, and not the last of it.
  func sendData(_ byteCount: Int, number: UInt32, for request: BasicHeaderSegment) throws {
    var header = BasicHeaderSegment(opcode: .dataOut, flags: 0)
    header.lun = request.lun
    header.initiatorTaskTag = request.initiatorTaskTag
    header.word20 = request.word20
    header.word36 = number
    header.word40 = number * UInt32(byteCount)
    try send(PDU(header: header, data: [UInt8](repeating: 7, count: byteCount)))
  }
}

/// An initiator's connection, and the machine of a target that answers it when a test says so.
final class VirtualInitiator {
  let channel = EmbeddedChannel()
  let handler: InitiatorHandler
  var target: TargetSession
  var commands: [CommandTask] = []
  /// Requests in the order in which they came.
  var heard: [Opcode?] = []
  /// Why the connection ended, as its owner was told.
  var closed: String? { box.words }
  private let box = Words()
  private var decoder = FrameDecoder(dataSegmentLengthMax: 1 << 20)

  /// What a callback leaves behind; all on one thread.
  final class Words: @unchecked Sendable {
    var words: String?
  }

  init(target name: String? = "iqn.2026-01.test:a") throws {
    let request = InitiatorLoginRequest(
      identity: InitiatorIdentity(name: "iqn.2026-01.test:host"), targetName: name)
    let listing = TargetListing(name: "iqn.2026-01.test:a", portals: ["127.0.0.1:3260,1"])
    target = TargetSession(configuration: .init(targets: [listing], tsih: 1))
    let box = box
    handler = InitiatorHandler(
      portal: "virtual", request: request, configuration: try request.configuration(),
      hooks: ConnectionHooks(onClosed: { box.words = $0 }), loop: channel.eventLoop,
      logger: TargetScene.logger)
    try channel.pipeline.syncOperations.addHandler(handler)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    try settle()
  }

  deinit { _ = try? channel.finish(acceptAlreadyClosed: true) }

  var isOpen: Bool { channel.isActive }

  func pass(_ milliseconds: Int64) {
    channel.embeddedEventLoop.advanceTime(by: .milliseconds(milliseconds))
  }

  /// Bytes cross until both sides are silent; `isDeaf`: the target's host has vanished.
  func settle(isDeaf: Bool = false) throws {
    var isBusy = true
    while isBusy {
      isBusy = false
      while isOpen, let buffer = try channel.readOutbound(as: ByteBuffer.self) {
        let bytes = Array(buffer.readableBytesView)
        var offset = 0
        while let pdu = try decoder.next(bytes, from: &offset) {
          isBusy = true
          heard.append(pdu.header.opcode)
          if !isDeaf { target.handle(pdu) }
        }
      }
      while let event = target.pollEvent() {
        if case .command(let task) = event { commands.append(task) }
      }
      while isOpen, let pdu = target.pollOutput() {
        isBusy = true
        try channel.writeInbound(ByteBuffer(bytes: pdu.encoded))
      }
    }
  }

  /// Sends a command; its end is left in what is returned.
  func submit() -> Words {
    let end = Words()
    let command = InitiatorCommand(
      lun: 0, commandDescriptorBlock: CommandDescriptorBlock.testUnitReady.bytes, transfer: .none)
    handler.submit(
      PendingCommand(command) { result in
        switch result {
        case .success(let outcome): end.words = outcome.text
        case .failure(let error): end.words = error.what
        }
      })
    return end
  }
}
