package import Bytes
package import SCSI

/// What one registration at a leg was granted and where it writes.
package struct ReceiverConfiguration: Sendable {
  package var registration: UInt32
  package var epoch: UInt16
  package var firstWrite: SerialNumber
  /// The vLUN as it stands in the LUN field.
  package var virtualLUN: UInt64
  /// The LUNs as they stand in a LUN field, in the order of the map; all of one size.
  package var units: [UInt64]
  package var geometry: BlockGeometry
  package var blockLength: Int
  package var writeLengthMax: Int
  package var openWritesMax: Int
  package var credit: UInt32
  package var timing = ReceiverTiming()
  /// The one LUN is memory: data is put into it as it comes, and a write needs no store.
  package var placesDirectly = false
  /// What is whole is proved before it is stored: see `WriteProof`.
  package var wantsProof = false
  /// Bytes in one piece from which a store may run ahead of the rest of its write.
  package var storeAheadByteCount = 256 << 10

  package init(
    registration: UInt32, epoch: UInt16, firstWrite: SerialNumber, virtualLUN: UInt64,
    units: [UInt64], geometry: BlockGeometry
  ) {
    self.registration = registration
    self.epoch = epoch
    self.firstWrite = firstWrite
    self.virtualLUN = virtualLUN
    self.units = units
    self.geometry = geometry
    blockLength = 1408
    writeLengthMax = 1 << 20
    openWritesMax = 32
    credit = 32 << 20
  }
}

/// When a leg reports.
package struct ReceiverTiming: Sendable {
  /// What reordering may explain, after the last block or a later write's data.
  package var reorderNanoseconds: UInt64 = 500_000
  /// Silence after which a write that lacks blocks is reported; doubles while nothing comes. The
  /// least and the most: in between, a few times the time that lately lay between arrivals.
  package var quietNanoseconds: UInt64 = 1_000_000
  package var quietMaxNanoseconds: UInt64 = 8_000_000
  package var quietFactorMax: UInt64 = 32

  package init() {}
}

/// Where a datagram's data goes.
package enum Placement: Sendable, Equatable {
  /// Nowhere: it was no data, or it was dropped and counted.
  case nowhere
  /// To `offset` of the slot's buffer.
  case store(slot: Int, offset: Int, length: Int)
  /// Into the medium itself, a slot's write that needs no buffer.
  case medium(slot: Int, byteOffset: UInt64, length: Int)
}

/// A write, or a piece of it that is whole, to be stored on one LUN.
package struct StoreRequest: Sendable {
  package var slot: Int
  package var number: SerialNumber
  /// Where the piece begins in the slot's buffer.
  package var slotOffset: Int
  /// Index of the LUN in the map.
  package var unit: Int
  package var byteOffset: UInt64
  package var length: Int
  package var forceUnitAccess: Bool
}

/// What a leg has to say on its connection.
package enum ReceiverAnswer: Sendable, Equatable {
  case readyToTransfer(SerialNumber, length: UInt32)
  case response(SerialNumber, status: UInt8, sense: [UInt8], units: [UnitStatus])
  /// What a write's bytes are, before it is told as GOOD.
  case proof(SerialNumber, epoch: UInt16, WriteProof)
  case report(
    SerialNumber, epoch: UInt16, heard: HeardStreams, missing: [UInt8], command: Bool,
    asked: Bool = false)
  /// Two checksums for one piece of the write: all of it is wanted by the connection.
  case distrusted(SerialNumber, epoch: UInt16)
  case fenced(SerialNumber, epoch: UInt16)
  case probeSeen(epoch: UInt16, byteCount: UInt32)
  /// No datagram comes here any more: all is wanted by the connection.
  case deaf(epoch: UInt16)
}

/// What a registration received and dropped, and why.
package struct ReceiverCounters: Sendable, Equatable {
  package var commands: UInt64 = 0
  package var blocks: UInt64 = 0
  package var repairedBlocks: UInt64 = 0
  package var reports: UInt64 = 0
  package var writes: UInt64 = 0
  package var duplicates: UInt64 = 0
  package var staleEpoch: UInt64 = 0
  package var late: UInt64 = 0
  package var beyondWindow: UInt64 = 0
  package var withoutCommand: UInt64 = 0
  /// Blocks that came before their command and were kept.
  package var early: UInt64 = 0
  package var misplaced: UInt64 = 0
  package var malformedCommands: UInt64 = 0
  package var withoutSlot: UInt64 = 0
  /// Datagrams of a write of which only the connection is believed.
  package var distrusted: UInt64 = 0
  /// Datagrams of copies that are for other legs.
  package var copiesIgnored: UInt64 = 0
  /// Two checksums for one block or command: forgery.
  package var conflicting: UInt64 = 0

  package init() {}
}
