import Testing

@testable import Replication

/// What is remembered of copies that go on.
@Suite struct CopyJobsTests {
  @Test func `too many doubts are one of all that is marked`() {
    var work = CopyWork()
    for index in 0..<UInt64(CopyWork.doubtsMax) { work.doubt(index..<index + 1) }
    #expect(work.doubts.count == CopyWork.doubtsMax)
    #expect(!work.doubts.contains { $0 == nil })
    work.doubt(7..<8)
    #expect(work.doubts.count == 2)
    #expect(work.doubts.contains { $0 == nil })
  }
}
