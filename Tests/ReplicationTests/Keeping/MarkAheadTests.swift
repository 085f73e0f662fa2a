import Testing

@testable import Replication

/// Sequential writers wait for marks at their start and never again.
@Suite struct MarkAheadTests {
  @Test func `who goes on where marks ended gets more, and others what they need`() {
    var ahead = MarkAhead(regionCount: 1000)
    let first = ahead.needed(10..<11)
    let again = ahead.needed(10..<11)
    let elsewhere = ahead.needed(500..<501)
    let second = ahead.needed(11..<12)
    #expect(first == 10..<11)
    #expect(again == 10..<11)
    #expect(elsewhere == 500..<501)
    #expect(second == 11..<20)
    let early = ahead.entered(15..<16)
    let half = ahead.entered(16..<17)
    let twice = ahead.entered(16..<17)
    let other = ahead.entered(500..<501)
    #expect(early == nil)
    #expect(half == 20..<28)
    #expect(twice == nil)
    #expect(other == nil)
  }

  @Test func `nothing is marked behind the disk's end`() {
    var ahead = MarkAhead(regionCount: 14)
    _ = ahead.needed(9..<10)
    let last = ahead.needed(10..<11)
    let more = ahead.entered(13..<14)
    #expect(last == 10..<14)
    #expect(more == nil)
  }

  @Test func `several streams are followed at once`() {
    var ahead = MarkAhead(regionCount: 1000)
    for stream in 0..<4 { _ = ahead.needed(stream * 100..<stream * 100 + 1) }
    for stream in 0..<4 {
      let start = stream * 100 + 1
      let wanted = ahead.needed(start..<start + 1)
      #expect(wanted == start..<start + 9)
    }
  }
}
