// Reading back: what a leg returns by ordinary iSCSI reads is compared with what was to be written.
// An image that can be read again is compared byte for byte; of a stream one hash a MiB was kept.

import Glibc
import Logging
import Mirrorcast

/// What the legs should hold, from byte 0.
enum ExpectedBytes: Sendable {
  case image(ImageSource)
  case digests(ChunkDigests)

  /// The first byte at which `bytes`, read at `offset`, are not what was written; nil when all are.
  /// By a hash only the MiB is known, and its first byte is returned.
  func firstDifference(_ bytes: [UInt8], at offset: UInt64) throws -> UInt64? {
    switch self {
    case .digests(let digests):
      // Safe: the span over the array ends with the expression.
      let isSame = unsafe digests.match(bytes.span.bytes, at: offset)
      return isSame ? nil : offset
    case .image(let image):
      // What the image lacks of its last block was written as zeros.
      var expected = [UInt8](repeating: 0, count: bytes.count)
      // Safe: the buffer is lent for the call, and read fills no more than its count.
      _ = unsafe try expected.withUnsafeMutableBytes {
        unsafe try image.read(into: $0, at: offset)
      }
      return firstDifferentByte(expected, bytes).map { offset + UInt64($0) }
    }
  }

  var resolution: String {
    switch self {
    case .image: "at byte"
    case .digests: "within the MiB at byte"
    }
  }
}

/// The index of the first byte that differs; nil when both are the same and equally long.
func firstDifferentByte(_ left: [UInt8], _ right: [UInt8]) -> Int? {
  let count = min(left.count, right.count)
  // Safe: both arrays have at least `count` bytes.
  if unsafe memcmp(left, right, count) == 0 { return left.count == right.count ? nil : count }
  return (0..<count).first { left[$0] != right[$0] }
}

/// Compares every good leg with what was to be written, all legs at once.
struct Verification {
  var expected: ExpectedBytes
  /// Bytes from the beginning of the LUN; whole blocks.
  var byteCount: UInt64
  var identity: InitiatorIdentity
  var logger: Logger

  /// True when every leg of `legs` returned every byte as written; differences are told.
  func run(_ legs: [LogicalUnitURL], isQuiet: Bool) async -> Bool {
    let progress = Progress(
      verb: "verifying", total: byteCount * UInt64(legs.count), isQuiet: isQuiet)
    return await progress.during {
      await withTaskGroup(of: Bool.self) { group in
        for leg in legs {
          group.addTask { await isSame(leg, progress) }
        }
        return await group.reduce(true) { $0 && $1 }
      }
    }
  }

  private func isSame(_ leg: LogicalUnitURL, _ progress: Progress) async -> Bool {
    do {
      let session = try await LogicalUnitSession.open(
        leg, identity: identity, logger: logger)
      let differences = await Result { () async throws in try await compare(session, progress) }
      await session.close()
      guard let first = try differences.get().first else { return true }
      let count = try differences.get().count
      Console.shared.complain(
        "\(leg) differs from the image \(expected.resolution) \(first), "
          + "in \(count) of \(ranges) ranges of 1 MiB",
        advice: "Mirror again; when it differs again, look at that target's disk and log.")
    } catch {
      let known = error as? MirrorcastError
      Console.shared.complain(
        "can't read \(leg) back: \(known?.what ?? "\(error)")",
        advice: known?.advice ?? "Look at that target's log, then run: mirrorcast verify.")
    }
    return false
  }

  private var ranges: UInt64 { (byteCount + UInt64(ReadShape.length) - 1) >> 20 }

  /// The first differing byte of each range that differs.
  private func compare(
    _ session: LogicalUnitSession, _ progress: Progress
  ) async throws -> [UInt64] {
    var differences: [UInt64] = []
    try await readInOrder(
      0..<byteCount, step: ReadShape.length, inFlight: ReadShape.inFlight
    ) { range in
      let bytes = try await session.read(at: range.lowerBound, count: range.count)
      progress.advance(by: bytes.count)
      return try expected.firstDifference(bytes, at: range.lowerBound)
    } consume: { _, difference in
      if let difference { differences.append(difference) }
    }
    return differences
  }
}

extension Result where Failure == any Error {
  /// The outcome of asynchronous work as a value.
  fileprivate init(_ work: () async throws -> Success) async {
    do { self = .success(try await work()) } catch { self = .failure(error) }
  }
}
