// The mode parameters that an initiator may change: SWP and D_SENSE of the control page, WCE of the
// caching page. One copy for all initiators, SPC-4 §5.9, and none is saved.
import Bytes

/// What MODE SELECT changes and MODE SENSE tells.
struct ModeParameters: Sendable {
  static let cachingCode: UInt8 = 0x08
  static let controlCode: UInt8 = 0x0a

  /// SWP: writes are refused, by software.
  private(set) var isWriteProtected = false
  /// D_SENSE: sense goes out in the descriptor format.
  private(set) var usesDescriptors = false
  /// WCE: a write may be GOOD before the medium has it.
  private(set) var hasWriteCache = true

  /// Which values MODE SENSE asks for, SPC-4 table 114.
  enum Control: UInt8 {
    case current = 0
    case changeable = 1
    case defaults = 2
  }

  /// SBC-3 §6.4.5: WCE, the volatile cache (the page cache, or memory itself) is used for writes.
  func cachingPage(_ control: Control) -> [UInt8] {
    let isSet = control != .current || hasWriteCache
    return [Self.cachingCode, 0x12, isSet ? 0x04 : 0] + [UInt8](repeating: 0, count: 17)
  }

  /// SPC-4 §7.5.8: unrestricted reordering; D_SENSE and SWP may be changed.
  func controlPage(_ control: Control) -> [UInt8] {
    var page = [Self.controlCode, 0x0a] + [UInt8](repeating: 0, count: 10)
    switch control {
    case .changeable:
      page[2] = 0x04
      page[4] = 0x08
    case .current, .defaults:
      let isCurrent = control == .current
      page[2] = isCurrent && usesDescriptors ? 0x04 : 0
      page[3] = 0x10
      page[4] = isCurrent && isWriteProtected ? 0x08 : 0
    }
    return page
  }

  /// Takes the parameters of a MODE SELECT; whether anything changed.
  mutating func select(
    _ data: RawSpan, isLong: Bool, _ geometry: BlockGeometry
  ) throws(SenseData) -> Bool {
    let header = isLong ? 8 : 4
    guard data.byteCount >= header else { throw .parameterListLengthError }
    // SPC-4 §7.5.4: MODE DATA LENGTH is reserved here, the medium type zero.
    let descriptor = isLong ? Int(data.bigEndian16(at: 6)) : Int(data.byte(at: 3))
    guard !isLong || data.byte(at: 4) & 0x01 == 0 else { throw .invalidParameter(4) }
    guard descriptor == 0 || descriptor == 8 else { throw .invalidParameter(isLong ? 6 : 3) }
    guard data.byteCount >= header + descriptor else { throw .parameterListLengthError }
    if descriptor == 8 {
      // SBC-3 §6.4.2: the disk keeps its blocks; zero, or the length that there is.
      let length = data.bigEndian32(at: header + 4) & 0xff_ffff
      guard length == 0 || length == geometry.blockLength else {
        throw .invalidParameter(header + 5)
      }
    }
    var changed = self
    var offset = header + descriptor
    while offset < data.byteCount {
      guard data.byteCount - offset >= 2 else { throw .parameterListLengthError }
      try changed.takePage(data, at: &offset)
    }
    defer { self = changed }
    return changed.isWriteProtected != isWriteProtected
      || changed.usesDescriptors != usesDescriptors
      || changed.hasWriteCache != hasWriteCache
  }

  private mutating func takePage(_ data: RawSpan, at offset: inout Int) throws(SenseData) {
    let current: [UInt8]
    let mask: [UInt8]
    // SPC-4 §7.5.7: PS is reserved here; subpages aren't supported.
    switch data.byte(at: offset) & 0x7f {
    case Self.cachingCode: (current, mask) = (cachingPage(.current), cachingPage(.changeable))
    case Self.controlCode: (current, mask) = (controlPage(.current), controlPage(.changeable))
    default: throw .invalidParameter(offset)
    }
    guard Int(data.byte(at: offset + 1)) == current.count - 2 else {
      throw .invalidParameter(offset + 1)
    }
    guard data.byteCount - offset >= current.count else { throw .parameterListLengthError }
    for index in 2..<current.count {
      // SPC-4 §6.9.2: a field that can't be changed must be sent as it is.
      let differs = data.byte(at: offset + index) ^ current[index]
      guard differs & ~mask[index] == 0 else { throw .invalidParameter(offset + index) }
    }
    if current[0] == Self.controlCode {
      usesDescriptors = data.byte(at: offset + 2) & 0x04 != 0
      isWriteProtected = data.byte(at: offset + 4) & 0x08 != 0
    } else {
      hasWriteCache = data.byte(at: offset + 2) & 0x04 != 0
    }
    offset += current.count
  }

  // SPC-4 §5.9: after a reset the saved values count, or without any the defaults.
  mutating func reset() { self = ModeParameters() }
}
