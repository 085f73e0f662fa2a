import ISCSI
import Testing

struct BinaryValueTests {
  @Test(
    arguments: [
      ("0x0", [0]), ("0x123", [1, 0x23]), ("0Xff00", [255, 0]), ("0bAA==", [0]),
      ("0bAAE=", [0, 1]),
      ("0BAAEC", [0, 1, 2]),
    ] as [(String, [UInt8])])
  func `both spellings are read`(text: String, bytes: [UInt8]) {
    #expect(BinaryValue.bytes(text, countMax: 3) == bytes)
    #expect(BinaryValue.bytes(BinaryValue.text(bytes), countMax: 3) == bytes)
    #expect(BinaryValue.bytes(BinaryValue.base64(bytes), countMax: 3) == bytes)
  }

  @Test func `Base64 is written as RFC 4648 has it`() {
    // RFC 4648 §10.
    let vectors = [
      "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "fooba": "Zm9vYmE=",
      "foobar": "Zm9vYmFy",
    ]
    for (plain, digits) in vectors {
      #expect(BinaryValue.base64(Array(plain.utf8)) == "0b" + digits)
    }
    let all = (0...255).map { UInt8($0) }
    #expect(BinaryValue.bytes(BinaryValue.base64(all), countMax: 256) == all)
  }

  @Test(arguments: [
    "", "0", "0x", "0b", "12", "0xg", "0x12345678", "0bAAECAw==", "0bA", "0bAA", "0bA===", "0bAB==",
    "0b====", "0bAA=A", "0b\u{e4}AA", "x00",
  ])
  func `what is neither, or too long, is nothing`(text: String) {
    #expect(BinaryValue.bytes(text, countMax: 3) == nil)
  }
}
