// Reads an image ahead of the writes: while the window is full, the next piece is already being
// read into the one buffer that no write uses. Buffers are taken once; nothing grows.

import Mirrorcast

/// The copying of one image through a mirror, on a thread that may wait.
struct ImageCopy: Sendable {
  /// How far a copy came.
  struct Outcome: Sendable {
    /// Bytes written, whole blocks.
    var byteCount: UInt64 = 0
    /// How many of them are zeros behind the image's end.
    var padding = 0
    /// False when it was given up because no leg was left.
    var isWhole = true
    /// Hashes of what was written, where the image can't be read again.
    var digests: ChunkDigests?
  }

  private let source: ImageSource
  private let run: MirrorRun
  private let slab: Slab
  private let window: WriteWindow
  private let keepsDigests: Bool

  /// Throws when the image has no room on the disks, before anything is written.
  init(
    source: ImageSource, run: MirrorRun, wanted: MirrorOptions, progress: Progress,
    keepsDigests: Bool
  ) throws(MirrorcastError) {
    let capacity = run.mirror.byteCount
    if let byteCount = source.byteCount, byteCount > capacity {
      throw MirrorcastError(
        "image '\(source.name)' has \(byteCount) bytes, the disks \(capacity)",
        advice: "Nothing was written. Make the LUNs larger, or the image smaller.")
    }
    let depth = max(1, min(wanted.depth, run.mirror.depthMax))
    self.source = source
    self.run = run
    self.keepsDigests = keepsDigests
    slab = Slab(sliceLength: run.writeLength(wanted: wanted.writeLength), count: depth + 1)
    window = run.window(depth: depth, spareSlots: 1, progress: progress)
  }

  /// Copies to the end; returns when no write is in flight any more, also when it throws.
  func perform() throws -> Outcome {
    defer { window.drain() }
    var outcome = Outcome(digests: keepsDigests ? ChunkDigests() : nil)
    while true {
      guard !run.watch.everyLegFailed else {
        window.drain()
        outcome.isWhole = false
        return outcome
      }
      let slot = window.takeSlot()
      // Safe: the slot is ours until its write ends, and the slab outlives the drain.
      let buffer = unsafe slab[slot]
      let read = unsafe try source.read(into: buffer, at: outcome.byteCount)
      try checkLength(read, at: outcome.byteCount)
      guard read > 0 else {
        window.giveBack(slot)
        return try checked(outcome)
      }
      let blockSize = run.mirror.blockSize
      let length = (read + blockSize - 1) / blockSize * blockSize
      // Safe: the buffer is whole blocks long, so a block begun in it ends in it.
      unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[read..<length])
        .initializeMemory(as: UInt8.self, repeating: 0)
      let piece = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<length])
      // Safe: as above; nobody writes into the buffer until the window gives the slot back.
      unsafe outcome.digests?.absorb(piece.bytes)
      unsafe window.submit(slot: slot, piece, at: outcome.byteCount)
      outcome.byteCount += UInt64(length)
      outcome.padding = length - read
      if read < slab.sliceLength { return outcome }
    }
  }

  /// A pipe whose first program failed ends at once; that is no image of no bytes.
  private func checked(_ outcome: Outcome) throws(MirrorcastError) -> Outcome {
    guard outcome.byteCount > 0 else {
      throw MirrorcastError(
        "'\(source.name)' ended before its first byte: nothing was written",
        advice: "Look whether the program that feeds it has failed.")
    }
    return outcome
  }

  private func checkLength(_ read: Int, at offset: UInt64) throws(MirrorcastError) {
    let end = offset + UInt64(read)
    let capacity = run.mirror.byteCount
    guard let expected = source.byteCount else {
      guard end <= capacity else {
        throw MirrorcastError(
          "'\(source.name)' goes on behind byte \(capacity), where the disks end",
          advice: "The disks hold its first \(offset) bytes. Make the LUNs larger.")
      }
      return
    }
    let isFull = read == slab.sliceLength
    guard end <= capacity, isFull || end == expected || (read == 0 && offset >= expected) else {
      throw MirrorcastError(
        "image '\(source.name)' changed its length while it was read: \(expected) bytes at first, "
          + "now \(end)",
        advice: "Mirror it again when nothing else writes to it.")
    }
  }
}
