import Bytes
import SCSI
import Testing

/// REGISTER with SPEC_I_PT, and what ports are told when they come back.
struct SpecifiedPortsTests {
  /// A TransportID of iSCSI, SPC-4 §7.6.4.5.
  private static func transportID(_ text: String, format: UInt8 = 0x45) -> [UInt8] {
    transportID(Array(text.utf8), format: format)
  }

  private static func transportID(_ bytes: [UInt8], format: UInt8 = 0x45) -> [UInt8] {
    var name = bytes + [0]
    while name.count < 20 || name.count % 4 != 0 { name.append(0) }
    var data: [UInt8] = [format, 0]
    data.appendBigEndian(UInt16(name.count))
    return data + name
  }

  /// The result of REGISTER (or another action) by session 1 for these TransportIDs.
  private func register(
    _ scene: Reservers, _ list: [UInt8], action: UInt8 = 0, key: UInt64 = 0, new: UInt64 = 5,
    length: Int? = nil
  ) -> CommandResult? {
    var data = Reservers.parameters(key, new, 0x08)
    data.appendBigEndian(UInt32(length ?? list.count))
    data += list
    let count = UInt16(data.count)
    return scene.device.result(
      cdb(0x5f, action, 0, 0, 0, 0, 0, UInt8(count >> 8), UInt8(count & 0xff)), data, from: one)
  }

  private func keyCount(_ scene: Reservers) -> Int? {
    scene.device.data(cdb(0x5e, 0, 0, 0, 0, 0, 0, 8, 0)).map { ($0.count - 8) / 8 }
  }

  @Test func `registers its sender and all that it names`() {
    let scene = Reservers()
    // Its sender may be among them.
    let list =
      Self.transportID(two.port.text) + Self.transportID("iqn.x:away,i,0x7")
      + Self.transportID(one.port.text)
    #expect(register(scene, list)?.status == .good)
    #expect(keyCount(scene) == 3)
    // Those who were named know their key, and hear nothing of it.
    #expect(scene.attention(two) == nil)
    #expect(scene.out(1, two, type: 5, key: 5) == .good)
    #expect(scene.mayWrite(one) && !scene.mayWrite(three))
    let away = Nexus(session: 9, port: InitiatorPort(name: "iqn.x:away", isid: 7))
    scene.device.attach(away)
    #expect(scene.mayWrite(away))
    // PRGENERATION counts the command once.
    #expect(scene.device.data(cdb(0x5e, 0, 0, 0, 0, 0, 0, 4, 0))?[3] == 1)
  }

  @Test func `registers all or none`() {
    let scene = Reservers()
    scene.out(0, two, new: 2)
    let free = Self.transportID(three.port.text)
    func refused(_ list: [UInt8], _ sense: SenseData, _ words: Comment) {
      #expect(register(scene, list)?.sense == sense, words)
      #expect(keyCount(scene) == 1, words)
    }
    refused(free + Self.transportID(two.port.text), .invalidParameter(24), "registered already")
    refused(free + free, .invalidParameter(28 + free.count), "twice")
    refused(free + Self.transportID("iqn.x"), .invalidParameter(28 + free.count), "no port")
    refused(Self.transportID("iqn.x:y", format: 0x05), .invalidParameter(28), "a node, no port")
    refused(Self.transportID("0123", format: 0x00), .invalidParameter(28), "no iSCSI")
    refused(
      Self.transportID([0xff, 0xfe] + Array(",i,0x1".utf8)), .invalidParameter(28), "no text")
    let long = String(repeating: "x", count: 240) + ",i,0x1"
    refused(Self.transportID(long), .invalidParameter(28), "too long once it is written out")
    refused(Array(free.dropLast(4)), .parameterListLengthError, "cut")
    refused(free + [0x45], .parameterListLengthError, "cut behind")
    #expect(register(scene, free, length: 4)?.sense == .parameterListLengthError)
    #expect(register(scene, free, action: 6)?.sense == .invalidParameter(20))
    #expect(register(scene, free, action: 1)?.sense == .invalidParameter(20))
    #expect(keyCount(scene) == 1)
    // Nobody but who isn't registered.
    #expect(register(scene, free, key: 9)?.status == .reservationConflict)
    #expect(scene.out(0, one, new: 1) == .good)
    #expect(register(scene, free, key: 1)?.sense == .invalidParameter(20))
    #expect(keyCount(scene) == 2)
  }

  @Test func `has room for as many as there may be registrations`() {
    let scene = Reservers()
    func ports(_ range: Range<Int>) -> [UInt8] {
      range.flatMap { Self.transportID("iqn.x:\($0),i,0x1") }
    }
    for step in 0..<3 {
      #expect(register(scene, ports(step * 32..<step * 32 + 31))?.status == .good)
      #expect(scene.out(0, one, key: 5, new: 0) == .good)
    }
    #expect(keyCount(scene) == 93)
    let full = SenseData(.illegalRequest, .insufficientRegistrationResources)
    #expect(register(scene, ports(100..<135))?.sense == full)
    #expect(keyCount(scene) == 93)
    #expect(register(scene, ports(100..<134))?.status == .good)
    #expect(keyCount(scene) == 128)
  }

  // MARK: Nexus loss

  @Test func `who was lost hears of it when it comes back, once`() {
    let scene = Reservers()
    scene.device.detach(1)
    scene.device.attach(one)
    #expect(scene.attention(one) == nil)
    scene.device.detach(1, isLost: true)
    let again = Nexus(session: 11, port: one.port)
    let other = Nexus(session: 12, port: InitiatorPort(name: one.port.name, isid: 77))
    scene.device.attach(other)
    scene.device.attach(again)
    #expect(scene.attention(again) == .nexusLoss)
    for nexus in [again, other, two] { #expect(scene.attention(nexus) == nil) }
    // Reinstatement: the next session is there first.
    let next = Nexus(session: 13, port: one.port)
    scene.device.attach(next)
    scene.device.detach(11, isLost: true)
    #expect(scene.attention(next) == .nexusLoss)
    #expect(scene.attention(next) == nil)
    scene.device.detach(13)
    scene.device.attach(one)
    #expect(scene.attention(one) == nil)
  }

  @Test func `only the latest of those who were lost are remembered`() {
    let scene = Reservers()
    let nexuses = (0..<140 as Range<UInt64>).map {
      Nexus(session: 100 + $0, port: InitiatorPort(name: "iqn.x", isid: $0))
    }
    for nexus in nexuses {
      scene.device.attach(nexus)
      scene.device.detach(nexus.session, isLost: true)
    }
    for (index, nexus) in nexuses.enumerated() {
      scene.device.attach(nexus)
      #expect(scene.attention(nexus) == (index < 12 ? nil : .nexusLoss))
    }
  }
}
