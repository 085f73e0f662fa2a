import Bytes
import Replication

/// One initiator's mirror at a target.
final class Registration {
  let serial: Int
  let channel: Int
  let number: UInt32
  var receiver: Receiver
  /// The slots' bytes, where datagrams are put together.
  let places: UnsafeMutableRawBufferPointer
  let slotByteCount: Int
  /// The initiator's number where the mirror is kept.
  let holder: UInt64?
  var isEnding = false
  /// Answers that were taken and are still there, where that is planted.
  var answersTaken = 0
  var isTerminated = false
  /// Below it all writes have ended, as the leg's keeping was told last.
  var toldLowest: SerialNumber

  init(
    serial: Int, channel: Int, order: RegistrationOrder, receiver: Receiver, slots: Int,
    slotByteCount: Int
  ) {
    self.serial = serial
    self.channel = channel
    number = order.registration
    holder = order.holder
    self.receiver = receiver
    toldLowest = receiver.lowestNumber
    self.slotByteCount = slotByteCount
    places = .allocate(byteCount: slots * slotByteCount, alignment: 16)
  }

  func bytes(at offset: Int) -> UnsafeRawPointer? {
    UnsafeRawPointer(places.baseAddress).map { $0 + offset }
  }

  deinit { places.deallocate() }
}
