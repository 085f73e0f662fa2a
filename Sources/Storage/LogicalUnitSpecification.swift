package import SCSI

/// A LUN and its backing as the command line names them: `0=file:disk.img,size=64M`,
/// `1=device:/dev/sdb`, `2=memory:1G`.
package struct LogicalUnitSpecification: Equatable, Sendable {
  /// Where the bytes are to be.
  package enum Place: Equatable, Sendable {
    case file(path: String, size: UInt64?)
    case device(path: String)
    case memory(size: UInt64)
  }

  package let number: LogicalUnitNumber
  package let place: Place

  package init(_ text: String) throws(SpecificationError) {
    guard let equals = text.firstIndex(of: "=") else { throw .form(text) }
    let digits = text[..<equals]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let value = Int(digits), value <= 255, let number = LogicalUnitNumber(value)
    else { throw .number(String(digits)) }
    self.number = number

    let rest = text[text.index(after: equals)...]
    guard let colon = rest.firstIndex(of: ":") else { throw .form(text) }
    let parts = rest[rest.index(after: colon)...]
      .split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard let name = parts.first, !name.isEmpty, !name.contains("\0") else { throw .form(text) }
    let options = parts.dropFirst()
    switch rest[..<colon] {
    case "file": place = .file(path: name, size: try Self.size(in: options))
    case "device":
      if let option = options.first { throw .option(option, place: "device", known: "none") }
      place = .device(path: name)
    case "memory":
      if let option = options.first { throw .option(option, place: "memory", known: "none") }
      place = .memory(size: try Self.diskSize(name))
    default: throw .place(String(rest[..<colon]))
    }
  }

  private static func size(
    in options: ArraySlice<String>
  ) throws(SpecificationError) -> UInt64? {
    var size: UInt64?
    for option in options {
      guard option.hasPrefix("size="), size == nil else {
        throw .option(option, place: "file", known: "size=SIZE, once")
      }
      size = try diskSize(String(option.dropFirst(5)))
    }
    return size
  }

  private static func diskSize(_ text: String) throws(SpecificationError) -> UInt64 {
    let bytes = try ByteSize(text).bytes
    guard bytes > 0, bytes % 512 == 0 else { throw .blocks(text, bytes) }
    return bytes
  }

  /// Opens the backing.
  package func open() throws(BackingRefusal) -> any BlockBacking {
    switch place {
    case .file(let path, let size): try FileBacking(path: path, size: size)
    case .device(let path): try DeviceBacking(path: path)
    case .memory(let size): try MemoryBacking(size: size)
    }
  }
}

/// What is wrong with a LUN on the command line.
package enum SpecificationError: Error, Equatable, Sendable {
  case form(String)
  case number(String)
  case place(String)
  case option(String, place: String, known: String)
  case size(String)
  case blocks(String, UInt64)
}

extension SpecificationError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .form(let text):
      "'\(text)' names no LUN: write N=file:PATH[,size=SIZE], N=device:PATH or N=memory:SIZE"
    case .number(let text): "'\(text)' is no LUN: give a number from 0 to 255"
    case .place(let text): "'\(text):' is unknown: file:, device: and memory: are known"
    case .option(let text, let place, let known):
      "unknown option '\(text)' of \(place): (options known: \(known); a path has no commas)"
    case .size(let text): "'\(text)' is no size: give bytes, or a number with K, M, G or T"
    case .blocks(let text, let bytes):
      "size \(text) is \(bytes) bytes: a disk has blocks of 512, so give a multiple, not zero"
    }
  }
}
