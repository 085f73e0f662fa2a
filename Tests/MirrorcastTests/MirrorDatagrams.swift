// A sender that is no mirror of ours: a plain UDP socket, and datagrams by the protocol's page, or
// against it.

import Bytes
import Foundation
import ISCSI
import Replication
import SCSI

/// A UDP socket at 127.0.0.1 that sends to groups on loopback.
final class PlainSender: @unchecked Sendable {
  private let descriptor: Int32

  init() throws {
    descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var interface = address.sin_addr
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isReady =
      withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) == 0 }
      }
      && setsockopt(
        descriptor, Int32(IPPROTO_IP), IP_MULTICAST_IF, &interface,
        socklen_t(MemoryLayout<in_addr>.size)) == 0
    guard isReady else { throw Failure("no UDP socket on loopback") }
  }

  deinit { close(descriptor) }

  func send(_ datagram: [UInt8], to host: String, port: Int) {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr(host)
    address.sin_port = in_port_t(port).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, datagram, datagram.count, 0, $0, size)
      }
    }
  }
}

/// Datagrams of one registration.
struct DatagramMaker {
  static let blockLength = 1408

  var registration: UInt32
  var epoch: UInt16 = 1
  var virtualLUN: UInt16
  var flags: Datagram.Flags = []

  /// A WRITE's command; with its data when that fits one block.
  func command(_ number: UInt32, block: UInt64, _ data: [UInt8]) -> [UInt8] {
    let isImmediate = data.count <= Self.blockLength
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0xa1, isImmediate: true)
    header.dataSegmentLength = isImmediate ? data.count : 0
    header.word20 = UInt32(data.count)
    header.word24 = number
    header.commandDescriptorBlock =
      CommandDescriptorBlock.write16(
        BlockRange(address: block, count: UInt32(data.count / 512))
      ).bytes
    return datagram(header, number, isImmediate ? data : [])
  }

  /// All of a WRITE's Data-Out.
  func data(_ number: UInt32, _ data: [UInt8]) -> [[UInt8]] {
    stride(from: 0, to: data.count, by: Self.blockLength).enumerated().map { index, start in
      let end = min(start + Self.blockLength, data.count)
      var header = BasicHeaderSegment(opcode: .dataOut, flags: end == data.count ? 0x80 : 0)
      header.dataSegmentLength = end - start
      header.word20 = Datagram.taskTag(of: SerialNumber(number))
      header.word36 = UInt32(index)
      header.word40 = UInt32(start)
      return datagram(header, number, Array(data[start..<end]))
    }
  }

  private func datagram(
    _ header: BasicHeaderSegment, _ number: UInt32, _ data: [UInt8]
  ) -> [UInt8] {
    var header = header
    header.lun = LogicalUnitNumber(Int(virtualLUN))?.field ?? 0
    header.initiatorTaskTag = Datagram.taskTag(of: SerialNumber(number))
    header.word28 = number
    let trailer = DatagramTrailer(
      registration: registration, epoch: epoch, flags: flags, sequence: 0)
    var bytes = [UInt8](
      repeating: 0, count: Datagram.overheadByteCount + (data.count + 3) & ~3)
    var span = bytes.mutableSpan
    var room = span.mutableBytes
    _ = trailer.assemble(header: header, data: data.span.bytes, into: &room)
    return bytes
  }
}
