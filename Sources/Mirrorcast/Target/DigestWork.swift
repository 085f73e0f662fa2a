// The digests of a range, for the comparison of two members: read on a worker's thread, a chunk at
// a time, so that no more than one chunk is held. What has no space reads as zeros and isn't read.

import Crypto
import Replication
import SCSI
import Storage

/// One initiator's question for the digests of a range.
final class DigestWork: StorageWork {
  private let request: DigestRequest
  private let backing: any BlockBacking
  private let answer: @Sendable (DigestAnswer) -> Void

  init(
    _ request: DigestRequest, of backing: any BlockBacking,
    _ answer: @escaping @Sendable (DigestAnswer) -> Void
  ) {
    self.request = request
    self.backing = backing
    self.answer = answer
  }

  func run() {
    do throws(StorageError) {
      answer(.digests(try digests()))
    } catch {
      answer(.refused(.storage, "\(error)"))
    }
  }

  private func digests() throws(StorageError) -> [UInt8] {
    // Safe: ours alone until the end of this function; only what was read is hashed.
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: request.chunk, alignment: 4096)
    defer { unsafe buffer.deallocate() }
    var digests: [UInt8] = []
    digests.reserveCapacity(request.chunkCount * DigestRequest.digestByteCount)
    var zeros: (count: Int, digest: [UInt8])?
    for index in 0..<request.chunkCount {
      let bytes = request.bytes(ofChunk: index)
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<bytes.count])
      let range = ByteRange(offset: bytes.lowerBound, length: UInt64(bytes.count))
      if isHole(range) {
        if zeros?.count != bytes.count {
          unsafe piece.initializeMemory(as: UInt8.self, repeating: 0)
          zeros = (bytes.count, unsafe digest(of: piece))
        }
        digests += zeros?.digest ?? []
      } else {
        try unsafe backing.read(into: piece, at: bytes.lowerBound)
        digests += unsafe digest(of: piece)
      }
    }
    return digests
  }

  /// Whether nothing of a range has space.
  private func isHole(_ range: ByteRange) -> Bool {
    guard let extents = try? backing.extents(of: range, countMax: 1),
      let first = extents.first
    else { return false }
    return !first.isMapped && first.length >= range.length
  }

  private func digest(of bytes: UnsafeMutableRawBufferPointer) -> [UInt8] {
    var hash = SHA256()
    // Safe: the caller's bytes, read within the call.
    unsafe hash.update(bufferPointer: UnsafeRawBufferPointer(bytes))
    return Array(hash.finalize())
  }
}
