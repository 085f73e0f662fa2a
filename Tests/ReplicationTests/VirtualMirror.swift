// One sender, its legs and the network between them, in virtual time, from one seed.
//
// Datagrams are lost, doubled, delayed, turned around and damaged; connections are slow and keep
// their order; disks take their time. What must never happen is checked while it runs and collected
// as `violations`; what must be true in the end is asked of `disagreements`.
import Bytes
import ISCSI
import SCSI

@testable import Replication

/// The shape of a virtual mirror.
struct MirrorShape {
  var seed: UInt64
  var paths: [LegDescription.Path] = [.datagrams, .datagrams, .datagrams]
  var recovery = RecoveryMode.adaptive
  var faults = LinkFaults()
  var units = 1
  var blockLength = 512
  var diskBlocks = 1024
  var writeLengthMax = 16 * 512
  var openWritesMax = 16
  var credit = 1 << 20
  var firstWrite = SerialNumber(0)
  var waitsForStatus = true
  var isKept = false
  /// Legs prove what they have.
  var wantsProof = false
  /// Times that a leg which failed a write gets it again.
  var retriesMax = 0
  /// When the others have stored that a leg left; nil: the test says so.
  var confirmNanoseconds: UInt64? = 5_000_000
  /// Data waits for R2T.
  var isSolicited = false
  /// Disks that take data as it comes; nil: in every second seed.
  var placesDirectly: Bool?
  var storeAheadByteCount = 4096
  var deadlineNanoseconds: UInt64 = 10_000_000_000
  /// Time that one datagram takes to leave.
  var paceNanoseconds: UInt64 = 1_000

  /// Legs of two kinds, and a network that loses.
  static func mixed(_ seed: UInt64, isKept: Bool) -> MirrorShape {
    var shape = MirrorShape(seed: seed)
    shape.isKept = isKept
    shape.recovery = RecoveryMode.allCases[Int(seed) % RecoveryMode.allCases.count]
    shape.faults = .losing(0.15)
    shape.paths =
      isKept ? [.datagrams, .datagrams, .connection] : [.datagrams, .datagrams, .foreign]
    return shape
  }

  var geometry: BlockGeometry {
    guard let geometry = BlockGeometry(blockCount: UInt64(diskBlocks)) else {
      preconditionFailure("no such disk")
    }
    return geometry
  }
}

final class VirtualMirror {
  enum Event {
    case datagram(leg: Int, [UInt8])
    case toLeg(Int, LegMessage)
    case toSender(Int, SenderMessage)
    case stored(leg: Int, StoreRequest)
    case act(() -> Void)
  }
  enum LegMessage {
    case request([UInt8], data: [UInt8])
    case epoch(UInt16, firstWrite: SerialNumber)
    case foreignWrite(SerialNumber, offset: UInt64, data: [UInt8])
  }
  enum SenderMessage {
    case readyToTransfer(UInt32)
    case response(UInt32, status: UInt8, sense: [UInt8], units: [UInt8])
    case answer([UInt8], data: [UInt8])
    case epochConfirmed(UInt16)
    case foreign(SerialNumber, LegFailure?)
  }

  static let registration: UInt32 = 0x1234_5678
  static let virtualLUN: UInt64 = 5 << 48

  let shape: MirrorShape
  var random: SeededRandom
  var now: UInt64 = 1_000_000
  var sender: Sender
  var legs: [VirtualLeg]
  var agenda = Agenda<Event>()
  var sendsNextAt: UInt64 = 0
  var violations: [String] = []

  var payloads: [UInt64: [UInt8]] = [:]
  var offsets: [UInt64: UInt64] = [:]
  var order: [UInt64] = []
  var attributes: [UInt64: Submission.Attribute] = [:]
  /// Writes that were seen open.
  var begun: Set<UInt64> = []
  /// Writes that have ended, told or not.
  var over: Set<UInt64> = []
  var tokens: [SerialNumber: UInt64] = [:]
  var completions: [UInt64: [LegOutcome]] = [:]
  var counted: [UInt64: [LegOutcome]] = [:]
  var lost: [Int: LegLoss] = [:]
  var held: [UInt64] = []
  var copied: [UInt64: [LegOutcome]] = [:]
  var suspects: [(byteOffset: UInt64, length: Int)] = []
  /// Told of a hold that stands, and of a copy that ended.
  var didHold: (UInt64) -> Void = { _ in }
  var didCopy: (UInt64) -> Void = { _ in }
  /// What a kept mirror's legs may be told while a leg that left isn't confirmed.
  var lowestMax: SerialNumber?
  var bufferChanges = 0
  var news: [LegOutcome] = []
  var retried: [LegOutcome] = []
  var forgeries: [Int] = []
  var unproven: [Int] = []
  var deaf: [Int] = []
  var unitPayloadsChange = false
  var writesChecked: UInt64 = 0
  var openWritesSeenMax = 0
  var openBytesSeenMax = 0
  var joining: (epoch: UInt16, waiting: Set<Int>, legs: LegSet)?
  /// Loses a first sending or a repair at a leg, by plan.
  var isLostByPlan: (_ leg: Int, Transmission) -> Bool = { _, _ in false }
  /// Sees every datagram before it is sent.
  var willSend: (Transmission) -> Void = { _ in }

