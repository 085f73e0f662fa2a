// A mirror whose every byte the test says: a session on a plain socket, registered by the patent's
// text, and a plain UDP socket for its datagrams.

import ISCSI
import Replication
import SCSI
import Testing

@testable import Mirrorcast

/// One initiator's registration of LUNs of a scene's first target.
final class LiteralMirror {
  static let virtualLUN = 5

  let client: TargetClient
  private let group: String
  private let sender: PlainSender
  private let maker = DatagramMaker(
    registration: 0x504c_0000 + UInt32(virtualLUN), virtualLUN: UInt16(virtualLUN))
  private var number: UInt32 = 0

  /// - Parameter first: the CmdSN of the session's first command.
  init(_ scene: MirrorScene, luns: String = "0", first: UInt32 = 1) throws {
    group = scene.group.address
    sender = try PlainSender()
    let target = scene.targets[0]
    client = try TargetClient(port: try target.port)
    let keys = ["X-org.mirrorcast.version=1"]
    #expect(try client.logIn(target.name, initiator: initiator, keys: keys, first: first) == 0)
    let text = "Command=register\0multicast_group_ip=\(group)\0lun_map=(\(luns),5)\0"
    try client.send(client.request(.textRequest, data: Array(text.utf8)).encoded)
    let answer = try #require(try client.receive())
    let granted = String(decoding: answer.data, as: UTF8.self)
    try #require(granted.contains("result=registered"), "\(granted)")
  }

  /// How a mirrored write ended.
  struct Ended {
    let status: UInt8
    let sense: [UInt8]
    /// What was said of each LUN where not all was GOOD.
    var units: [UnitStatus] = []
    var words: [UInt8] { sense.count > 13 ? [sense[2], sense[12], sense[13]] : [] }
  }

  /// Sends a write's command; its data, too, where that fits one datagram.
  @discardableResult
  func sendCommand(_ data: [UInt8], at block: UInt64) -> UInt32 {
    defer { number += 1 }
    sender.send(maker.command(number, block: block, data), to: group, port: 5000)
    return number
  }

  /// Begins a write of more than a datagram, as far as the leg's R2T.
  func begin(_ data: [UInt8], at block: UInt64) throws -> UInt32 {
    let number = sendCommand(data, at: block)
    let ready = try next()
    #expect(ready.header.opcode == .readyToTransfer)
    #expect(ready.header.initiatorTaskTag == Self.tag(number))
    return number
  }

  /// Sends a write's data: all of it, or some blocks.
  func sendData(_ number: UInt32, _ data: [UInt8], blocks: Range<Int>? = nil) {
    let datagrams = maker.data(number, data)
    for datagram in datagrams[blocks ?? 0..<datagrams.count] {
      sender.send(datagram, to: group, port: 5000)
    }
  }

  /// The end of a write.
  func end(of number: UInt32) throws -> Ended {
    var pdu = try next()
    var units: [UnitStatus] = []
    if pdu.header.opcode == .mirrorStatuses {
      #expect(pdu.header.word36 == number)
      units = try UnitStatus.parse(pdu.data.span.bytes)
      pdu = try next()
    }
    #expect(pdu.header.opcode == .scsiResponse)
    #expect(pdu.header.initiatorTaskTag == Self.tag(number))
    return Ended(status: pdu.header.byte3, sense: Array(pdu.data.dropFirst(2)), units: units)
  }

  /// A whole write of at most a datagram.
  func write(_ data: [UInt8], at block: UInt64) throws -> Ended {
    try end(of: sendCommand(data, at: block))
  }

  /// The next PDU that is no report: these come where a machine is slow between two datagrams.
  func next() throws -> PDU {
    while true {
      let pdu = try #require(try client.receive())
      let isReport = pdu.header.opcode == .mirrorAnswer && pdu.header.flags & 0x7f == 0
      if !isReport { return pdu }
    }
  }

  static func tag(_ number: UInt32) -> UInt32 { Datagram.taskTag(of: .init(number)) }
}

extension SceneTarget {
  /// Where the daemon listens at 127.0.0.1.
  var port: Int {
    get throws { try #require(portal.split(separator: ":").last.flatMap { Int($0) }) }
  }

  /// Another initiator's session.
  func client(_ name: String = "iqn.2026-01.test:other") throws -> TargetClient {
    let client = try TargetClient(port: try port)
    #expect(try client.logIn(self.name, initiator: name) == 0)
    return client
  }
}

extension TargetClient {
  /// The request for a task management function.
  func management(
    _ function: TaskManagementFunction, lun: Int = 0, tag: UInt32 = reservedTag
  ) -> PDU {
    var request = request(
      .taskManagementRequest, flags: 0x80 | function.rawValue, lun: lunField(lun))
    request.header.word20 = tag
    return request
  }

  /// Asks for a function; the response.
  func manage(
    _ function: TaskManagementFunction, lun: Int = 0, tag: UInt32 = reservedTag
  ) throws -> UInt8? {
    try send(management(function, lun: lun, tag: tag).encoded)
    let answer = try receive()?.header
    #expect(answer?.opcode == .taskManagementResponse)
    return answer?.byte2
  }

  /// PERSISTENT RESERVE OUT; its status.
  func reserve(
    _ action: UInt8, type: UInt8 = 0, key: UInt64 = 0, new: UInt64 = 0
  ) throws -> UInt8 {
    var block = CommandDescriptorBlock(.persistentReserveOut)
    block[1] = action
    block[2] = type
    block[8] = 24
    var data: [UInt8] = []
    data.appendBigEndian(key)
    data.appendBigEndian(new)
    return try run(block, data: data + [UInt8](repeating: 0, count: 8)).status
  }

  /// Sets the control mode page.
  func setControl(descriptors: Bool = false, writeProtected: Bool = false) throws -> UInt8 {
    var select = CommandDescriptorBlock(.modeSelect6)
    select[1] = 0x10
    select[4] = 16
    var page: [UInt8] = [0, 0, 0, 0, 0x0a, 0x0a, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0]
    page[6] = descriptors ? 4 : 0
    page[8] = writeProtected ? 8 : 0
    return try run(select, data: page).status
  }
}
