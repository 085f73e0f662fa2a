// Why a command failed, in both formats: a target sends the one that its control mode page says,
// and an initiator reads either, since other makes of target may answer so.

import Bytes

/// The sense that goes with CHECK CONDITION, SPC-4 §4.5; thrown where a command is refused.
package struct SenseData: Error, Equatable, Sendable {
  package static let fixedByteCount = 18
  package static let descriptorHeaderByteCount = 8

  /// Where in the command, or in its parameters, the field stands that was refused.
  package struct FieldPointer: Equatable, Sendable {
    package var isInCommand: Bool
    package var byte: UInt16

    package init(isInCommand: Bool, byte: UInt16) {
      self.isInCommand = isInCommand
      self.byte = byte
    }
  }

  package var key: SenseKey
  package var additional: AdditionalSense
  /// The block, or the offset of a miscompare, that the sense is about.
  package var information: UInt64?
  package var fieldPointer: FieldPointer?
  /// How far what makes the disk not ready has come, in parts of 65536.
  package var progress: UInt16?
  /// Whether an earlier command is meant, not the one just answered.
  package var isDeferred = false

  package init(
    _ key: SenseKey, _ additional: AdditionalSense, information: UInt64? = nil,
    fieldPointer: FieldPointer? = nil
  ) {
    self.key = key
    self.additional = additional
    self.information = information
    self.fieldPointer = fieldPointer
  }

  /// A field of the command descriptor block that can't be accepted.
  package static func invalidField(_ byte: Int) -> SenseData {
    SenseData(
      .illegalRequest, .invalidFieldInCommand,
      fieldPointer: FieldPointer(isInCommand: true, byte: UInt16(clamping: byte)))
  }

  /// A field of the parameter list that can't be accepted.
  package static func invalidParameter(_ byte: Int) -> SenseData {
    SenseData(
      .illegalRequest, .invalidFieldInParameters,
      fieldPointer: FieldPointer(isInCommand: false, byte: UInt16(clamping: byte)))
  }

  package static let noSense = SenseData(.noSense, .none)
  package static let invalidOperationCode = SenseData(
    .illegalRequest, .invalidOperationCode,
    fieldPointer: FieldPointer(isInCommand: true, byte: 0))
  package static let parameterListLengthError = SenseData(
    .illegalRequest, .parameterListLengthError)
  package static let logicalUnitNotSupported = SenseData(
    .illegalRequest, .logicalUnitNotSupported)
  package static let writeProtected = SenseData(.dataProtect, .writeProtected)
}

