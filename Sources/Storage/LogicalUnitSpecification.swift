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
  package let options: Options

  package init(_ text: String) throws(SpecificationError) {
    guard let equals = text.firstIndex(of: "=") else { throw .form(text) }
    let digits = text[..<equals]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let value = Int(digits), value <= 255, let number = LogicalUnitNumber(value)
    else { throw .number(String(digits)) }
    do throws(SpecificationError) {
      try self.init(number, String(text[text.index(after: equals)...]))
    } catch .disk {
      throw .form(text)
    }
  }

  /// The same without the number: `file:disk.img,size=64M`.
  package init(_ number: LogicalUnitNumber, _ text: String) throws(SpecificationError) {
    self.number = number
    guard let colon = text.firstIndex(of: ":") else { throw .disk(text) }
    let parts = text[text.index(after: colon)...]
      .split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard let name = parts.first, !name.isEmpty, !name.contains("\0") else { throw .disk(text) }
    let kind = String(text[..<colon])
    guard ["file", "device", "memory"].contains(kind) else { throw .place(kind) }
    options = try Options(parts.dropFirst(), of: kind)
    switch kind {
    case "file": place = .file(path: name, size: options.size)
    case "device": place = .device(path: name)
    // One that may only be read is a disk of zeros.
    case "memory":
      place = .memory(size: try Self.diskSize(name, blockLength: options.blockLength))
    default: throw .place(kind)
    }
  }

  fileprivate static func diskSize(
    _ text: String, blockLength: UInt32
  ) throws(SpecificationError) -> UInt64 {
    let bytes = try ByteSize(text).bytes
    guard bytes > 0, bytes % UInt64(blockLength) == 0 else { throw .blocks(text, bytes) }
    return bytes
  }

  /// Opens the backing.
  /// - Parameter journal: that of a disk that is made thereby was another disk's.
  package func open(
    journal: JournalFile.Place = .memory
  ) throws(BackingRefusal) -> any BlockBacking {
    switch place {
    case .file(let path, let size):
      try FileBacking(
        path: path, size: size, isThin: options.isThin ?? true, isReadOnly: options.isReadOnly
      ) { () throws(BackingRefusal) in try journal.setAside() }
    case .device(let path):
      try DeviceBacking(
        path: path, isThin: options.isThin ?? false, isReadOnly: options.isReadOnly)
    case .memory(let size): try MemoryBacking(size: size, isThin: options.isThin ?? true)
    }
  }

  /// The file or device; nil for memory.
  package var path: String? {
    switch place {
    case .file(let path, _), .device(let path): path
    case .memory: nil
    }
  }

  /// Where the disk keeps what outlasts the daemon; nil when there is no place of its own.
  package var statePath: String? {
    if case .file(let path, _) = place { path + ".mirrorcast" } else { nil }
  }

  /// Where the disk keeps what its leg remembers of a mirror; `folder`: where disks keep what
  /// outlasts the daemon, and the name there.
  package func journalPlace(in folder: String?, named name: String) -> JournalFile.Place {
    switch place {
    case .memory: return .memory
    case .file, .device:
      if let folder { return .file(path: "\(folder)/\(name).mirror") }
      guard case .file(let path, _) = place else {
        return .none("a device has no place for a journal unless the daemon has a state folder")
      }
      return .file(path: path + ".mirror")
    }
  }
}

extension LogicalUnitSpecification: CustomStringConvertible {
  /// As it is written behind `N=`.
  package var description: String {
    var words: [String]
    switch place {
    case .file(let path, let size):
      words = ["file:\(path)"] + (size.map { ["size=\($0)"] } ?? [])
    case .device(let path): words = ["device:\(path)"]
    case .memory(let size): words = ["memory:\(size)"]
    }
    if let isThin = options.isThin {
      words.append(isThin ? options.takesUnmap ? "thin" : "thin=writesame" : "thick")
    }
    if options.isRemovable { words.append("removable") }
    if options.isReadOnly { words.append("readonly") }
    if options.blockLength != 512 { words.append("block=\(options.blockLength)") }
    if let length = options.physicalBlockLength { words.append("physical=\(length)") }
    return words.joined(separator: ",")
  }

