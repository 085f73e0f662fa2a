import Bytes

/// What a PDU is, RFC 7143 §11.2.1.2, with the vendor opcodes that Mirrorcast uses.
package enum Opcode: UInt8, Sendable {
  case nopOut = 0x00
  case scsiCommand = 0x01
  case taskManagementRequest = 0x02
  case loginRequest = 0x03
  case textRequest = 0x04
  case dataOut = 0x05
  case logoutRequest = 0x06
  case snackRequest = 0x10
  case mirrorRequest = 0x1c

  case nopIn = 0x20
  case scsiResponse = 0x21
  case taskManagementResponse = 0x22
  case loginResponse = 0x23
  case textResponse = 0x24
  case dataIn = 0x25
  case logoutResponse = 0x26
  case readyToTransfer = 0x31
  case asyncMessage = 0x32
  case mirrorAnswer = 0x3c
  case mirrorStatuses = 0x3d
  case reject = 0x3f
}

/// The 48 bytes that begin every PDU, RFC 7143 §11.2.1, as a value: fields by name, nothing
/// interpreted that only a machine can know.
package struct BasicHeaderSegment: Sendable {
  package static let byteCount = 48

  package var storage: InlineArray<48, UInt8>

  @inlinable package init() {
    storage = InlineArray(repeating: 0)
  }

  package init(opcode: Opcode, flags: UInt8 = 0x80, isImmediate: Bool = false) {
    self.init()
    storage[0] = opcode.rawValue | (isImmediate ? 0x40 : 0)
    storage[1] = flags
  }

  /// Reads the first 48 bytes of `bytes`; nil when there are fewer.
  @inlinable package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.byteCount else { return nil }
    self.init()
    for index in 0..<6 {
      setUInt64(bytes.bigEndian64(at: index * 8), at: index * 8)
    }
  }

  /// Stores the 48 bytes at `offset` of `bytes`.
  @inlinable package func store(to bytes: inout MutableRawSpan, at offset: Int = 0) {
    for index in 0..<6 {
      bytes.storeBigEndian(uint64(at: index * 8), at: offset + index * 8)
    }
  }

  /// The 48 bytes as an array, for the control path.
  package var array: [UInt8] {
    // Safe: the span over our own bytes ends with the expression.
    unsafe storage.span.bytes.array()
  }

  // MARK: Fields by offset and width
  // Safe: a span over our own 48 bytes lives no longer than the expression; Bytes checks offsets.

  @inlinable package func uint16(at offset: Int) -> UInt16 {
    unsafe storage.span.bytes.bigEndian16(at: offset)
  }
  @inlinable package func uint32(at offset: Int) -> UInt32 {
    unsafe storage.span.bytes.bigEndian32(at: offset)
  }
  @inlinable package func uint64(at offset: Int) -> UInt64 {
    unsafe storage.span.bytes.bigEndian64(at: offset)
  }

  @inlinable package mutating func setUInt16(_ value: UInt16, at offset: Int) {
    var span = storage.mutableSpan
    var bytes = unsafe span.mutableBytes
    bytes.storeBigEndian(value, at: offset)
  }

  @inlinable package mutating func setUInt32(_ value: UInt32, at offset: Int) {
    var span = storage.mutableSpan
    var bytes = unsafe span.mutableBytes
    bytes.storeBigEndian(value, at: offset)
  }

  @inlinable package mutating func setUInt64(_ value: UInt64, at offset: Int) {
    var span = storage.mutableSpan
    var bytes = unsafe span.mutableBytes
    bytes.storeBigEndian(value, at: offset)
  }
}

extension BasicHeaderSegment {
  /// The opcode, nil when it is none that this project knows.
  package var opcode: Opcode? { Opcode(rawValue: storage[0] & 0x3f) }

  /// The I bit: deliver at once, CmdSN not advanced.
  package var isImmediate: Bool {
    get { storage[0] & 0x40 != 0 }
    set { storage[0] = newValue ? storage[0] | 0x40 : storage[0] & ~0x40 }
  }

  /// Byte 1: the F bit and what each opcode adds to it.
  @inlinable package var flags: UInt8 {
    get { storage[1] }
    set { storage[1] = newValue }
  }

  @inlinable package var isFinal: Bool { flags & 0x80 != 0 }

  /// Bytes 2 and 3, by opcode: versions, response and status, reason.
  package var byte2: UInt8 {
    get { storage[2] }
    set { storage[2] = newValue }
  }
  package var byte3: UInt8 {
    get { storage[3] }
    set { storage[3] = newValue }
  }

  /// Length of all additional header segments, in 4-byte words.
  @inlinable package var totalAHSLength: UInt8 {
    get { storage[4] }
    set { storage[4] = newValue }
  }

  /// Length of the data segment in bytes, without padding; 24 bits on the wire.
  @inlinable package var dataSegmentLength: Int {
    get { Int(uint32(at: 4) & 0x00ff_ffff) }
    set {
      precondition(newValue >= 0 && newValue <= 0x00ff_ffff, "data segment over 24 bits")
      setUInt32(UInt32(storage[4]) << 24 | UInt32(newValue), at: 4)
    }
  }

  @inlinable package var lun: UInt64 {
    get { uint64(at: 8) }
    set { setUInt64(newValue, at: 8) }
  }

  @inlinable package var initiatorTaskTag: UInt32 {
    get { uint32(at: 16) }
    set { setUInt32(newValue, at: 16) }
  }

  /// Bytes 20…23: target transfer tag; in a command the expected data transfer length, in a task
  /// management request the referenced task tag.
  @inlinable package var word20: UInt32 {
    get { uint32(at: 20) }
    set { setUInt32(newValue, at: 20) }
  }

  /// Bytes 24…27: CmdSN from an initiator, StatSN from a target.
  @inlinable package var word24: UInt32 {
    get { uint32(at: 24) }
    set { setUInt32(newValue, at: 24) }
  }

  /// Bytes 28…31: ExpStatSN from an initiator, ExpCmdSN from a target.
  @inlinable package var word28: UInt32 {
    get { uint32(at: 28) }
    set { setUInt32(newValue, at: 28) }
  }

  /// Bytes 32…35: MaxCmdSN from a target.
  @inlinable package var word32: UInt32 {
    get { uint32(at: 32) }
    set { setUInt32(newValue, at: 32) }
  }

  /// Bytes 36…39: DataSN, R2TSN, ExpDataSN.
  @inlinable package var word36: UInt32 {
    get { uint32(at: 36) }
    set { setUInt32(newValue, at: 36) }
  }

  /// Bytes 40…43: buffer offset.
  @inlinable package var word40: UInt32 {
    get { uint32(at: 40) }
    set { setUInt32(newValue, at: 40) }
  }

  /// Bytes 44…47: desired length of an R2T, residual count of a response.
  @inlinable package var word44: UInt32 {
    get { uint32(at: 44) }
    set { setUInt32(newValue, at: 44) }
  }

  /// Bytes 32…47 of a SCSI Command: the command descriptor block, RFC 7143 §11.3.5.
  package var commandDescriptorBlock: InlineArray<16, UInt8> {
    get { InlineArray { storage[32 + $0] } }
    set { for index in 0..<16 { storage[32 + index] = newValue[index] } }
  }
}
