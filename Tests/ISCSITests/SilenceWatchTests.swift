import ISCSI
import Testing

@Suite struct `A watch over a silent peer` {
  private static let millisecond: UInt64 = 1_000_000

  @Test func `pings, waits, and gives up`() {
    var watch = SilenceWatch(quietMilliseconds: 100, answerMilliseconds: 50, now: 0)
    let early = watch.handleTimeout(now: 99 * Self.millisecond)
    let first = watch.nextDeadline
    let ping = watch.handleTimeout(now: first)
    let waiting = watch.handleTimeout(now: first + 1)
    let second = watch.nextDeadline
    let lost = watch.handleTimeout(now: second)
    #expect(early == .nothing && ping == .ping && waiting == .nothing && lost == .lost)
    #expect(first == 100 * Self.millisecond && second == 150 * Self.millisecond)
  }

  @Test func `any sign of life begins anew`() {
    var watch = SilenceWatch(quietMilliseconds: 100, answerMilliseconds: 50, now: 0)
    for round in 1...20 as ClosedRange<UInt64> {
      let ping = watch.handleTimeout(now: watch.nextDeadline)
      #expect(ping == .ping)
      watch.heard(now: round * 149 * Self.millisecond)
      #expect(watch.nextDeadline == round * 149 * Self.millisecond + 100 * Self.millisecond)
    }
    // Old news don't make a peer older.
    watch.heard(now: 0)
    #expect(watch.nextDeadline == 3080 * Self.millisecond)
  }
}
