import Bytes
import SCSI
import Testing

/// Three initiators and one disk.
final class Reservers {
  let device: LiveDisk

  init(keepsState: Bool = true) {
    device = LiveDisk(
      disk(isRemovable: true, keepsState: keepsState, sessions: [one, two, three]))
  }

  static func parameters(_ key: UInt64, _ actionKey: UInt64, _ flags: UInt8) -> [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(key)
    data.appendBigEndian(actionKey)
    return data + [0, 0, 0, 0, flags, 0, 0, 0]
  }

  @discardableResult func out(
    _ action: UInt8, _ nexus: Nexus, type: UInt8 = 0, key: UInt64 = 0, new: UInt64 = 0,
    flags: UInt8 = 0
  ) -> Status? {
    device.result(
      cdb(0x5f, action, type, 0, 0, 0, 0, 0, 24), Self.parameters(key, new, flags), from: nexus)?
      .status
  }

  /// Registers all three, with their number as key.
  func registerAll() {
    for nexus in [one, two, three] { out(0, nexus, new: nexus.session) }
  }

  func mayRead(_ nexus: Nexus) -> Bool {
    device.result(blockCommand(.read10, 0, 1), from: nexus) == nil
  }

  func mayWrite(_ nexus: Nexus) -> Bool {
    let data = [UInt8](repeating: 0, count: 512)
    let result = device.result(blockCommand(.write10, 0, 1), data, from: nexus)
    #expect((result == nil) == (device.refusal(ofWriteFrom: nexus.session) == nil))
    return result == nil
  }

  /// The unit attention that the session has waiting.
  func attention(_ nexus: Nexus) -> AdditionalSense? {
    device.result(cdb(0), from: nexus)?.sense?.additional
  }
}

struct ReservationTests {
  @Test func `RESERVE (6) keeps others out until it is released, lost, or reset`() {
    let scene = Reservers()
    #expect(scene.device.isOpenToAll)
    for end in ["release", "loss", "reset"] {
      #expect(scene.device.result(cdb(0x16), from: one)?.status == .good)
      #expect(scene.device.result(cdb(0x16), from: one)?.status == .good)
      #expect(!scene.device.isOpenToAll)
      #expect(scene.mayWrite(one) && !scene.mayRead(two) && !scene.mayWrite(two))
      for command in [cdb(0), cdb(0x16), cdb(0x1a, 0, 0x3f, 0, 255), cdb(0x25), cdb(0x5e)] {
        #expect(scene.device.result(command, from: two)?.status == .reservationConflict)
      }
      for command in [cdb(0x12, 0, 0, 0, 36), cdb(0x17), cdb(0x03, 0, 0, 0, 18), cdb(0x1e)] {
        #expect(scene.device.result(command, from: two)?.status == .good)
      }
      switch end {
      case "release": _ = scene.device.result(cdb(0x17), from: one)
      case "loss":
        scene.device.detach(1)
        scene.device.attach(one)
      default:
        scene.device.reset()
        for nexus in [one, two, three] { #expect(scene.attention(nexus) == .resetOccurred) }
      }
      #expect(scene.mayRead(two) && scene.mayWrite(two))
      #expect(scene.device.isOpenToAll)
    }
  }

  @Test(arguments: [1, 3, 5, 6, 7, 8] as [UInt8])
  func `each type admits whom SPC-4 says`(_ type: UInt8) {
    let scene = Reservers()
    scene.out(0, one, new: 1)
    scene.out(0, two, new: 2)
    #expect(scene.mayWrite(three))
    #expect(scene.out(1, one, type: type, key: 1) == .good)
    let admitsRegistrants = type >= 5
    let excludesReaders = [3, 6, 8].contains(type)
    #expect(scene.mayRead(one) && scene.mayWrite(one))
    #expect(scene.mayWrite(two) == admitsRegistrants)
    #expect(scene.mayRead(two) == (admitsRegistrants || !excludesReaders))
    #expect(!scene.mayWrite(three))
    #expect(scene.mayRead(three) == !excludesReaders)
    #expect(scene.device.result(cdb(0), from: three)?.status == .good)
    #expect(scene.device.result(cdb(0x16), from: three)?.status == .reservationConflict)
    // Somebody else's reservation, and another type of one's own.
    #expect(
      scene.out(1, two, type: type, key: 2) == (type >= 7 ? .good : .reservationConflict))
    #expect(scene.out(1, one, type: type == 1 ? 3 : 1, key: 1) == .reservationConflict)
    #expect(scene.out(1, one, type: type, key: 1) == .good)
  }