  init(_ shape: MirrorShape) {
    self.shape = shape
    random = SeededRandom(shape.seed)
    var configuration = SenderConfiguration(
      registration: Self.registration, virtualLUN: Self.virtualLUN,
      blockLength: shape.blockLength, unitBlockSize: 512, writeLengthMax: shape.writeLengthMax)
    configuration.recovery = shape.recovery
    configuration.firstWrite = shape.firstWrite
    configuration.waitsForStatus = shape.waitsForStatus
    configuration.isKept = shape.isKept
    configuration.wantsProof = shape.wantsProof
    configuration.retriesMax = shape.retriesMax
    configuration.isSolicited = shape.isSolicited
    configuration.deadlineNanoseconds = shape.deadlineNanoseconds
    sender = Sender(
      configuration,
      legs: shape.paths.map {
        LegDescription(path: $0, openWritesMax: shape.openWritesMax, credit: shape.credit)
      })
    legs = []
    for path in shape.paths { legs.append(newLeg(path, epoch: 1, firstWrite: shape.firstWrite)) }
  }

  func newLeg(
    _ path: LegDescription.Path, epoch: UInt16, firstWrite: SerialNumber, index: Int? = nil
  ) -> VirtualLeg {
    var configuration = ReceiverConfiguration(
      registration: Self.registration, epoch: epoch, firstWrite: firstWrite,
      virtualLUN: Self.virtualLUN, units: (0..<shape.units).map { UInt64($0) << 48 },
      geometry: shape.geometry)
    configuration.blockLength = shape.blockLength
    configuration.writeLengthMax = shape.writeLengthMax
    configuration.openWritesMax = shape.openWritesMax
    configuration.wantsProof = shape.wantsProof
    configuration.placesDirectly =
      (shape.placesDirectly ?? (shape.seed % 2 == 0)) && shape.units == 1
    configuration.storeAheadByteCount = shape.storeAheadByteCount
    let leg = VirtualLeg(index: index ?? legs.count, path: path, configuration: configuration)
    leg.faults = shape.faults
    return leg
  }

  // MARK: What a caller does

  /// Submits a write of random bytes. False when the queue is full.
  @discardableResult
  func write(
    block: Int, blocks: Int, forced: Bool = false, attribute: Submission.Attribute = .simple
  ) -> Bool {
    let token = UInt64(order.count) + 1
    payloads[token] = random.bytes(blocks * 512)
    offsets[token] = UInt64(block) * 512
    order.append(token)
    return sender.submit(
      Submission(
        token: token, byteOffset: UInt64(block) * 512, length: blocks * 512,
        forceUnitAccess: forced, attribute: attribute),
      now: now)
  }

  /// Submits `count` writes at random places.
  func writeRandomly(_ count: Int, blocksMax: Int) {
    for _ in 0..<count {
      let blocks = 1 + Int(random.below(UInt64(blocksMax)))
      write(block: Int(random.below(UInt64(shape.diskBlocks - blocks))), blocks: blocks)
    }
  }

  func lose(_ leg: Int, _ loss: LegLoss = .connection("reset")) {
    sender.handleLost(leg: leg, loss, now: now)
  }

  /// Begins an epoch: all legs that stay, and the new ones, are told; writes wait meanwhile.
  func reregister(adding path: LegDescription.Path? = nil, dropping leg: Int? = nil) {
    precondition(joining == nil, "one membership change at a time")
    sender.pause()
    let epoch = sender.currentEpoch + 1
    if let leg { lose(leg, .dropped) }
    var set: LegSet = []
    if let path {
      let added = newLeg(path, epoch: epoch, firstWrite: sender.firstUnusedNumber)
      let index = sender.add(
        LegDescription(path: path, openWritesMax: shape.openWritesMax, credit: shape.credit))
      precondition(index == legs.count, "legs are numbered in order")
      // A copy of a leg's disk, as a resync would have made it, once nothing is open.
      legs.append(added)
      set.insert(LegSet(index))
    }
    let waiting = legs.indices.filter { lost[$0] == nil && !legs[$0].isClosed }
    joining = (epoch, Set(waiting), set)
    for index in waiting {
      toLeg(index, .epoch(epoch, firstWrite: sender.firstUnusedNumber))
    }
  }

  // MARK: In the end

  /// What each live leg's disks should hold: every write in the order of submission.
  var expected: [UInt8] {
    var image = [UInt8](repeating: 0, count: shape.diskBlocks * 512)
    for token in order {
      guard let offset = offsets[token], let payload = payloads[token] else { continue }
      image.replaceSubrange(Int(offset)..<Int(offset) + payload.count, with: payload)
    }
    return image
  }

  /// The live legs whose disks differ from what was written.
  var disagreements: [String] {
    let image = expected
    var found: [String] = []
    for leg in legs where lost[leg.index] == nil {
      for (unit, disk) in leg.disks.enumerated() where disk != image {
        let at = zip(disk, image).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        found.append("leg \(leg.index) unit \(unit) differs at \(at ?? -1)")
      }
    }
    return found
  }

  var failures: [UInt64: [LegOutcome]] { completions.filter { !$0.value.isEmpty } }
  var reports: UInt64 { legs.reduce(0) { $0 + $1.receiver.counters.reports } }
  var lostFirstSendings: Int { legs.reduce(0) { $0 + $1.lostFirstSendings } }
}
