// COMPARE AND WRITE, ORWRITE and WRITE ATOMIC are one step for everybody else: while one of them is
// under way, nothing else touches its bytes. Ordinary reads and writes run side by side, and only
// wait for those. What a mirror places in memory goes past this: it has no such commands.

import Glibc
import SCSI

/// Keeps an operation that must be alone in its range apart from all that overlap it.
// Safe: everything below `lock` is touched only while it is held.
@safe package final class RangeExclusion: @unchecked Sendable {
  private struct Claim {
    let range: ByteRange
    let isAlone: Bool
    /// It has the range; else it waits for it.
    var isActive: Bool
    let serial: UInt64
  }

  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  private var claims: [Claim] = []
  private var aloneCount = 0
  private var serial: UInt64 = 0

  package init() {
    claims.reserveCapacity(64)
    // Safe: both live at fixed addresses until deinit, as pthreads wants it.
    unsafe lock = .allocate(capacity: 1)
    unsafe lock.initialize(to: pthread_mutex_t())
    unsafe changed = .allocate(capacity: 1)
    unsafe changed.initialize(to: pthread_cond_t())
    unsafe pthread_mutex_init(lock, nil)
    unsafe pthread_cond_init(changed, nil)
  }

  deinit {
    // Safe: nobody has a reference any more, so nobody holds or waits.
    unsafe pthread_cond_destroy(changed)
    unsafe pthread_mutex_destroy(lock)
    unsafe changed.deallocate()
    unsafe lock.deallocate()
  }

  /// Runs `body` while the range is its own, or shared with others that don't mind.
  func with(
    _ range: ByteRange, alone isAlone: Bool, _ body: () throws(StorageError) -> Void
  ) throws(StorageError) {
    let number = enter(range, isAlone)
    defer { leave(number) }
    try body()
  }

  /// As `with`, for an operation that doesn't mind others; false, and `body` not run, where it
  /// would have to wait.
  func withoutWaiting(
    _ range: ByteRange, _ body: () throws(StorageError) -> Bool
  ) throws(StorageError) -> Bool {
    guard let number = enterAtOnce(range) else { return false }
    defer { leave(number) }
    return try body()
  }

  private func enterAtOnce(_ range: ByteRange) -> UInt64? {
    // Safe: a valid mutex for as long as self, given back on the same thread.
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    serial += 1
    claims.append(Claim(range: range, isAlone: false, isActive: true, serial: serial))
    guard !mustWait(claims.count - 1) else {
      claims.removeLast()
      return nil
    }
    return serial
  }

  private func enter(_ range: ByteRange, _ isAlone: Bool) -> UInt64 {
    // Safe: the lock is valid for as long as self; the wait gives it up and takes it again.
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    serial += 1
    let number = serial
    if isAlone { aloneCount += 1 }
    claims.append(Claim(range: range, isAlone: isAlone, isActive: false, serial: number))
    while let index = claims.firstIndex(where: { $0.serial == number }), mustWait(index) {
      unsafe pthread_cond_wait(changed, lock)
    }
    if let index = claims.firstIndex(where: { $0.serial == number }) {
      claims[index].isActive = true
    }
    return number
  }

  /// For whoever has the range, and, lest it starve, for one that came before and waits.
  private func mustWait(_ index: Int) -> Bool {
    guard aloneCount > 0 else { return false }
    let own = claims[index]
    return claims.contains { other in
      other.serial != own.serial && (other.isAlone || own.isAlone)
        && (other.isActive || other.serial < own.serial) && other.range.overlaps(own.range)
    }
  }

  private func leave(_ number: UInt64) {
    // Safe: a valid mutex for as long as self, given back on the same thread.
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    guard let index = claims.firstIndex(where: { $0.serial == number }) else {
      preconditionFailure("a range left that was not entered")
    }
    let isNews = aloneCount > 0
    if claims[index].isAlone { aloneCount -= 1 }
    claims.remove(at: index)
    // Safe: a valid condition for as long as self.
    if isNews { unsafe pthread_cond_broadcast(changed) }
  }
}

extension ByteRange {
  fileprivate func overlaps(_ other: ByteRange) -> Bool {
    offset < other.end && other.offset < end
  }
}

extension DiskOperation {
  /// The bytes that it touches, and whether it must be alone there; nil where it touches none.
  var claim: (range: ByteRange, isAlone: Bool)? {
    switch self {
    case .writeAtomic(let range, _), .orWrite(let range, _), .compareAndWrite(let range, _):
      (range, true)
    case .read(let range), .write(let range, _), .writeAndCompare(let range),
      .compare(let range), .verify(let range), .fill(let range):
      (range, false)
    case .zero(let ranges): hull(ranges).map { ($0, false) }
    case .prefetch, .allocation, .flush: nil
    }
  }
}

/// From the first byte of several ranges to the last: two lists can't wait for each other then.
private func hull(_ ranges: [ByteRange]) -> ByteRange? {
  guard let start = ranges.map(\.offset).min(), let end = ranges.map(\.end).max() else {
    return nil
  }
  return ByteRange(offset: start, length: end - start)
}