  @Test func `only the others hear that a registrants' reservation is gone`() {
    for type in [1, 3, 5, 6] as [UInt8] {
      for byUnregistering in [false, true] {
        let scene = Reservers()
        scene.registerAll()
        scene.out(1, one, type: type, key: 1)
        if byUnregistering {
          scene.out(0, one, key: 1, new: 0)
        } else {
          scene.out(2, one, type: type, key: 1)
        }
        let news: AdditionalSense? = type >= 5 ? .reservationsReleased : nil
        #expect(scene.attention(one) == nil)
        #expect(scene.attention(two) == news)
        #expect(scene.attention(three) == news)
        #expect(scene.mayWrite(two))
      }
    }
  }

  @Test func `all registrants hold types 7 and 8 until the last is gone`() {
    let scene = Reservers()
    scene.registerAll()
    scene.out(1, one, type: 8, key: 1)
    scene.out(0, one, key: 1, new: 0)
    #expect(!scene.mayRead(one) && scene.mayWrite(two) && scene.mayWrite(three))
    scene.out(0, two, key: 2, new: 0)
    scene.out(0, three, key: 3, new: 0)
    #expect(scene.mayWrite(one))
    #expect(scene.attention(three) == nil)
  }

  @Test func `keys are checked, and a wrong one conflicts`() {
    let scene = Reservers()
    #expect(scene.out(0, one, key: 5, new: 1) == .reservationConflict)
    #expect(scene.out(0, one, new: 1) == .good)
    #expect(scene.out(0, one, new: 2) == .reservationConflict)
    #expect(scene.out(0, one, key: 1, new: 2) == .good)
    #expect(scene.out(6, one, key: 99, new: 3) == .good)
    #expect(scene.out(1, one, type: 1, key: 2) == .reservationConflict)
    #expect(scene.out(1, two, type: 1, key: 3) == .reservationConflict)
    #expect(scene.out(1, one, type: 1, key: 3) == .good)
    #expect(
      scene.device.result(
        cdb(0x5f, 2, 3, 0, 0, 0, 0, 0, 24), Reservers.parameters(3, 0, 0))?.sense?.additional
        == .invalidReleaseOfReservation)
    #expect(
      scene.device.result(cdb(0x5f, 1, 0x11, 0, 0, 0, 0, 0, 24), Reservers.parameters(3, 0, 0))?
        .sense == .invalidField(2))
  }

  @Test func `preempting takes the reservation and tells whom it hits`() {
    for action in [4, 5] as [UInt8] {
      let scene = Reservers()
      scene.registerAll()
      scene.out(1, one, type: 3, key: 1)
      let outcome = scene.device.send(
        cdb(0x5f, action, 3, 0, 0, 0, 0, 0, 24), Reservers.parameters(2, 1, 0), from: two)
      guard case .conclude(let conclusion) = outcome else { Issue.record("\(outcome)"); return }
      let concluded = scene.device.device.conclude(conclusion)
      #expect(concluded.aborted == (action == 5 ? [1] : []))
      #expect(scene.attention(one) == .registrationsPreempted)
      #expect(scene.attention(three) == nil)
      #expect(scene.mayWrite(two) && !scene.mayWrite(one))
      // Who was preempted must register anew.
      #expect(scene.out(1, one, type: 3, key: 1) == .reservationConflict)
      // A key that nobody has.
      #expect(scene.out(action, two, type: 3, key: 2, new: 77) == .reservationConflict)
    }
  }

  @Test func `clearing forgets all, and the others hear of it`() {
    let scene = Reservers()
    scene.registerAll()
    scene.out(1, one, type: 1, key: 1)
    #expect(scene.out(3, two, key: 2) == .good)
    #expect(scene.attention(two) == nil)
    #expect(scene.attention(one) == .reservationsPreempted)
    #expect(scene.attention(three) == .reservationsPreempted)
    #expect(scene.mayWrite(three))
  }

  @Test func `a reservation moves to another port, as the TransportID says`() {
    let scene = Reservers()
    scene.registerAll()
    scene.out(1, one, type: 1, key: 1)
    let name = Array(two.port.text.utf8) + [0]
    let padded = name + [UInt8](repeating: 0, count: (4 - name.count % 4) % 4)
    var data: [UInt8] = []
    data.appendBigEndian(1 as UInt64)
    data.appendBigEndian(22 as UInt64)
    data += [0, 2, 0, 1]
    data.appendBigEndian(UInt32(padded.count + 4))
    data += [0x45, 0, 0, UInt8(padded.count)] + padded
    let move = cdb(0x5f, 7, 1, 0, 0, 0, 0, 0, UInt8(data.count))
    #expect(scene.device.result(move, data)?.status == .good)
    #expect(scene.mayWrite(two) && !scene.mayWrite(one))
    #expect(scene.out(2, two, type: 1, key: 22) == .good)
    #expect(scene.out(2, one, type: 1, key: 1) == .reservationConflict)
    // Every truncation is refused.
    for count in 24..<data.count {
      let short = cdb(0x5f, 7, 1, 0, 0, 0, 0, 0, UInt8(count))
      let result = scene.device.result(short, Array(data.prefix(count)))
      #expect(result?.status != .good)
    }
  }

  @Test func `registrations have a limit`() {
    let scene = Reservers()
    for index in 0..<129 {
      let nexus = Nexus(
        session: UInt64(index + 10), port: InitiatorPort(name: "iqn.x:\(index)", isid: 0))
      scene.device.attach(nexus)
      #expect((scene.out(0, nexus, new: 1) == .good) == (index < 128))
    }
  }

  @Test func `what is kept comes back, and nothing else`() {
    let scene = Reservers()
    scene.registerAll()
    scene.out(1, two, type: 6, key: 2)
    #expect(scene.device.device.keptState == [0, 0, 0])
    #expect(scene.out(0, one, key: 1, new: 11, flags: 1) == .good)
    let kept = scene.device.device.keptState
    let other = Reservers()
    #expect(other.device.restore(kept))
    #expect(other.device.device.keptState == kept)
    #expect(other.mayWrite(two) && other.mayWrite(one))
    let stranger = Nexus(session: 9, port: InitiatorPort(name: "iqn.x:9", isid: 9))
    other.device.attach(stranger)
    #expect(!other.mayRead(stranger))
    #expect(other.out(2, two, type: 6, key: 2) == .good)
    for count in 0..<kept.count {
      let cut = Reservers()
      #expect(!cut.device.restore(Array(kept.prefix(count))))
    }
    for index in kept.indices {
      var changed = kept
      changed[index] ^= 0xff
      let damaged = Reservers()
      _ = damaged.device.restore(changed)
    }
    let unkept = Reservers(keepsState: false)
    #expect(unkept.out(0, one, new: 1, flags: 1) == .checkCondition)
  }
}

