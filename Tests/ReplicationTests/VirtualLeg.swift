import Bytes
import ISCSI
import SCSI

@testable import Replication

/// What happens to datagrams, PDUs and I/O on the way to one leg.
struct LinkFaults {
  var groupLoss = 0.0
  var unicastLoss = 0.0
  var duplicate = 0.0
  var reorder = 0.0
  var corrupt = 0.0
  var delayNanoseconds: UInt64 = 50_000
  var jitterNanoseconds: UInt64 = 5_000
  /// How much later a reordered or duplicated datagram comes.
  var reorderNanoseconds: UInt64 = 300_000
  var connectionNanoseconds: UInt64 = 60_000
  var storeNanoseconds: UInt64 = 20_000

  static func losing(_ rate: Double) -> LinkFaults {
    LinkFaults(groupLoss: rate, unicastLoss: rate)
  }
}

/// A target in the virtual network: the receiver, its slots' buffers and its memory disks.
final class VirtualLeg {
  let index: Int
  let path: LegDescription.Path
  var receiver: Receiver
  var buffers: [[UInt8]]
  var disks: [[UInt8]]
  var faults = LinkFaults()
  /// Hears everything, says nothing any more.
  var isSilent = false
  /// Its connection is closed.
  var isClosed = false
  /// When the last PDU of each direction arrives: connections keep their order.
  var lastToLeg: UInt64 = 0
  var lastToSender: UInt64 = 0
  /// What a store answers, GOOD when nil.
  var storeStatus: (_ unit: Int, _ number: SerialNumber) -> (UInt8, [UInt8])? = { _, _ in nil }
  var damaged = 0
  var lostFirstSendings = 0
  /// Changes bytes of a write before it is proved, as who sends in the sender's name would.
  var forge: (_ number: SerialNumber, _ bytes: inout ArraySlice<UInt8>) -> Void = { _, _ in }
  var storesRunning: [(unit: Int, range: Range<UInt64>)] = []

  init(index: Int, path: LegDescription.Path, configuration: ReceiverConfiguration) {
    self.index = index
    self.path = path
    receiver = Receiver(configuration)
    let size = Int(configuration.geometry.byteCount)
    buffers = Array(
      repeating: [UInt8](repeating: 0xdd, count: configuration.writeLengthMax),
      count: configuration.openWritesMax)
    disks = Array(
      repeating: [UInt8](repeating: 0, count: size), count: configuration.units.count)
  }

  /// A datagram as it came off the wire.
  func take(_ bytes: [UInt8], registration: UInt32, isCarried: Bool = false, now: UInt64) {
    guard let datagram = try? Datagram(bytes.span.bytes) else {
      damaged += 1
      return
    }
    guard datagram.registration == registration else { return }
    let start = BasicHeaderSegment.byteCount
    switch receiver.handleDatagram(datagram, isCarried: isCarried, now: now) {
    case .nowhere: break
    case .store(let slot, let offset, let length):
      buffers[slot].replaceSubrange(
        offset..<offset + length, with: bytes[start..<start + length])
      receiver.settle(slot)
    case .medium(let slot, let byteOffset, let length):
      disks[0].replaceSubrange(
        Int(byteOffset)..<Int(byteOffset) + length, with: bytes[start..<start + length])
      receiver.settle(slot)
    }
    while let (slot, write) = receiver.nextUnproven() { prove(slot, write) }
  }

  private func prove(_ slot: Int, _ write: ProvedWrite) {
    let start = write.isDirect ? Int(write.byteOffset) : 0
    let range = start..<start + write.length
    var bytes = write.isDirect ? disks[0][range] : buffers[slot][range]
    forge(write.number, &bytes)
    if write.isDirect {
      disks[0].replaceSubrange(range, with: bytes)
    } else {
      buffers[slot].replaceSubrange(range, with: bytes)
    }
    receiver.handleProven(slot, WriteProof(counter: 1, tag: Self.tag(of: bytes)))
  }

  /// In the place of a tag; FNV-1a.
  static func tag(of bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
  }
}

/// splitmix64: the whole run is one seed.
struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  mutating func chance(_ rate: Double) -> Bool {
    rate > 0 && Double(next() >> 11) * 0x1p-53 < rate
  }

  mutating func below(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : next() % bound }

  mutating func bytes(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { bytes.appendBigEndian(next()) }
    return Array(bytes.prefix(count))
  }
}
