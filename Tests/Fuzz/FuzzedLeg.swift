// A leg of a mirror, its buffers and its disk, under datagrams that may say anything.
//
//     shape │ records…     a record: control, then by kind
//
// Law: bytes land only inside a buffer or the medium; what is stored lies on the disk; a write has
// one status, and where there are keys a proof before it. What its keys let in: FuzzedKeys.
import Bytes
import ISCSI
import Replication
import SCSI

/// A receiver and what its owner holds.
final class FuzzedLeg {
  static let registration: UInt32 = 7
  static let blockLength = 512
  static let writeLengthMax = 8192
  static let openWritesMax = 4
  static let diskLength = 65536

  private var receiver: Receiver
  private var buffers: [[UInt8]]
  private var disk = [UInt8](repeating: 0, count: diskLength)
  private var stores: [StoreRequest] = []
  private var statuses: [UInt32: UInt8] = [:]
  private var now: UInt64 = 1_000_000
  private var sequence: UInt32 = 0
  /// Nil where datagrams go in the clear.
  private let keys: FuzzedKeys?
  private var proved: Set<UInt32> = []
  private var told: Set<UInt32> = []

  init(_ shape: UInt8) {
    guard let geometry = BlockGeometry(byteCount: UInt64(Self.diskLength)) else {
      fatalError("no such disk")
    }
    let first = SerialNumber(shape & 0x02 != 0 ? 0xffff_fffc : 0)
    var configuration = ReceiverConfiguration(
      registration: Self.registration, epoch: 1, firstWrite: first, virtualLUN: 5 << 48,
      units: shape & 0x04 != 0 ? [0, 1 << 48] : [0], geometry: geometry)
    configuration.blockLength = Self.blockLength
    configuration.writeLengthMax = Self.writeLengthMax
    configuration.openWritesMax = Self.openWritesMax
    configuration.placesDirectly = shape & 0x05 == 0x01
    configuration.storeAheadByteCount = 4096
    keys = shape & 0x08 != 0 ? FuzzedKeys(hidesData: shape & 0x10 == 0) : nil
    configuration.wantsProof = keys != nil
    receiver = Receiver(configuration)
    buffers = Array(
      repeating: [UInt8](repeating: 0xdd, count: Self.writeLengthMax), count: Self.openWritesMax)
  }

  func run(_ input: inout Input) {
    var steps = 0
    while !input.isEmpty, steps < 512 {
      step(&input)
      take()
      steps += 1
    }
    receiver.close()
    take()
    for store in stores { finish(store, fails: false) }
    take()
    require(receiver.isQuiescent, "a leg that is closed has open writes")
  }

  private func step(_ input: inout Input) {
    let control = input.byte()
    let delta = Int(input.byte())
    let number = receiver.lowestNumber.advanced(by: delta & 0x0f)
    switch control & 0x0f {
    case 0...2: receive([command(number, &input)], control)
    case 3...5: receive([data(number, block: Int(input.byte()) & 0x1f, &input)], control)
    case 6...7:
      // Several blocks at once, as one message brings them.
      let first = Int(input.byte()) & 0x0f
      let flags = input
      var datagrams: [[UInt8]] = []
      for block in first..<first + 1 + delta >> 4 {
        var same = flags
        datagrams.append(data(number, block: block, &same))
      }
      _ = input.byte()
      receive(datagrams, control)
    case 8: receive([sealed(input.counted())], control)
    case 9:
      if !stores.isEmpty {
        finish(stores.remove(at: delta % stores.count), fails: control > 127)
      }
    case 10:
      now += UInt64(delta) << 16
      receiver.handleTimeout(now: now)
    case 11:
      let open = input.bytes(delta & 0x0f).map { number.advanced(by: Int(Int8(bitPattern: $0))) }
      receiver.handleSync(open, lowestOpen: number, now: now)
    case 12: receiver.handleFence(number.advanced(by: (delta >> 4) << 7), epoch: 1)
    case 13:
      let epoch = UInt16(delta >> 4)
      _ = receiver.handleEpoch(epoch, firstWrite: number)
      if receiver.knows(epoch) { keys?.install(epoch: epoch) { !receiver.knows($0) } }
    case 14:
      let refusal = UnitStatus(lun: 0, status: 2, sense: SenseData.writeProtected.fixedFormat)
      receiver.refusals = control > 127 ? [refusal] : []
      if delta & 0x03 == 1 { receiver.attentions = [refusal] }
      if delta & 0x03 == 2 { receiver.handleAbort() }
      if delta > 250 { _ = receiver.addUnits([2 << 48]) }
    default:
      if let keys, delta > 0 { keys.odd = delta } else { receiver.handlePortLost() }
    }
  }

