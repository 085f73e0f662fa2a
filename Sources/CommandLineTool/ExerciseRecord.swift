// The acknowledged writes of exercises, in a file that outlives the process: a write counts as
// acknowledged only when it stands there durably, so whatever ends the exercise, the next one knows
// what must be on the disks.
//
// One line of 32 bytes for each write: first sector, sectors, number, checksum. A last line that is
// torn was never counted.

import Glibc
import Mirrorcast

/// The file that `--state` names.
final class ExerciseRecord {
  /// A write that was acknowledged; without sectors, the first number of a run.
  struct Entry: Sendable, Equatable {
    var sectors: Range<Int>
    var write: UInt64
  }

  private static let lineByteCount = 32

  private let path: String
  private let descriptor: Int32
  /// What stood there when it was opened.
  let entries: [Entry]

  init(_ path: String) throws(MirrorcastError) {
    self.path = path
    // Safe: the path ends with NUL for the call.
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw MirrorcastError(
        "can't open \(path): \(systemErrorText())", advice: "Give a file that can be written.")
    }
    let bytes = Self.readAll(descriptor)
    var entries: [Entry] = []
    var place = 0
    while place + Self.lineByteCount <= bytes.count,
      let entry = Self.parse(bytes[place..<place + Self.lineByteCount])
    {
      entries.append(entry)
      place += Self.lineByteCount
    }
    self.entries = entries
    // A torn line is written over.
    guard ftruncate(descriptor, off_t(place)) == 0, lseek(descriptor, 0, SEEK_END) >= 0 else {
      throw MirrorcastError("can't use \(path): \(systemErrorText())")
    }
  }

  deinit { close(descriptor) }

  /// Stores these durably.
  func append(_ entries: [Entry]) throws(MirrorcastError) {
    var bytes: [UInt8] = []
    for entry in entries { bytes += Self.line(entry) }
    guard writeAll(descriptor, bytes[...]), fdatasync(descriptor) == 0 else {
      throw MirrorcastError(
        "can't store what was acknowledged in \(path): \(systemErrorText())",
        advice: "Is the file system full?")
    }
  }

  private static func readAll(_ descriptor: Int32) -> [UInt8] {
    var all: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      // Safe: the array is lent for the call, which writes no more than its count.
      let count = unsafe piece.withUnsafeMutableBytes {
        unsafe read(descriptor, $0.baseAddress, $0.count)
      }
      guard count > 0 else { return all }
      all += piece[..<count]
    }
  }

  private static func line(_ entry: Entry) -> [UInt8] {
    let words = [
      UInt64(entry.sectors.lowerBound), UInt64(entry.sectors.count), entry.write,
    ]
    return (words + [digest(words)]).flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) }
    }
  }

  private static func parse(_ line: ArraySlice<UInt8>) -> Entry? {
    let bytes = Array(line)
    let words = (0..<4).map { index in
      bytes[index * 8..<index * 8 + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }
    guard digest(Array(words[..<3])) == words[3], let first = Int(exactly: words[0]),
      let count = Int(exactly: words[1]), count < 1 << 20, first < 1 << 50
    else { return nil }
    return Entry(sectors: first..<first + count, write: words[2])
  }

  private static func digest(_ words: [UInt64]) -> UInt64 {
    var mixed: UInt64 = 0x6d69_7272_6f72
    for word in words {
      var random = SplitMix64(seed: mixed ^ word)
      mixed = random.next()
    }
    return mixed
  }
}
