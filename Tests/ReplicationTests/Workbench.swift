import Bytes
import ISCSI
import SCSI

@testable import Replication

/// Makes datagrams by hand, right ones and wrong ones, for one registration.
struct DatagramWorkbench {
  static let virtualLUN: UInt64 = 5 << 48
  var registration: UInt32 = 0x1234_5678
  var epoch: UInt16 = 1
  var blockLength = 512
  /// Of the datagrams to come.
  var sequence: UInt32 = 0

  func command(
    _ number: UInt32, address: UInt64 = 8, blocks: UInt32, lowest: UInt32 = 0,
    immediate: [UInt8] = [], flags: Datagram.Flags = [],
    edit: (inout BasicHeaderSegment) -> Void = { _ in }
  ) -> [UInt8] {
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0xa1, isImmediate: true)
    header.lun = Self.virtualLUN
    header.initiatorTaskTag = Datagram.taskTag(of: SerialNumber(number))
    header.word20 = blocks * 512
    header.word24 = number
    header.word28 = lowest
    header.commandDescriptorBlock =
      CommandDescriptorBlock.write16(
        BlockRange(address: address, count: blocks), forced: false
      ).bytes
    header.dataSegmentLength = immediate.count
    edit(&header)
    return datagram(header, immediate, flags)
  }

  func data(
    _ number: UInt32, block: Int, of blocks: Int, bytes: [UInt8]? = nil, lowest: UInt32 = 0,
    flags: Datagram.Flags = [], edit: (inout BasicHeaderSegment) -> Void = { _ in }
  ) -> [UInt8] {
    let bytes = bytes ?? [UInt8](repeating: UInt8(truncatingIfNeeded: block), count: blockLength)
    var header = BasicHeaderSegment(opcode: .dataOut, flags: block == blocks - 1 ? 0x80 : 0)
    header.lun = Self.virtualLUN
    header.initiatorTaskTag = Datagram.taskTag(of: SerialNumber(number))
    header.word20 = header.initiatorTaskTag
    header.word28 = lowest
    header.word36 = UInt32(block)
    header.word40 = UInt32(block * blockLength)
    header.dataSegmentLength = bytes.count
    edit(&header)
    return datagram(header, bytes, flags)
  }

  func datagram(
    _ header: BasicHeaderSegment, _ data: [UInt8], _ flags: Datagram.Flags
  ) -> [UInt8] {
    let trailer = DatagramTrailer(
      registration: registration, epoch: epoch, flags: flags, sequence: sequence)
    var bytes = [UInt8](repeating: 0xaa, count: data.count + Datagram.overheadByteCount + 3)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    let made = trailer.assemble(header: header, data: data.span.bytes, into: &raw)
    return Array(bytes.prefix(made.byteCount))
  }

  /// A receiver of writes of up to 8 blocks, 4 at once, with `units` disks of 1024 blocks.
  func receiver(units: Int = 1, firstWrite: UInt32 = 0) -> Receiver {
    var shape = MirrorShape(seed: 0)
    shape.units = units
    var configuration = ReceiverConfiguration(
      registration: registration, epoch: epoch, firstWrite: SerialNumber(firstWrite),
      virtualLUN: Self.virtualLUN, units: (0..<units).map { UInt64($0) << 48 },
      geometry: shape.geometry)
    configuration.blockLength = blockLength
    configuration.writeLengthMax = 8 * 512
    configuration.openWritesMax = 4
    return Receiver(configuration)
  }
}

extension Receiver {
  /// Takes a datagram as the shells do, without the bytes.
  @discardableResult
  mutating func take(
    _ bytes: [UInt8], isCarried: Bool = false, now: UInt64 = 0
  ) throws -> Placement {
    let placement = handleDatagram(
      try Datagram(bytes.span.bytes), isCarried: isCarried, now: now)
    switch placement {
    case .nowhere: break
    case .store(let slot, _, _), .medium(let slot, _, _): settle(slot)
    }
    return placement
  }

  mutating func takeAnswers() -> [ReceiverAnswer] {
    defer { answers = [] }
    return answers
  }
}