  // MARK: Datagrams

  private func command(_ number: SerialNumber, _ input: inout Input) -> [UInt8] {
    let (odd, address, count) = (input.byte(), input.byte(), input.byte())
    let length = Int(count & 0x1f) * 512
    var header = BasicHeaderSegment(opcode: .scsiCommand, flags: 0x21, isImmediate: true)
    let immediate = odd & 0x01 == 0 ? min(length, Self.blockLength) : 0
    if immediate == length || immediate == 0 { header.flags |= 0x80 }
    header.lun = 5 << 48
    header.initiatorTaskTag = Datagram.taskTag(of: number)
    header.word20 = UInt32(length)
    header.word28 = receiver.lowestNumber.rawValue
    header.commandDescriptorBlock =
      CommandDescriptorBlock.write16(
        BlockRange(address: UInt64(address), count: UInt32(count & 0x1f)), forced: odd & 0x02 != 0
      ).bytes
    if odd & 0xf0 == 0xf0 { header.storage[32 + Int(address & 0x0f)] ^= count }
    return datagram(header, fill(count, immediate), odd)
  }

  private func data(_ number: SerialNumber, block: Int, _ input: inout Input) -> [UInt8] {
    let odd = input.byte()
    var header = BasicHeaderSegment(opcode: .dataOut, flags: odd & 0x01 != 0 ? 0x80 : 0)
    header.lun = 5 << 48
    header.initiatorTaskTag = Datagram.taskTag(of: number)
    header.word20 = odd & 0x02 != 0 ? header.initiatorTaskTag : reservedTag
    header.word28 = receiver.lowestNumber.rawValue
    header.word36 = UInt32(block)
    header.word40 = UInt32(block * Self.blockLength)
    let count = odd & 0xf0 == 0xf0 ? Self.blockLength - 100 : Self.blockLength
    return datagram(header, fill(UInt8(block), count), odd)
  }

  private func fill(_ byte: UInt8, _ count: Int) -> [UInt8] {
    [UInt8](repeating: byte | 1, count: count)
  }

  private func datagram(_ header: BasicHeaderSegment, _ data: [UInt8], _ odd: UInt8) -> [UInt8] {
    var header = header
    header.dataSegmentLength = data.count
    var flags: Datagram.Flags = []
    if odd & 0x04 != 0 { flags.insert(.repair) }
    if odd & 0x08 != 0 { flags.insert(.own) }
    sequence &+= 1
    let trailer = DatagramTrailer(
      registration: Self.registration, epoch: receiver.currentEpoch, flags: flags,
      sequence: sequence)
    var bytes = [UInt8](
      repeating: 0, count: Datagram.overheadByteCount + (data.count + 3) & ~3)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    _ = trailer.assemble(header: header, data: data.span.bytes, into: &raw)
    return bytes
  }

  // MARK: Arrival

  /// Datagrams that one message brought: the first by itself, what it foresees as a run.
  private func receive(_ datagrams: [[UInt8]], _ control: UInt8) {
    now += 10_000
    let datagrams = keys.map { keys in datagrams.compactMap(keys.pass) } ?? datagrams
    var index = 0
    while index < datagrams.count {
      let bytes = datagrams[index]
      index += 1
      guard let datagram = try? Datagram(bytes.span.bytes, isOpened: keys != nil) else { continue }
      let placement = receiver.handleDatagram(datagram, isCarried: control & 0x10 != 0, now: now)
      guard let slot = put(bytes, placement) else { continue }
      if control & 0x20 == 0, var run = receiver.run(behind: datagram, placement) {
        while index < datagrams.count, take(datagrams[index], &run) { index += 1 }
        receiver.handleRun(run, now: now)
      }
      receiver.settle(slot)
    }
  }

