import Testing

@testable import mirrorcast

struct JSONValueTests {
  @Test func `keys keep their order`() {
    let value = JSONValue.object([
      ("b", .integer(1)), ("a", .array([.bool(true), .number(1.5), .string("x")])),
    ])
    #expect(value.description == #"{"b":1,"a":[true,1.5,"x"]}"#)
  }

  @Test func `what would break a string is escaped`() {
    let text = "a\"b\\c\nd\te\u{1}é"
    #expect(JSONValue.string(text).description == #""a\"b\\c\nd\te\u0001é""#)
  }

  @Test func `a line's end of two characters is escaped too`() {
    #expect(JSONValue.string("a\r\nb").description == #""a\u000d\nb""#)
  }

  @Test func `numbers that JSON lacks are null`() {
    #expect(JSONValue.number(.nan).description == "null")
    #expect(JSONValue.number(.infinity).description == "null")
  }
}