extension SenseData {
  /// The fixed format, 18 bytes.
  package var fixedFormat: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.fixedByteCount)
    // SPC-4 §4.5.3: the 32-bit information field is VALID only when the value fits it.
    let information = information.flatMap { UInt32(exactly: $0) }
    bytes.append((information == nil ? 0 : 0x80) | (isDeferred ? 0x71 : 0x70))
    bytes.append(0)
    bytes.append(key.rawValue)
    bytes.appendBigEndian(information ?? 0)
    bytes.append(UInt8(Self.fixedByteCount - 8))
    bytes.appendBigEndian(0 as UInt32)
    bytes.append(additional.code)
    bytes.append(additional.qualifier)
    bytes.append(0)
    bytes += specificField
    return bytes
  }

  /// The sense-key-specific field, three bytes, SPC-4 §4.5.2.4; zeros where there is none.
  private var specificField: [UInt8] {
    var bytes: [UInt8] = []
    if let fieldPointer {
      // SPC-4 §4.5.2.4.2: SKSV, C/D, then the byte that is in error.
      bytes.append(fieldPointer.isInCommand ? 0xc0 : 0x80)
      bytes.appendBigEndian(fieldPointer.byte)
    } else {
      bytes.append(progress == nil ? 0 : 0x80)
      bytes.appendBigEndian(progress ?? 0)
    }
    return bytes
  }

  /// The descriptor format, with a descriptor for what there is to point at.
  package var descriptorFormat: [UInt8] {
    var descriptors: [UInt8] = []
    if let information {
      // SPC-4 §4.5.2.2: VALID, and 64 bits.
      descriptors += [0x00, 0x0a, 0x80, 0]
      descriptors.appendBigEndian(information)
    }
    if fieldPointer != nil || progress != nil {
      descriptors += [0x02, 0x06, 0, 0] + specificField + [0]
    }
    let code: UInt8 = isDeferred ? 0x73 : 0x72
    return [code, key.rawValue, additional.code, additional.qualifier, 0, 0, 0]
      + [UInt8(descriptors.count)] + descriptors
  }

  /// Reads either format; nil when the bytes are neither, or too few to name a key.
  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= 1 else { return nil }
    switch bytes.byte(at: 0) & 0x7f {
    case 0x70, 0x71: self.init(fixed: bytes)
    case 0x72, 0x73: self.init(descriptors: bytes)
    default: return nil
    }
  }

  private init?(fixed bytes: RawSpan) {
    guard bytes.byteCount >= 3, let key = SenseKey(rawValue: bytes.byte(at: 2) & 0x0f) else {
      return nil
    }
    self.init(key, .none)
    isDeferred = bytes.byte(at: 0) & 0x7f == 0x71
    if bytes.byteCount >= 7, bytes.byte(at: 0) & 0x80 != 0 {
      information = UInt64(bytes.bigEndian32(at: 3))
    }
    // SPC-4 §4.5.3: byte 7 counts the bytes that follow; nothing past it is sense.
    guard bytes.byteCount >= 8 else { return }
    let end = min(bytes.byteCount, 8 + Int(bytes.byte(at: 7)))
    if end >= 14 {
      additional = AdditionalSense(bytes.byte(at: 12), bytes.byte(at: 13))
    }
    if end >= 18, key == .illegalRequest {
      fieldPointer = FieldPointer(specific: bytes, at: 15)
    }
  }

  private init?(descriptors bytes: RawSpan) {
    guard bytes.byteCount >= 4, let key = SenseKey(rawValue: bytes.byte(at: 1) & 0x0f) else {
      return nil
    }
    self.init(key, AdditionalSense(bytes.byte(at: 2), bytes.byte(at: 3)))
    isDeferred = bytes.byte(at: 0) & 0x7f == 0x73
    guard bytes.byteCount >= Self.descriptorHeaderByteCount else { return }
    let end = min(bytes.byteCount, 8 + Int(bytes.byte(at: 7)))
    var offset = Self.descriptorHeaderByteCount
    while offset + 2 <= end {
      let length = Int(bytes.byte(at: offset + 1))
      guard offset + 2 + length <= end else { return }
      switch (bytes.byte(at: offset), length) {
      case (0x00, 0x0a...):
        if bytes.byte(at: offset + 2) & 0x80 != 0 {
          information = bytes.bigEndian64(at: offset + 4)
        }
      case (0x02, 0x06...) where key == .illegalRequest:
        fieldPointer = FieldPointer(specific: bytes, at: offset + 4)
      default: break
      }
      offset += 2 + length
    }
  }
}

extension SenseData.FieldPointer {
  fileprivate init?(specific bytes: RawSpan, at offset: Int) {
    let flags = bytes.byte(at: offset)
    guard flags & 0x80 != 0 else { return nil }
    self.init(isInCommand: flags & 0x40 != 0, byte: bytes.bigEndian16(at: offset + 1))
  }
}

extension SenseData: CustomStringConvertible {
  package var description: String {
    var words = "\(key): \(additional) (\(additional.numbers)"
    if let fieldPointer {
      words += fieldPointer.isInCommand ? ", command" : ", parameter"
      words += " byte \(fieldPointer.byte)"
    }
    if let information { words += ", at \(information)" }
    return words + ")"
  }
}
