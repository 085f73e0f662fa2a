// The protocol itself: writes of 1 MiB from the sender's machine to the legs' machines, in memory.
//
// One operation is one datagram: polled, assembled, and at each leg parsed, handled and copied to
// its place. Answers go straight back. All that this package knows of the machines stands here.
import Benchmark
import Bytes
import ISCSI
import Replication
import SCSI

/// A sender and its legs, joined by a function call.
private struct Passage {
  static let writeLength = 1 << 20
  var sender: Sender
  var receivers: [Receiver]
  var places: [[UInt8]]
  let data: [UInt8]
  var buffer = [UInt8](repeating: 0, count: 1472)
  var now: UInt64 = 1_000_000
  var token: UInt64 = 0

  init(legs: Int) {
    guard let geometry = BlockGeometry(blockCount: 1 << 14) else { fatalError("no such disk") }
    var configuration = ReceiverConfiguration(
      registration: 1, epoch: 1, firstWrite: SerialNumber(0), virtualLUN: 5 << 48, units: [0],
      geometry: geometry)
    configuration.openWritesMax = 4
    let receiver = configuration
    sender = Sender(
      SenderConfiguration(
        registration: 1, virtualLUN: 5 << 48, blockLength: 1408, unitBlockSize: 512,
        writeLengthMax: Self.writeLength),
      legs: (0..<legs).map { _ in
        LegDescription(path: .datagrams, openWritesMax: 4, credit: 4 << 20)
      })
    receivers = (0..<legs).map { _ in Receiver(receiver) }
    places = receivers.map { _ in [UInt8](repeating: 0, count: Self.writeLength) }
    data = noise(Self.writeLength)
  }

  /// Sends one datagram to all legs; begins the next write when the last one has ended.
  mutating func sendOne() {
    while true {
      now += 1000
      if let transmission = sender.pollTransmission(now: now) { return send(transmission) }
      answer()
      if sender.isIdle {
        token += 1
        _ = sender.submit(
          Submission(token: token, byteOffset: 0, length: Self.writeLength), now: now)
      }
    }
  }

  private mutating func send(_ transmission: Transmission) {
    guard let count = Self.assemble(&sender, transmission, data, into: &buffer, now: now) else {
      fatalError("the data did not change")
    }
    for leg in receivers.indices { receive(leg, count) }
  }

  private static func assemble(
    _ sender: inout Sender, _ transmission: Transmission, _ data: [UInt8],
    into buffer: inout [UInt8], now: UInt64
  ) -> Int? {
    var span = buffer.mutableSpan
    var bytes = span.mutableBytes
    return sender.assemble(transmission, data: data.span.bytes, into: &bytes, now: now)
  }

  private mutating func receive(_ leg: Int, _ count: Int) {
    guard let datagram = try? Datagram(buffer.span.bytes.extracting(0..<count)) else {
      fatalError("the datagram is whole")
    }
    guard
      case .store(let slot, let offset, let length) = receivers[leg].handleDatagram(
        datagram, now: now)
    else { return }
    buffer.withUnsafeBytes { from in
      places[leg].withUnsafeMutableBytes { into in
        UnsafeMutableRawBufferPointer(rebasing: into[offset..<offset + length]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: from[48..<48 + length]))
      }
    }
    receivers[leg].settle(slot)
  }

  private mutating func answer() {
    for leg in receivers.indices {
      for store in receivers[leg].stores {
        receivers[leg].handleStored(slot: store.slot, unit: store.unit, status: 0, sense: [])
      }
      receivers[leg].stores.removeAll(keepingCapacity: true)
      for answer in receivers[leg].answers {
        switch answer {
        case .readyToTransfer(let number, _):
          sender.handleReadyToTransfer(leg: leg, tag: Datagram.taskTag(of: number), now: now)
        case .response(let number, let status, _, _):
          sender.handleResponse(
            leg: leg, tag: Datagram.taskTag(of: number), status: status, now: now)
        default: fatalError("nothing is lost here")
        }
      }
      receivers[leg].answers.removeAll(keepingCapacity: true)
    }
    sender.events.removeAll(keepingCapacity: true)
  }
}

func benchmarkMachines() {
  for legs in [1, 3] {
    // Kept from one measurement to the next, so that each finds the machines warm.
    var kept: Passage?
    Benchmark("a-datagram-of-1MiB-writes-to-\(legs)-legs") { benchmark in
      var passage = kept.take() ?? Passage(legs: legs)
      benchmark.startMeasurement()
      for _ in benchmark.scaledIterations { passage.sendOne() }
      benchmark.stopMeasurement()
      kept = passage
    }
  }
}
