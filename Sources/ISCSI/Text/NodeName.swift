// RFC 7143 §4.2.7: names of iSCSI nodes. A name is printed in logs and lists of other machines, so
// nothing but the characters of the standard's form (and those that are met in practice: capitals
// and the underscore) is taken.

/// Says whether a text may name an iSCSI node.
package enum NodeName {
  package static let lengthMax = 223

  package static func isValid(_ name: String) -> Bool {
    guard name.utf8.count <= lengthMax else { return false }
    guard let kind = ["iqn.", "eui.", "naa."].first(where: { name.hasPrefix($0) }) else {
      return false
    }
    let rest = name.utf8.dropFirst(kind.utf8.count)
    return !rest.isEmpty && rest.allSatisfy(isNameByte)
  }

  fileprivate static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "_"): true
    default: false
    }
  }
}

/// Says whether a text may be a target's address, `HOST[:PORT][,GROUP]`, RFC 7143 §13.8.
package enum TargetAddress {
  package static let lengthMax = 255

  package static func isValid(_ text: String) -> Bool {
    guard (1...lengthMax).contains(text.utf8.count) else { return false }
    // Beside those of names what IPv6 has: brackets, and a zone behind a percent sign.
    return text.utf8.allSatisfy { NodeName.isNameByte($0) || "[]%,".utf8.contains($0) }
  }
}
