// SANITIZE at work, SBC-3 §4.11: pieces on the workers' threads, one at a time, with pauses, so
// that other disks' commands go on. It begins when no command that was let through before can
// change the medium any more: nothing that any of them writes is there at the end. Sessions and
// resets come and go meanwhile. When the daemon stops, all is done again in its next life, where
// the disk has a place to remember it.

import Logging
import NIOCore
import SCSI
import Storage
import Synchronization

/// The sanitizing of one disk.
final class SanitizeRun: StorageWork {
  /// An erase is quick: large pieces. What is overwritten passes through memory.
  private static let erasedByteCount: UInt64 = 256 << 20
  private static let writtenByteCount: UInt64 = 4 << 20
  private struct Place {
    var pass: UInt8 = 0
    var offset: UInt64 = 0
  }

  private let unit: ServedUnit
  private let request: SanitizeRequest
  private let workers: StorageWorkers
  private let loop: any EventLoop
  private let logger: Logger
  private let ended: @Sendable (SCSI.CommandResult) -> Void
  private let writtenBytesPerSecondMax: UInt64
  private let place = Mutex(Place())

  init(
    _ request: SanitizeRequest, of unit: ServedUnit, _ workers: StorageWorkers,
    _ limits: TargetLimits, on loop: any EventLoop, _ logger: Logger,
    _ ended: @escaping @Sendable (SCSI.CommandResult) -> Void
  ) {
    self.unit = unit
    self.request = request
    self.workers = workers
    writtenBytesPerSecondMax = limits.sanitizeBytesPerSecondMax
    self.loop = loop
    self.logger = logger
    self.ended = ended
  }

  /// False when the workers take no more, a mirror has the disk, or it is being taken away. It
  /// counts as changing until the end, and is counted before those marks are looked at, see
  /// MediumGate.
  func start(unless isMirrored: () -> Bool) -> Bool {
    unit.changes.begin()
    guard !unit.changes.isWithdrawn, !isMirrored(), workers.submit(self) else {
      unit.changes.end()
      return false
    }
    tellBegin()
    return true
  }

  /// Goes on with what an earlier life of the daemon has begun, before anybody else has the disk:
  /// nothing stands against it, and workers that take no more are asked again.
  func resume() {
    unit.changes.begin()
    tellBegin()
    resubmit()
  }

  private func tellBegin() {
    logger.notice(
      "sanitize begins",
      metadata: ["lun": "\(unit.number.value)", "how": "\(request.action)"])
  }

  func run() {
    var here = place.withLock { $0 }
    if here.offset == 0, here.pass == 0, !unit.changes.isAlone { return waitForOthers() }
    if here.offset == 0, here.pass == 0 { keep() }
    do throws(StorageError) {
      let length = try piece(here)
      here.offset += length
      if here.offset == unit.backing.byteCount {
        here.offset = 0
        here.pass += 1
      }
      guard here.pass < request.passes else {
        try unit.backing.flush()
        return finish(nil)
      }
      let total = unit.backing.byteCount * UInt64(request.passes)
      let done = unit.backing.byteCount * UInt64(here.pass) + here.offset
      unit.device.with { $0.noteSanitized(done, of: total) }
      place.withLock { $0 = here }
      goOn(after: length)
    } catch {
      logger.error("sanitize failed: \(error)", metadata: ["lun": "\(unit.number.value)"])
      finish(error)
    }
  }

  private func waitForOthers() {
    loop.scheduleTask(in: .milliseconds(2)) { self.resubmit() }
  }

  /// How many bytes were done.
  private func piece(_ here: Place) throws(StorageError) -> UInt64 {
    let rest = unit.backing.byteCount - here.offset
    guard request.action == .overwrite else {
      let range = ByteRange(offset: here.offset, length: min(rest, Self.erasedByteCount))
      try unit.backing.zero(range)
      return range.length
    }
    let range = ByteRange(offset: here.offset, length: min(rest, Self.writtenByteCount))
    var block = request.block(
      pass: here.pass, blockLength: Int(unit.logicalUnit.geometry.blockLength))
    var failure: StorageError?
    // Safe: the array's own bytes, used within the closure.
    unsafe block.withUnsafeMutableBytes { buffer in
      do throws(StorageError) {
        try unsafe unit.backing.overwrite(range, with: UnsafeRawBufferPointer(buffer))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return range.length
  }

  /// The next piece, when the pace allows it; a daemon that stops takes no more.
  private func goOn(after byteCount: UInt64) {
    guard request.action == .overwrite else { return resubmit() }
    let pause = byteCount * 1_000_000_000 / writtenBytesPerSecondMax
    loop.scheduleTask(in: .nanoseconds(Int64(clamping: pause))) { self.resubmit() }
  }

  private func resubmit() {
    guard !workers.submit(self), !workers.isStopped else { return }
    loop.scheduleTask(in: .milliseconds(20)) { self.resubmit() }
  }

  private func finish(_ failure: StorageError?) {
    let result = unit.device.with { $0.finishSanitize(failure?.diskFailure) }
    keep()
    unit.changes.end()
    logger.notice("sanitize ends", metadata: ["lun": "\(unit.number.value)"])
    ended(result)
  }

  private func keep() {
    do throws(BackingRefusal) {
      try unit.device.keep()
    } catch {
      logger.error("what a disk is to remember can't be kept: \(error)")
    }
  }
}
