import Bytes
import ISCSI
import Replication

/// What goes over a channel to a target, in the order in which it was said.
enum TargetMessage {
  case register(RegistrationOrder)
  case carried([UInt8])
  case sync(open: [SerialNumber], lowestOpen: SerialNumber)
  case fence(SerialNumber, epoch: UInt16)
  case terminate
  case flush(tag: Int)
  case read(tag: Int, sectors: Range<Int>)
  case keep(token: UInt64, KeepingRequest)
  case ping
  case findLeader
}

/// What comes back.
enum InitiatorMessage {
  case registered(epoch: UInt16)
  case refused(String)
  case readyToTransfer(tag: UInt32)
  case response(tag: UInt32, status: UInt8, sense: [UInt8], units: [UnitStatus])
  case answer(BasicHeaderSegment, missing: [UInt8])
  case terminated
  case flushed(tag: Int, isGood: Bool)
  case data(tag: Int, [Stamp]?)
  case kept(token: UInt64, KeepingAnswer)
  case pong
  case leader(LeaderPlace?)
}

/// What a mirror wants of a leg.
struct RegistrationOrder {
  var registration: UInt32
  var epoch: UInt16
  var firstWrite: SerialNumber
  /// The initiator's number where the mirror is kept.
  var holder: UInt64?
}

/// An ordered, reliable way between an initiator's process and a target's, until it is lost.
struct Channel {
  var initiator: Int
  var target: Int
  var isOpenAtInitiator = false
  var isOpenAtTarget = false
  /// When the last message of each direction comes: order is kept.
  var lastToTarget: UInt64 = 0
  var lastToInitiator: UInt64 = 0
  /// Messages that wait for the partition's end, and how often it was cut off.
  var stalledToTarget: [Int32] = []
  var stalledToInitiator: [Int32] = []
}

/// Messages on their way, by slot.
struct MessageStore<Message> {
  private var slots: [Message?] = []
  private var free: [Int32] = []

  mutating func put(_ message: Message) -> Int32 {
    if let slot = free.popLast() {
      slots[Int(slot)] = message
      return slot
    }
    slots.append(message)
    return Int32(slots.count - 1)
  }

  mutating func take(_ slot: Int32) -> Message {
    guard let message = slots[Int(slot)] else { preconditionFailure("a message comes once") }
    slots[Int(slot)] = nil
    free.append(slot)
    return message
  }
}
