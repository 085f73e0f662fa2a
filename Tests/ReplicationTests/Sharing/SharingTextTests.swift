import ISCSI
import Testing

@testable import Replication

/// What a shared mirror's initiators say to each other, as text.
@Suite struct SharingTextTests {
  static let mirror = SharedMirror(
    record: KeepingTextTests.record(), layout: KeepingTextTests.layout, group: "239.1.2.3",
    port: 65535, virtualLUN: 16383, here: [1 << 32 | 7, 3 << 32 | 7], isSuspended: true)

  static let secured: SharedMirror = {
    var mirror = Self.mirror
    mirror.cipher = .aes256GCM
    return mirror
  }()

  static let messages: [SharingMessage] = [
    .welcome(secured),
    .hello(guest: .max, secret: 1), .ready, .ask(0..<1), .ask(0..<1 << 20), .released(7..<9),
    .suspect(0..<512), .suspect(1 << 40..<(1 << 40) + 16 << 20), .joined(member: 1, turn: 0),
    .notJoined(member: .max, turn: .max, words: "döner"), .leaving, .welcome(mirror),
    .granted(3..<4), .call(5..<100), .confirmed(member: 2),
    .join(member: 3, turn: 9, label: "iscsi://host/iqn.2026-01.org.example:t/0"),
    .state(member: 4, .stale, generation: .max, reason: "it is back"), .suspend, .resume,
    .mended(1), .stop("too few legs"), .lost(member: 5, turn: 6, words: "reset"), .alive,
  ]

  /// Whether something is refused as a message, by a fault and nothing else.
  private func isRefused(_ pairs: [(String, String)]) -> Bool {
    do throws(RegistrationFault) {
      _ = try SharingMessage(TextKeys(pairs.map { .init($0.0, $0.1) }))
      return false
    } catch {
      return true
    }
  }

  @Test func `messages are read as they were said`() throws {
    for message in Self.messages {
      let keys = try TextKeys(strict: message.keys.encoded[...])
      let isSame = try SharingMessage(keys) == message
      #expect(isSame, "\(keys.pairs[0].value)")
    }
  }

  @Test func `a message that lacks any of its keys is refused`() {
    let optional: Set<String> = [RegistrationKey.reason, RegistrationKey.secure]
    for message in Self.messages {
      let keys = message.keys.pairs
      for index in keys.indices where !optional.contains(keys[index].key) {
        var left = keys.map { ($0.key, $0.value) }
        left.remove(at: index)
        #expect(isRefused(left), "\(keys[0].value) without \(keys[index].key)")
      }
    }
  }

  @Test func `values that can't be are refused, whatever the message`() {
    let hostile = [
      "", "x", "-1", "+1", "0x", "18446744073709551616", "0x10000000000000000", "5-3", "1-", "-",
      "3-4,6-7", "0-1048576", "99999999999999999999-0", "0x0,0x0", ",", "\u{0}", "NaN",
    ]
    for message in Self.messages {
      let keys = message.keys.pairs
      for index in keys.indices.dropFirst() {
        let key = keys[index].key
        let isText = [
          RegistrationKey.reason, RegistrationKey.label, RegistrationKey.group,
        ].contains(key)
        for value in hostile where !isText {
          var changed = keys.map { ($0.key, $0.value) }
          changed[index].1 = value
          #expect(isRefused(changed), "\(keys[0].value): \(key)=\(value)")
        }
      }
    }
  }

  @Test func `a word that is no message's is refused`() {
    for word in ["", "welcome2", "Ready", "register", "claim"] {
      #expect(isRefused([(RegistrationKey.operation, word)]))
    }
    #expect(isRefused([]))
  }

  @Test func `who is here are members of the mirror that is told, each once`() {
    for here in ["0x7", "0x100000007,0x100000007", "0x100000007 0x300000007", "4294967303"] {
      var keys = SharingMessage.welcome(Self.mirror).keys.pairs.map { ($0.key, $0.value) }
      for index in keys.indices where keys[index].0 == RegistrationKey.here { keys[index].1 = here }
      #expect(isRefused(keys), "\(here)")
    }
  }

  @Test func `a leg tells where the leader is, or that there is none`() throws {
    let place = LeaderPlace(address: "[2001:db8::1]:40000", secret: .max)
    let keys = try TextKeys(strict: place.keys.encoded[...])
    #expect(try LeaderPlace(keys) == place)
    let nobody = KeepingAnswer.refused(.notClaimed, "nobody has it open").keys
    #expect(try LeaderPlace(nobody) == nil)
    let long = LeaderPlace(address: String(repeating: "1", count: 65), secret: 1)
    #expect(throws: RegistrationFault.self) { _ = try LeaderPlace(long.keys) }
  }
}
