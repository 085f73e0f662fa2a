import ISCSI
import Testing

struct TextKeysTests {
  func strict(_ text: String) throws(TextError) -> TextKeys {
    try TextKeys(strict: Array(text.utf8)[...])
  }

  func tolerant(_ text: String) throws(TextError) -> TextKeys {
    try TextKeys(tolerant: Array(text.utf8)[...])
  }

  @Test func `reads what was written, in order, equals signs in values`() throws {
    let keys = TextKeys([
      .init("TargetName", "iqn.a:b"), .init("TargetAddress", "[fe80::1]:3260,1"),
      .init("TargetAddress", "10.0.0.1:3260,1"), .init("X-org.mirrorcast.reason", "a=b"),
      .init("Empty", ""),
    ])
    #expect(try TextKeys(strict: keys.encoded[...]) == keys)
    #expect(keys["TargetAddress"] == "[fe80::1]:3260,1")
    #expect(keys["Absent"] == nil)
  }

  @Test(arguments: [
    ("Key", TextError.missingEnd), ("Key\0", .missingEqualsSign), ("=value\0", .malformedKey),
    ("key=value\0", .malformedKey), ("1Key=value\0", .malformedKey), ("Ke y=v\0", .malformedKey),
    ("Key =v\0", .malformedKey), ("K=a\u{1b}[2J\0", .controlCharacter),
    ("K=a\nb\0", .controlCharacter), ("K=a\u{7f}\0", .controlCharacter),
    ("K=a\u{9b}\0", .controlCharacter), ("Kéy=v\0", .malformedKey),
    // What turns the direction of writing, and Unicode's own ends of lines.
    ("K=a\u{202e}b\0", .controlCharacter), ("K=\u{2066}\0", .controlCharacter),
    ("K=a\u{2028}b\0", .controlCharacter), ("K=\u{61c}\0", .controlCharacter),
    ("K=\u{200f}\0", .controlCharacter),
  ])
  func `refuses what the standard forbids`(text: String, error: TextError) {
    #expect(throws: error) { try strict(text) }
  }

  @Test func `holds names and values to their lengths`() throws {
    let name = "K" + String(repeating: "k", count: 62)
    let value = String(repeating: "v", count: 255)
    #expect(try strict("\(name)=\(value)\0")[name] == value)
    #expect(throws: TextError.keyTooLong) { try strict("\(name)k=v\0") }
    #expect(throws: TextError.valueTooLong) { try strict("K=\(value)v\0") }
    #expect(try strict("K=\(value),\(value)\0").pairs.count == 1)
    let much = String(repeating: "K=v\0", count: 16_385)
    #expect(throws: TextError.textTooLong) { try strict(much) }
    #expect(try strict(String(much.dropLast(4))).pairs.count == 16_384)
  }

  @Test func `refuses values that aren't UTF-8`() {
    #expect(throws: TextError.notUTF8) {
      try TextKeys(strict: [0x4b, 0x3d, 0xc3, 0x28, 0])
    }
  }

  @Test func `understands the patent's text`() throws {
    let keys = try tolerant(
      "Command=register\0multicast_group_ip = 239.1.1.1\0lun_map=(1,2,3),5)")
    #expect(keys.value(ignoringCase: "command") == "register")
    #expect(keys["multicast_group_ip"] == "239.1.1.1")
    #expect(keys["lun_map"] == "(1,2,3),5)")
    let end = try tolerant("command=terminate\0\tvirtual_lun\t=\t5 \0")
    #expect(end.value(ignoringCase: "COMMAND") == "terminate")
    #expect(end["virtual_lun"] == "5")
    #expect(throws: TextError.controlCharacter) { try tolerant("command=a\u{1}b") }
    #expect(throws: TextError.malformedKey) { try tolerant(" = x") }
    #expect(throws: TextError.missingEqualsSign) { try tolerant("command") }
  }

  @Test(arguments: [
    ("iqn.2026-01.org.example:disk", true), ("eui.02004567A425678D", true),
    ("naa.52004567BA64678D", true), ("iqn.", false), ("", false), ("disk", false),
    ("iqn.2026-01.org.example:a b", false), ("iqn.2026-01.org.example:\u{1b}[2J", false),
    ("iqn.2026-01.org.example:a,1", false), ("iqn.2026-01.org.example:ä", false),
    ("iqn." + String(repeating: "a", count: 219), true),
    ("iqn." + String(repeating: "a", count: 220), false),
  ])
  func `knows the names of nodes`(name: String, isValid: Bool) {
    #expect(NodeName.isValid(name) == isValid)
  }
}
