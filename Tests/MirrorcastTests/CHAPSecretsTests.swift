import Foundation
import ISCSI
import Mirrorcast
import Testing

private func parse(_ text: String) throws -> CHAPSecrets {
  try CHAPSecrets(parsing: text, path: "secrets")
}

struct CHAPSecretsTests {
  private func written(_ text: String, mode: Int = 0o600) throws -> String {
    let path = NSTemporaryDirectory() + "mirrorcast-secrets-\(UUID().uuidString)"
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    return path
  }

  @Test func `a file says who may come and what is answered`() throws {
    let path = try written(
      """
      # by hand

      initiator iqn.x:a  twelve bytes and blanks \t
      initiator\tb 0x000102030405060708090a0b
      target c another secret\r
      """)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let requirement = try CHAPSecrets(file: path).requirement()
    #expect(requirement.accounts.map(\.credential.name) == ["iqn.x:a", "b"])
    #expect(
      requirement.accounts.map(\.credential.secret) == [
        Array("twelve bytes and blanks".utf8), Array(0..<12),
      ])
    #expect(requirement.own == CHAPCredential(name: "c", secret: Array("another secret".utf8)))
    #expect(throws: MirrorcastError.self) { try CHAPSecrets(file: path).proof() }
  }

  @Test(arguments: [
    "initiator", "initiator a", "initiators a twelve-bytes-12", "initiator a short",
    "initiator a 0x0011", "initiator a 0xzz0102030405060708090a0b",
    "initiator \u{e4} twelve-bytes-12",
    "initiator a \(String(repeating: "a", count: 256))",
    "initiator a twelve-bytes-12\ninitiator a twelve-bytes-34",
    "initiator a twelve-bytes-12 iqn.x:\u{e4}", "initiator a twelve-bytes-12 iqn.x:a iqn.",
    "initiator a iqn.2026-01.test:twelve-bytes-12",
    "initiator a iqn.2026-01.test:twelve-bytes-12 iqn.x:a",
    "target a twelve-bytes-12\ntarget b twelve-bytes-34",
    "initiator a twelve-bytes-12\ntarget b twelve-bytes-12",
  ])
  func `a line that means nothing is named`(text: String) throws {
    let problem = #expect(throws: MirrorcastError.self) { try parse(text) }
    let words = "\(try #require(problem))"
    #expect(words.contains("'secrets'"), "\(words)")
    #expect(!words.contains("twelve-bytes"), "a secret is told: \(words)")
  }

  @Test func `a line says which initiators its account is for`() throws {
    let secrets = try parse(
      """
      initiator iqn.x:a twelve-bytes-12
      initiator b twelve-bytes-34
      initiator c twelve bytes 56 \t eui.02004567A425678D   iqn.x:c\r
      initiator iqn.x:d 0x000102030405060708090a0b naa.52004567BA64678D
      initiator e iqn.x:e is no secret
      """)
    let accounts = try secrets.requirement().accounts
    #expect(
      accounts.map(\.initiators) == [
        ["iqn.x:a"], nil, ["eui.02004567A425678D", "iqn.x:c"], ["naa.52004567BA64678D"], nil,
      ])
    #expect(
      accounts.map(\.credential.secret) == [
        Array("twelve-bytes-12".utf8), Array("twelve-bytes-34".utf8), Array("twelve bytes 56".utf8),
        Array(0..<12), Array("iqn.x:e is no secret".utf8),
      ])
    // A copy of the line does for the initiator itself.
    let own = try parse("initiator c twelve bytes 56 iqn.x:c").proof().own
    #expect(own == CHAPCredential(name: "c", secret: Array("twelve bytes 56".utf8)))
  }

  @Test func `who needs one name gets neither none nor two`() throws {
    #expect(throws: MirrorcastError.self) { try parse("# nobody").requirement() }
    #expect(throws: MirrorcastError.self) { try parse("target b twelve-bytes-12").proof() }
    #expect(try parse("initiator a twelve-bytes-12").proof().target == nil)
  }

  @Test(arguments: [0o644, 0o640, 0o604]) func `a file that others can read is refused`(mode: Int)
    throws
  {
    let path = try written("initiator a twelve-bytes-12", mode: mode)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let problem = #expect(throws: MirrorcastError.self) { try CHAPSecrets(file: path) }
    #expect(problem?.advice?.contains("chmod 600") == true)
  }

  @Test(arguments: ["/", "/dev/null", "/dev/zero", "/proc/self/no-such", "", "/etc"])
  func `what is no file of ours is refused`(path: String) {
    #expect(throws: MirrorcastError.self) { try CHAPSecrets(file: path) }
  }

  // RFC 1321 and FIPS 180-4 by their own examples, and CHAP's own: identifier, secret, challenge.
  @Test func `the hashes are those of the standards`() throws {
    let functions = try parse("initiator a twelve-bytes-12").proof().functions
    #expect(
      BinaryValue.text(functions.hash(.md5, Array("abc".utf8)))
        == "0x900150983cd24fb0d6963f7d28e17f72")
    #expect(
      BinaryValue.text(functions.hash(.sha256, Array("abc".utf8)))
        == "0xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(functions.random(64) != functions.random(64))
  }
}
