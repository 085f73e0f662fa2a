// A target that does what a test tells it, so that an initiator meets what real ones seldom do: the
// room ISCSI's own target machine on a blocking socket and a thread.

import Foundation
import ISCSI

/// A socket of loopback that listens; or only holds its port, so that nobody else listens there.
final class Listener: @unchecked Sendable {
  let descriptor: Int32
  let port: Int

  init(listens: Bool = true) throws {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    descriptor = socket
    guard socket >= 0 else { throw Failure("no socket") }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        bind(socket, raw, length) == 0 && (!listens || listen(socket, 8) == 0)
          && getsockname(socket, raw, &length) == 0
      }
    }
    guard bound else { throw Failure("can't listen on loopback") }
    port = Int(UInt16(bigEndian: address.sin_port))
  }

  func accept() -> Int32 { Glibc.accept(descriptor, nil, nil) }

  func close() { _ = Glibc.close(descriptor) }
}

/// Serves connections one after another by a script, which sees each event of the session.
final class ScriptedTarget: @unchecked Sendable {
  /// What becomes of the connection after an event.
  enum Verdict { case goOn, hangUp }
  typealias Script = @Sendable (TargetEvent, inout TargetSession) -> Verdict

  static let name = "iqn.2025-01.org.example:scripted"
  let listener: Listener
  private let others: [TargetListing]
  private let script: Script

  /// `others`: what it lists beside itself.
  init(listing others: [TargetListing] = [], _ script: @escaping Script) throws {
    self.others = others
    self.script = script
    listener = try Listener()
    Thread.detachNewThread { [self] in
      while case let descriptor = listener.accept(), descriptor >= 0 {
        serve(descriptor)
        close(descriptor)
      }
    }
  }

  var port: Int { listener.port }
  var url: String { "iscsi://127.0.0.1:\(port)/\(Self.name)/0" }

  /// Ends the thread that waits for connections.
  func end() { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }

  private func serve(_ descriptor: Int32) {
    let listing = TargetListing(name: Self.name, portals: ["127.0.0.1:\(port),1"])
    var session = TargetSession(
      configuration: TargetConfiguration(targets: [listing] + others, tsih: 1))
    var decoder = FrameDecoder()
    var bytes = [UInt8](repeating: 0, count: 1 << 18)
    while true {
      let count = read(descriptor, &bytes, bytes.count)
      guard count > 0 else { return }
      let arrived = Array(bytes[..<count])
      var offset = 0
      while let pdu = try? decoder.next(arrived, from: &offset) {
        session.handle(pdu)
        var verdict = Verdict.goOn
        while verdict == .goOn, let event = session.pollEvent() {
          if case .close = event { verdict = .hangUp } else { verdict = script(event, &session) }
        }
        if session.isLoggedIn { decoder.dataSegmentLengthMax = session.receiveDataSegmentLengthMax }
        guard send(&session, descriptor), verdict == .goOn else { return }
      }
    }
  }

  private func send(_ session: inout TargetSession, _ descriptor: Int32) -> Bool {
    var out: [UInt8] = []
    while let pdu = session.pollOutput() { pdu.encode(into: &out) }
    var sent = 0
    while sent < out.count {
      let count = out[sent...].withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }
}

/// What a disk of 1 MiB answers to the commands that every initiator begins with.
func ordinaryAnswer(_ task: CommandTask) -> CommandCompletion {
  switch task.commandDescriptorBlock[0] {
  case 0x12:
    return CommandCompletion(
      status: 0, dataIn: [0, 0, 6, 2, 31, 0, 0, 2] + Array("ACME    DISK            0001".utf8))
  case 0x9e:
    return CommandCompletion(
      status: 0, dataIn: [0, 0, 0, 0, 0, 0, 7, 0xff, 0, 0, 2, 0] + [UInt8](repeating: 0, count: 20))
  case 0x88:
    return CommandCompletion(status: 0, dataIn: [UInt8](repeating: 7, count: task.expectedLength))
  default:
    return CommandCompletion(status: 0)
  }
}