  private func put(_ bytes: [UInt8], _ placement: Placement) -> Int? {
    switch placement {
    case .nowhere: return nil
    case .store(let slot, let offset, let length):
      require(offset >= 0 && offset + length <= buffers[slot].count, "outside a buffer")
      buffers[slot].replaceSubrange(offset..<offset + length, with: bytes[48..<48 + length])
      return slot
    case .medium(let slot, let offset, let length):
      require(Int(offset) + length <= disk.count, "outside the medium")
      disk.replaceSubrange(Int(offset)..<Int(offset) + length, with: bytes[48..<48 + length])
      return slot
    }
  }

  /// Whether a datagram was the run's next, and whole; its data is where it belongs then.
  private func take(_ bytes: [UInt8], _ run: inout DatagramRun) -> Bool {
    guard run.foresees(bytes.span.bytes) else { return false }
    let before = run.count
    var place = [UInt8](repeating: 0xee, count: run.byteCountMax)
    var span = place.mutableSpan
    var raw = span.mutableBytes
    guard run.take(bytes.span.bytes, into: &raw, isPastCache: before % 2 == 1) else { return false }
    let length = Self.blockLength
    let at = before * length
    require(
      Array(place[at..<at + length]) == Array(bytes[48..<48 + length]), "a block is another")
    switch run.placement {
    case .nowhere: fatalError("a run to nowhere")
    case .store(let slot, let offset, _):
      require(offset + run.byteCountMax <= buffers[slot].count, "a run outside a buffer")
    case .medium(_, let offset, _):
      require(Int(offset) + run.byteCountMax <= disk.count, "a run outside the medium")
    }
    return true
  }

  // MARK: What it wants

  private func take() {
    if keys != nil { prove() }
    for store in receiver.stores {
      require(
        store.slotOffset >= 0 && store.length > 0
          && store.slotOffset + store.length <= Self.writeLengthMax
          && Int(store.byteOffset) + store.length <= Self.diskLength, "a store out of place")
      stores.append(store)
    }
    receiver.stores.removeAll(keepingCapacity: true)
    require(stores.count <= 64, "stores without end")
    for answer in receiver.answers { check(answer) }
    receiver.answers.removeAll(keepingCapacity: true)
    require(receiver.nextDeadline == nil || !receiver.isQuiescent, "it waits for nothing")
  }

  private func prove() {
    while let (slot, write) = receiver.nextUnproven() {
      let end = write.isDirect ? Int(write.byteOffset) + write.length : write.length
      require(end <= (write.isDirect ? disk : buffers[slot]).count, "a proof of bytes elsewhere")
      proved.insert(write.number.rawValue)
      receiver.handleProven(slot, WriteProof(counter: 1, tag: UInt64(write.number.rawValue)))
    }
  }

  private func finish(_ store: StoreRequest, fails: Bool) {
    receiver.handleStored(
      slot: store.slot, unit: store.unit, status: fails ? 2 : 0,
      sense: fails ? SenseData.writeProtected.fixedFormat : [])
  }

  private func check(_ answer: ReceiverAnswer) {
    switch answer {
    case .proof(let number, _, let proof):
      require(
        proved.contains(number.rawValue) && proof.tag == UInt64(number.rawValue),
        "a proof of another write")
      told.insert(number.rawValue)
    case .response(let number, let status, _, let units):
      require(
        keys == nil || status != 0 || told.contains(number.rawValue), "GOOD without a proof")
      require(
        statuses.updateValue(status, forKey: number.rawValue).map { $0 == status } ?? true,
        "a write has two statuses")
      let again = try? UnitStatus.parse(UnitStatus.serialize(units).span.bytes)
      require(again == units, "a response's statuses read as others")
    case .report(_, _, _, let missing, _, _):
      require(missing.count <= Self.writeLengthMax / Self.blockLength / 8, "a report too long")
    case .readyToTransfer(_, let length):
      require((1...UInt32(Self.writeLengthMax)).contains(length), "an R2T's length")
    case .distrusted, .fenced, .probeSeen, .deaf: break
    }
  }
}
