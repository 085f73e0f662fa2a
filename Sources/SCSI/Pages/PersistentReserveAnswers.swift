// PERSISTENT RESERVE IN and OUT as an initiator says them, and reads what comes back. Targets of
// another make answer, too: nothing about a length is taken for granted.
import Bytes

extension CommandDescriptorBlock {
  package static func persistentReserveIn(
    _ action: BlockCommand.PersistentReserveIn, allocationLength: UInt16
  ) -> CommandDescriptorBlock {
    var block = CommandDescriptorBlock(.persistentReserveIn)
    block[1] = action.rawValue
    block.setBigEndian(allocationLength, at: 7)
    return block
  }

  /// Of the scope that there is, a logical unit; its parameters are `PersistentReserveWords`.
  package static func persistentReserveOut(
    _ action: BlockCommand.PersistentReserveOut.Action, type: ReservationType? = nil
  ) -> CommandDescriptorBlock {
    var block = CommandDescriptorBlock(.persistentReserveOut)
    block[1] = action.rawValue
    block[2] = type?.rawValue ?? 0
    block.setBigEndian(UInt32(PersistentReserveParameters.byteCount), at: 5)
    return block
  }
}

/// The parameters of a PERSISTENT RESERVE OUT without TransportIDs, SPC-4 §6.16.3.
package struct PersistentReserveWords: Equatable, Sendable {
  package var key: UInt64
  package var actionKey: UInt64

  package init(key: UInt64, actionKey: UInt64) {
    self.key = key
    self.actionKey = actionKey
  }

  package var bytes: [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(key)
    data.appendBigEndian(actionKey)
    return data + [UInt8](repeating: 0, count: PersistentReserveParameters.byteCount - data.count)
  }
}

/// What READ KEYS tells, SPC-4 §6.15.2: one key for each registered port.
package struct RegisteredKeys: Equatable, Sendable {
  package static let allocationLength = UInt16(8 + 8 * 1024)

  package var keys: [UInt64]

  /// Nil where the answer is cut off: who reads on would take less for all.
  package init?(_ data: RawSpan) {
    guard data.byteCount >= 8 else { return nil }
    let length = Int(data.bigEndian32(at: 4))
    guard length % 8 == 0, length <= data.byteCount - 8 else { return nil }
    keys = (0..<length / 8).map { data.bigEndian64(at: 8 + 8 * $0) }
  }
}

/// A persistent reservation as anybody may read it.
package struct HeldReservation: Equatable, Sendable {
  /// Of READ RESERVATION.
  package static let allocationLength: UInt16 = 24

  /// Of its holder; zero where all registrants hold it.
  package var key: UInt64
  package var type: ReservationType

  package init(key: UInt64, type: ReservationType) {
    self.key = key
    self.type = type
  }
}

/// The answer to READ RESERVATION, SPC-4 §6.15.3.
package struct ReservationAnswer: Equatable, Sendable {
  /// Nil: nobody holds one.
  package var held: HeldReservation?

  package init?(_ data: RawSpan) {
    guard data.byteCount >= 8 else { return nil }
    guard data.bigEndian32(at: 4) != 0 else { return }
    guard data.bigEndian32(at: 4) >= 16, data.byteCount >= 24,
      let type = ReservationType(rawValue: data.byte(at: 21) & 0x0f)
    else { return nil }
    held = HeldReservation(key: data.bigEndian64(at: 8), type: type)
  }
}