struct PersistentReserveInTests {
  @Test func `keys, the reservation, capabilities and everything`() throws {
    let scene = Reservers()
    func ask(_ action: UInt8, room: UInt8 = 255) -> [UInt8]? {
      scene.device.data(cdb(0x5e, action, 0, 0, 0, 0, 0, 0, room))
    }
    #expect(ask(0) == [0, 0, 0, 0, 0, 0, 0, 0])
    #expect(ask(1) == [0, 0, 0, 0, 0, 0, 0, 0])
    scene.out(0, one, new: 0x11)
    scene.out(0, two, new: 0x22, flags: 1)
    scene.out(1, two, type: 5, key: 0x22)
    let keys = try #require(ask(0))
    #expect(keys.count == 24 && keys[3] == 2 && keys[7] == 16)
    #expect(keys[15] == 0x11 && keys[23] == 0x22)
    for room in 0..<24 as Range<UInt8> {
      #expect(ask(0, room: room) == Array(keys.prefix(Int(room))))
    }
    let reservation = try #require(ask(1))
    #expect(reservation.count == 24 && reservation[15] == 0x22 && reservation[21] == 5)
    let capabilities = try #require(ask(2))
    #expect(capabilities == [0, 8, 0x1d, 0x91, 0xea, 0x01, 0, 0])
    let status = try #require(ask(3))
    #expect(Int(status[7]) == status.count - 8)
    #expect(status[8 + 12] == 0)
    let length = Int(status[8 + 23])
    #expect(status[8 + 24] == 0x45)
    #expect(status[8 + 24 + length + 12] == 1 && status[8 + 24 + length + 13] == 5)
  }

  @Test func `a port's name is read back`() {
    #expect(InitiatorPort(text: one.port.text) == one.port)
    #expect(two.port.text.hasSuffix("b,i,0x000000020000"))
    for text in ["", "iqn.x", "iqn.x,t,0x1", ",i,0x1", "iqn.x,i,0xg", "iqn.x,i,0x1234567890abc"] {
      #expect(InitiatorPort(text: text) == nil)
    }
  }
}
