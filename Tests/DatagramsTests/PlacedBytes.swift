import Glibc
import Testing

/// Hands out a page of zeros between two pages that nobody may touch: a read or a write one byte
/// too far ends the test, even where an instruction makes it that no sanitizer watches.
func withFencedPage(_ body: (UnsafeMutableRawBufferPointer) -> Void) {
  let page = Int(sysconf(Int32(_SC_PAGESIZE)))
  guard
    let whole = mmap(nil, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    whole != MAP_FAILED, mprotect(whole + page, page, PROT_READ | PROT_WRITE) == 0
  else { fatalError("no memory for a test") }
  body(UnsafeMutableRawBufferPointer(start: whole + page, count: page))
  munmap(whole, 3 * page)
}

/// Calls `body` with every placement of a source full of noise and a target, each at the beginning
/// or at the end of a page between fences, for lengths up to the page.
func withFencedPieces(
  _ body: (_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ length: Int) -> Void
) {
  withFencedPage { source in
    source.copyBytes(from: noise(source.count))
    withFencedPage { target in
      guard let from = source.baseAddress, let to = target.baseAddress else { return }
      for length in Array(0...700) + [1408, 1468, 4000, 4095, 4096] {
        let room = source.count - length
        for (sourceOffset, targetOffset) in [(0, 0), (0, room), (room, 0), (room, room)] {
          body(from + sourceOffset, to + targetOffset, length)
        }
      }
    }
  }
}

/// Bytes without a pattern.
func noise(_ count: Int) -> [UInt8] {
  var random = SystemRandomNumberGenerator()
  return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
}

/// That `copy`, all 0xa5 before, holds `piece` at `to` and is otherwise as it was.
func expectCopied(_ copy: [UInt8], to: Int, _ piece: [UInt8]) {
  var expected = [UInt8](repeating: 0xa5, count: copy.count)
  expected.replaceSubrange(to..<to + piece.count, with: piece)
  #expect(copy == expected, "\(piece.count) bytes at \(to)")
}
