/// A number of bytes as people write it: `4096`, `512K`, `64M`, `1G`, `2T`, by powers of 1024.
package struct ByteSize: Equatable, Sendable {
  package let bytes: UInt64

  package init(_ text: String) throws(SpecificationError) {
    var digits = Substring(text)
    if digits.hasSuffix("iB") { digits = digits.dropLast(2) }
    let units: [Character: UInt64] = ["K": 10, "M": 20, "G": 30, "T": 40]
    var shift: UInt64 = 0
    if let last = digits.last, let unit = units[Character(last.uppercased())] {
      shift = unit
      digits = digits.dropLast()
    } else if digits.count != text.count {
      throw .size(text)
    }
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let number = UInt64(digits)
    else { throw .size(text) }
    let product = number.multipliedReportingOverflow(by: 1 << shift)
    guard !product.overflow, product.partialValue <= UInt64(Int64.max) else { throw .size(text) }
    bytes = product.partialValue
  }
}
