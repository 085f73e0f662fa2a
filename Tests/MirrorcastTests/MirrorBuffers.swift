// Bytes on their way: buffers that stay where they are, disks read back by sessions of their own.

import Foundation
import ISCSI
import SCSI
import Testing

@testable import Mirrorcast

/// Memory that stays in its place while writes are open.
final class Buffer: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  init(_ content: [UInt8]) {
    bytes = .allocate(byteCount: content.count, alignment: 4096)
    bytes.copyBytes(from: content)
  }

  deinit { bytes.deallocate() }

  func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[range])
  }

  var content: [UInt8] { [UInt8](bytes) }
}

extension Mirrorcast.Mirror {
  func write(
    _ content: [UInt8], at offset: Int, forceUnitAccess: Bool = false,
    attribute: TaskAttribute = .simple
  ) async -> WriteResult {
    let buffer = Buffer(content)
    return await write(
      UnsafeRawBufferPointer(buffer.bytes), at: UInt64(offset), forceUnitAccess: forceUnitAccess,
      attribute: attribute)
  }

  /// Starts a write; the buffer is kept until it has ended.
  func start(
    _ content: [UInt8], at offset: Int, tag: WriteTag? = nil
  ) -> Task<WriteResult, Never> {
    let (results, told) = AsyncStream<WriteResult>.makeStream()
    let buffer = Buffer(content)
    submit(UnsafeRawBufferPointer(buffer.bytes), at: UInt64(offset), tag: tag) { result in
      withExtendedLifetime(buffer) { _ = told.yield(result) }
      told.finish()
    }
    return Task {
      for await result in results { return result }
      return WriteResult(isGood: false, failures: [])
    }
  }
}

/// A generator whose whole sequence is one seed.
struct Seeded: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  /// Bytes, eight at a time.
  mutating func bytes(_ count: Int) -> [UInt8] {
    var words = [UInt64](repeating: 0, count: (count + 7) / 8)
    for index in words.indices { words[index] = next() }
    return words.withUnsafeBytes { Array($0.prefix(count)) }
  }
}

/// All of a disk, as an ordinary session reads it.
func content(of url: LogicalUnitURL) async throws -> [UInt8] {
  let session = try await LogicalUnitSession.open(
    url, identity: .init(name: initiator), logger: logger)
  do {
    var bytes: [UInt8] = []
    while bytes.count < session.byteCount {
      let count = min(1 << 20, Int(session.byteCount) - bytes.count)
      bytes += try await session.read(at: UInt64(bytes.count), count: count)
    }
    await session.close()
    return bytes
  } catch {
    await session.close()
    throw error
  }
}

/// Whether every disk holds `image`; the first difference is told.
func expect(
  _ urls: [LogicalUnitURL], hold image: [UInt8], _ location: SourceLocation = #_sourceLocation
) async throws {
  for url in urls {
    let bytes = try await content(of: url)
    #expect(bytes.count == image.count, sourceLocation: location)
    let isSame = bytes == image
    let difference = isSame ? nil : zip(bytes, image).enumerated().first { $1.0 != $1.1 }
    // Not in the macro, which would print every byte.
    #expect(
      isSame, "\(url) differs at byte \(difference?.offset ?? -1)",
      sourceLocation: location)
  }
}

/// An ordinary session that may send anything.
func plainSession(
  _ url: LogicalUnitURL, name: String = initiator, offersMirror: Bool = false
) async throws -> InitiatorConnection {
  try await InitiatorConnection.open(
    host: url.host, port: url.port,
    login: InitiatorLoginRequest(
      identity: .init(name: name), targetName: url.targetName, offersMirror: offersMirror),
    logger: logger)
}

extension [LegStatus] {
  /// Those that aren't good: shown by an expectation that there are none.
  var bad: [LegStatus] { filter { !$0.isGood } }
}
