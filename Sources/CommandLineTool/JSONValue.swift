// A writer of JSON: one object with its keys in the order given. Values that this program doesn't
// make (non-finite numbers) are written as null.

/// A JSON value, RFC 8259, to be written, never read.
enum JSONValue {
  case object([(String, JSONValue)])
  case array([JSONValue])
  case string(String)
  case integer(UInt64)
  case number(Double)
  case bool(Bool)
}

extension JSONValue: CustomStringConvertible {
  var description: String {
    switch self {
    case .object(let members):
      let texts = members.map { "\(Self.quoted($0.0)):\($0.1.description)" }
      return "{\(texts.joined(separator: ","))}"
    case .array(let elements): return "[\(elements.map(\.description).joined(separator: ","))]"
    case .string(let text): return Self.quoted(text)
    case .integer(let value): return "\(value)"
    case .number(let value): return value.isFinite ? "\(value)" : "null"
    case .bool(let value): return value ? "true" : "false"
    }
  }

  // RFC 8259 §7: quotation mark, reverse solidus and control characters are escaped.
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\u{0}"..."\u{1f}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
