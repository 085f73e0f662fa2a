// How two legs are compared without their bytes on the wire: each tells the SHA-256 of every chunk
// of a range. What differs is then copied. A checksum that an adversary can meet on purpose would
// let differing bytes pass for equal, so none shorter or weaker is taken.
package import ISCSI

extension RegistrationKey {
  package static let offset = prefix + "offset"
  package static let length = prefix + "length"
  package static let chunk = prefix + "chunk"
  package static let digests = prefix + "digests"
}

/// What an initiator asks of a leg: the digests of a range of a LUN.
package struct DigestRequest: Sendable, Equatable {
  package static let operation = "digest"
  package static let lengthMax: UInt64 = 4 << 20
  package static let chunkMin = 4096
  package static let chunkMax = 1 << 20
  /// Bytes of a SHA-256.
  package static let digestByteCount = 32

  package var lun: Int
  package var offset: UInt64
  /// 1 to `lengthMax`.
  package var length: UInt64
  /// `chunkMin` to `chunkMax`; the last chunk may be shorter.
  package var chunk: Int

  package init(lun: Int, offset: UInt64, length: UInt64, chunk: Int) {
    self.lun = lun
    self.offset = offset
    self.length = length
    self.chunk = chunk
  }

  package var chunkCount: Int { (Int(length) + chunk - 1) / chunk }

  /// The bytes of one chunk on the disk.
  package func bytes(ofChunk index: Int) -> Range<UInt64> {
    let start = offset + UInt64(index * chunk)
    return start..<min(start + UInt64(chunk), offset + length)
  }

  package var keys: TextKeys {
    TextKeys([
      .init(RegistrationKey.operation, Self.operation),
      .init(RegistrationKey.lun, "\(lun)"),
      .init(RegistrationKey.offset, "\(offset)"),
      .init(RegistrationKey.length, "\(length)"),
      .init(RegistrationKey.chunk, "\(chunk)"),
    ])
  }

  init(_ keys: TextKeys) throws(RegistrationFault) {
    self.init(
      lun: try lunNumber(keys),
      offset: try number(keys, RegistrationKey.offset, 0...UInt64(Int64.max) - Self.lengthMax),
      length: try number(keys, RegistrationKey.length, 1...Self.lengthMax),
      chunk: try number(
        keys, RegistrationKey.chunk, UInt64(Self.chunkMin)...UInt64(Self.chunkMax)))
  }
}

/// What a leg answers to it.
package enum DigestAnswer: Sendable, Equatable {
  /// 32 bytes for each chunk, in order.
  case digests([UInt8])
  case refused(KeepingRefusal, String)

  package var keys: TextKeys {
    switch self {
    case .digests(let bytes):
      TextKeys([
        .init(RegistrationKey.result, KeepingResult.digests.rawValue),
        .init(RegistrationKey.digests, BinaryValue.base64(bytes)),
      ])
    case .refused(let refusal, let words): KeepingAnswer.refused(refusal, words).keys
    }
  }

  /// Reads a leg's answer to that request.
  package init(_ keys: TextKeys, to request: DigestRequest) throws(RegistrationFault) {
    let result = try required(keys, RegistrationKey.result)
    guard result == KeepingResult.digests.rawValue else {
      let refusal = try KeepingRefusal(result: result)
      self = .refused(refusal, heardWords(keys, result))
      return
    }
    let count = request.chunkCount * DigestRequest.digestByteCount
    let text = try required(keys, RegistrationKey.digests)
    guard let bytes = BinaryValue.bytes(text, countMax: count), bytes.count == count else {
      throw RegistrationFault(.badRequest, "digests are \(count) bytes for that request")
    }
    self = .digests(bytes)
  }
}
