// An initiator of a few lines on a plain blocking socket, so that a test says every byte itself,
// the wrong ones included. A wait ends after a minute at most, with a failure.

import Glibc
import ISCSI
import SCSI

/// What the client could not do.
struct TargetClientError: Error {
  let words: String
}

/// One connection to a daemon, used by one test.
final class TargetClient {
  private let socket: Int32
  private var decoder = FrameDecoder(dataSegmentLengthMax: 1 << 24)
  private var bytes: [UInt8] = []
  private var offset = 0
  private var taskTag: UInt32 = 0
  private var commandNumber: UInt32 = 1
  private var isClosed = false

  /// Connects to 127.0.0.1, from another address of the loopback where one is told.
  init(port: Int, from source: UInt32 = 0x7f00_0001) throws {
    socket = Glibc.socket(
      AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var limit = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    let descriptor = socket
    _ = Self.address(source, 0) { bind(descriptor, $0, $1) }
    let result = Self.address(0x7f00_0001, port) { connect(descriptor, $0, $1) }
    guard result == 0 else { throw TargetClientError(words: "connect: errno \(errno)") }
  }

  private static func address(
    _ host: UInt32, _ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = host.bigEndian
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  deinit { close() }

  // MARK: Bytes

  func send(_ data: [UInt8]) throws {
    var sent = 0
    while sent < data.count {
      let count = data[sent...].withUnsafeBytes {
        Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw TargetClientError(words: "send: errno \(errno)") }
      sent += count
    }
  }

  /// The next PDU; nil when the daemon has closed.
  func receive() throws -> PDU? {
    while true {
      if let pdu = try decoder.next(bytes, from: &offset) { return pdu }
      bytes = [UInt8](repeating: 0, count: 65_536)
      offset = 0
      let count = recv(socket, &bytes, bytes.count, 0)
      bytes.removeLast(bytes.count - max(count, 0))
      if count == 0 || count < 0 && errno == ECONNRESET { return nil }
      guard count > 0 else { throw TargetClientError(words: "recv: errno \(errno)") }
    }
  }

  /// Whether something has come that was not received, be it the end.
  var hasInput: Bool {
    var wanted = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    return offset < bytes.count || poll(&wanted, 1, 0) > 0
  }

  /// Reads to the end of the connection; throws when it does not come.
  func expectEnd() throws {
    while try receive() != nil {}
  }

  /// As when the process is killed: no logout, a reset where data is still on its way.
  func close() {
    if !isClosed { Glibc.close(socket) }
    isClosed = true
  }

  // MARK: Requests

  static func loginRequest(
    _ targetName: String?, initiator: String, isid: UInt64, keys more: [String] = []
  ) -> PDU {
    var header = BasicHeaderSegment(opcode: .loginRequest, flags: 0x87, isImmediate: true)
    header.isid = isid
    header.word24 = 1
    let type = targetName.map { "TargetName=\($0)" } ?? "SessionType=Discovery"
    let text =
      ["InitiatorName=\(initiator)", type, "MaxBurstLength=16776192", "InitialR2T=No"] + more
    return PDU(header: header, data: text.flatMap { Array($0.utf8) + [0] })
  }

  /// Logs in; the status of the answer, nil when the daemon closed without one.
  @discardableResult
  func logIn(
    _ target: String?, initiator: String = "iqn.2026-01.test:client", isid: UInt64 = 1,
    keys: [String] = [], digests: Digests = [], first: UInt32 = 1
  ) throws -> UInt16? {
    var request = Self.loginRequest(target, initiator: initiator, isid: isid, keys: keys)
    request.header.word24 = first
    commandNumber = first
    try send(request.encoded)
    guard let answer = try receive() else { return nil }
    decoder.digests = digests
    return answer.header.loginStatusCode
  }

  /// The PDU of a command; its data goes with it.
  func command(
    _ block: CommandDescriptorBlock, lun: UInt64 = 0, expected: Int = 0, data: [UInt8] = [],
    isWrite: Bool = false, attribute: UInt8 = 1, isImmediate: Bool = false
  ) -> PDU {
    taskTag += 1
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0x80 | attribute)
    header.isImmediate = isImmediate
    let writes = isWrite || !data.isEmpty
    header.flags |= writes ? 0x20 : expected > 0 ? 0x40 : 0
    header.lun = lun
    header.initiatorTaskTag = taskTag
    header.word20 = UInt32(max(expected, data.count))
    header.word24 = commandNumber
    if !isImmediate { commandNumber &+= 1 }
    header.commandDescriptorBlock = block.bytes
    return PDU(header: header, data: data)
  }

  /// How a command ended: its status, the data that came, the sense.
  struct Ended {
    var status: UInt8
    var data: [UInt8]
    var sense: [UInt8]
    /// Sense key, code and qualifier.
    var words: [UInt8] { sense.count > 13 ? [sense[2], sense[12], sense[13]] : [] }
  }

  /// Sends a command and collects its answer.
  func run(
    _ block: CommandDescriptorBlock, lun: UInt64 = 0, expected: Int = 0, data: [UInt8] = []
  ) throws -> Ended {
    try send(command(block, lun: lun, expected: expected, data: data).encoded)
    var read: [UInt8] = []
    while let pdu = try receive() {
      switch pdu.header.opcode {
      case .dataIn:
        read += pdu.data
        if pdu.header.flags & 1 != 0 {
          return Ended(status: pdu.header.byte3, data: read, sense: [])
        }
      case .scsiResponse:
        return Ended(
          status: pdu.header.byte3, data: read, sense: Array(pdu.data.dropFirst(2)))
      default: throw TargetClientError(words: "unexpected \(pdu.header.array)")
      }
    }
    throw TargetClientError(words: "closed before the answer")
  }

  func write(_ data: [UInt8], at block: UInt64, lun: UInt64 = 0) throws -> Ended {
    let blocks = BlockRange(address: block, count: UInt32(data.count / 512))
    return try run(.write16(blocks), lun: lun, data: data)
  }

  func read(_ count: Int, at block: UInt64, lun: UInt64 = 0) throws -> Ended {
    let blocks = BlockRange(address: block, count: UInt32(count / 512))
    return try run(.read16(blocks), lun: lun, expected: count)
  }

  /// Takes the last command's number back: the daemon has rejected it, so another is due under it.
  func takeNumberBack() { commandNumber &-= 1 }

  /// A request that is no command; `flags` carries the function, the reason.
  func request(
    _ opcode: Opcode, flags: UInt8 = 0x80, lun: UInt64 = 0, data: [UInt8] = []
  ) -> PDU {
    taskTag += 1
    var header = BasicHeaderSegment(opcode: opcode, flags: flags, isImmediate: true)
    header.lun = lun
    header.initiatorTaskTag = taskTag
    header.word20 = reservedTag
    header.word24 = commandNumber
    return PDU(header: header, data: data)
  }
}

extension PDU {
  var encoded: [UInt8] {
    var bytes: [UInt8] = []
    encode(into: &bytes)
    return bytes
  }
}

/// The LUN field of LUN `number`.
func lunField(_ number: Int) -> UInt64 { UInt64(number) << 48 }