  /// Whether a disk of `byteCount` bytes that was opened by `other` is what this one says.
  package func describes(_ byteCount: UInt64, openedBy other: LogicalUnitSpecification) -> Bool {
    var (own, others) = (options, other.options)
    (own.size, others.size) = (nil, nil)
    guard own == others, path == other.path else { return false }
    switch (place, other.place) {
    case (.file(_, let size), .file): return size == nil || size == byteCount
    case (.device, .device): return true
    case (.memory(let size), .memory): return size == byteCount
    default: return false
    }
  }
}

extension LogicalUnitSpecification {
  /// What kind of disk it is to be, beside its bytes.
  package struct Options: Equatable, Sendable {
    fileprivate var size: UInt64?
    /// Nil: as is usual for the place.
    package var isThin: Bool?
    /// Whether UNMAP discards, where the disk is thin, too: else WRITE SAME alone.
    package var takesUnmap = true
    package var isRemovable = false
    package var isReadOnly = false
    package var blockLength: UInt32 = 512
    /// What initiators are told that the medium writes at once; nil: a page.
    package var physicalBlockLength: UInt32?

    package init() {}

    fileprivate static func known(of place: String) -> String {
      let size = place == "file" ? "size=SIZE, " : ""
      return size + "readonly, thin, thin=writesame or thick, removable, "
        + "block= and physical=512 or 4096, each once"
    }

    fileprivate init(
      _ words: ArraySlice<String>, of place: String
    ) throws(SpecificationError) {
      var size: String?
      var seen: Set<Substring> = []
      for word in words {
        let name = word.prefix { $0 != "=" }
        // Thin and thick are two words for one choice.
        let choice = name == "thick" ? "thin" : name
        guard seen.insert(choice).inserted else {
          throw .option(word, place: place, known: Self.known(of: place))
        }
        switch word {
        case "thin": isThin = true
        case "thin=writesame": (isThin, takesUnmap) = (true, false)
        case "thick": isThin = false
        case "removable": isRemovable = true
        case "readonly": isReadOnly = true
        case "block=512": blockLength = 512
        case "block=4096": blockLength = 4096
        case "physical=512": physicalBlockLength = 512
        case "physical=4096": physicalBlockLength = 4096
        case _ where place == "file" && word.hasPrefix("size="):
          size = String(word.dropFirst(5))
        default: throw .option(word, place: place, known: Self.known(of: place))
        }
      }
      if let size {
        self.size = try LogicalUnitSpecification.diskSize(size, blockLength: blockLength)
      }
    }
  }
}

/// What is wrong with a LUN on the command line.
package enum SpecificationError: Error, Equatable, Sendable {
  case form(String)
  case disk(String)
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
      """
      '\(text)' names no LUN: write N=file:PATH[,size=SIZE], N=device:PATH or N=memory:SIZE, \
      each with [,thin|,thin=writesame|,thick][,removable][,readonly][,block=4096]
      """
    case .disk(let text):
      """
      '\(text)' names no disk: write file:PATH[,size=SIZE], device:PATH or memory:SIZE, \
      each with [,thin|,thin=writesame|,thick][,removable][,readonly][,block=4096]
      """
    case .number(let text): "'\(text)' is no LUN: give a number from 0 to 255"
    case .place(let text): "'\(text):' is unknown: file:, device: and memory: are known"
    case .option(let text, let place, let known):
      "unknown option '\(text)' of \(place): (options known: \(known); a path has no commas)"
    case .size(let text): "'\(text)' is no size: give bytes, or a number with K, M, G or T"
    case .blocks(let text, let bytes):
      "size \(text) is \(bytes) bytes: give a multiple of the block, 512 or 4096, not zero"
    }
  }
}
