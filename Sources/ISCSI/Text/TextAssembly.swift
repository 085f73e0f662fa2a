// RFC 7143 §6.2: a text longer than a data segment comes in pieces, all but the last with the C
// bit.

/// Puts a text together from its pieces, up to a limit.
package struct TextAssembly: Sendable {
  private var bytes: [UInt8] = []
  private let byteCountMax: Int

  package init(byteCountMax: Int = TextKeys.byteCountMax) {
    self.byteCountMax = byteCountMax
  }

  package var byteCount: Int { bytes.count }

  package mutating func append(_ piece: ArraySlice<UInt8>) throws(TextError) {
    guard bytes.count + piece.count <= byteCountMax else { throw .textTooLong }
    bytes.append(contentsOf: piece)
  }

  /// The whole text; the assembly is empty again.
  package mutating func take() -> ArraySlice<UInt8> {
    defer { bytes = [] }
    return bytes[...]
  }
}

/// Gives a long text out in pieces.
package struct TextPieces: Sendable {
  private var rest: ArraySlice<UInt8> = []

  package init(_ bytes: [UInt8] = []) {
    rest = bytes[...]
  }

  package var isEmpty: Bool { rest.isEmpty }
  package var byteCount: Int { rest.count }

  package mutating func append(_ bytes: [UInt8]) {
    rest.append(contentsOf: bytes)
  }

  package mutating func next(lengthMax: Int) -> ArraySlice<UInt8> {
    let piece = rest.copiedPrefix(lengthMax)
    rest = rest.dropFirst(piece.count)
    return piece
  }
}
