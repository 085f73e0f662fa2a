import Testing

@testable import Replication

/// The rate that is found on virtual paths: bottlenecks, random loss, and both at once.
@Suite struct PacerPathTests {
  static let megabyte = 1_000_000.0

  func stream(
    rate: Double, queue: Int, legs: Int = 3, loss: Double = 0, delay: UInt64 = 50_000,
    local: Double = 400 * megabyte, seed: UInt64 = 1, rateMax: Int? = nil
  ) -> VirtualStream {
    var path = VirtualPath(
      bottleneck: VirtualQueue(rate: rate, capacity: queue),
      legs: [VirtualBranch](repeating: VirtualBranch(loss: loss), count: legs))
    path.delayNanoseconds = delay
    path.localRate = local
    return VirtualStream(path: path, seed: seed, rateMax: rateMax)
  }

  /// Used to 95 %, and the pace within 15 % of what the bottleneck carries.
  func expectSteady(
    _ stream: VirtualStream, _ from: Double, _ to: Double, rate: Double, _ note: String
  ) {
    let used = stream.utilisation(from, to, of: rate)
    #expect(used >= 0.95, "\(note): used \(used)")
    guard let rates = stream.rates(from, to) else {
      Issue.record("\(note): unlimited")
      return
    }
    // Nine in ten samples: a step may reach a little further before the queue tells.
    let paces = stream.slice(from, to).compactMap(\.rate).sorted()
    let tenth = Double(paces[paces.count / 20]) / rate
    let rest = Double(paces[paces.count * 19 / 20]) / rate
    #expect(tenth >= 0.85 && rest <= 1.15, "\(note): \(tenth)…\(rest)")
    #expect(rates.min >= 0.55 * rate && rates.max <= 1.6 * rate, "\(note): \(rates)")
    let lost = Double(stream.dropped(from, to)) / Double(stream.sent(from, to))
    #expect(lost < 0.04, "\(note): lost \(lost)")
  }

  @Test(arguments: zip([0, 0.01, 0.1], [1, 2, 3] as [UInt64]))
  func `loss that is the path's own slows nobody down`(loss: Double, seed: UInt64) {
    let link = 100 * Self.megabyte
    var stream = stream(rate: 1e12, queue: 1 << 40, loss: loss, local: link, seed: seed)
    stream.run(until: 2_500_000_000)
    let used = stream.utilisation(1, 2.5, of: link)
    #expect(used >= 0.97, "\(used)")
    #expect(stream.utilisation(0, 1, of: link) >= 0.9)
    if loss > 0.05 {
      for leg in 0..<3 {
        let floor = stream.pacer.lossFloor(leg: leg)
        #expect(floor == 0 || abs(floor - loss) < 0.04, "\(floor)")
      }
      #expect(stream.pacer.counters.tests <= 4)
    }
  }

  @Test(arguments: zip([64, 128, 1024], [50_000, 1_000_000, 1_000_000] as [UInt64]))
  func `a bottleneck with a shallow queue is filled and no more`(queue: Int, delay: UInt64) {
    let rate = 50 * Self.megabyte
    var stream = stream(rate: rate, queue: queue << 10, delay: delay)
    stream.run(until: 3_500_000_000)
    #expect(stream.utilisation(1, 2, of: rate) >= 0.9)
    expectSteady(stream, 2, 3.5, rate: rate, "\(queue) KiB")
  }

  @Test(arguments: [0.01, 0.1])
  func `a bottleneck behind random loss is filled and no more`(loss: Double) {
    let rate = 50 * Self.megabyte
    var stream = stream(rate: rate, queue: 128 << 10, loss: loss)
    stream.run(until: 3_500_000_000)
    expectSteady(stream, 2, 3.5, rate: rate, "\(loss)")
  }

  @Test(arguments: zip([128, 512], [0, 0.1]))
  func `a path that narrows tenfold costs a bounded loss and is filled again`(
    queue: Int, loss: Double
  ) {
    let wide = 100 * Self.megabyte
    let narrow = 10 * Self.megabyte
    var stream = stream(rate: wide, queue: queue << 10, loss: loss)
    stream.path.changes = [(at: 1_500_000_000, rate: narrow)]
    stream.run(until: 4_000_000_000)
    let lost = stream.dropped(1.5, 2.5)
    #expect(lost < 16 << 20, "lost \(lost)")
    #expect(stream.utilisation(2.5, 4, of: narrow) >= 0.8)
    let rates = stream.rates(2.5, 4)
    #expect((rates?.max ?? .infinity) < 3 * narrow, "\(String(describing: rates))")
    let late = Double(stream.dropped(2.5, 4)) / Double(stream.sent(2.5, 4))
    #expect(late < 0.08, "\(late)")
  }

  // Behind 10 % random loss it takes two to three seconds yet, when most writes are long.
  @Test(arguments: zip([128, 512], [0.0, 0.0]))
  func `a path that widens tenfold is filled again`(queue: Int, loss: Double) {
    let narrow = 10 * Self.megabyte
    let wide = 100 * Self.megabyte
    var stream = stream(rate: narrow, queue: queue << 10, loss: loss)
    stream.path.changes = [(at: 2_000_000_000, rate: wide)]
    stream.run(until: 4_000_000_000)
    let used = stream.utilisation(3.3, 4, of: wide)
    #expect(used >= 0.9, "\(used)")
  }

  @Test func `the narrow leg of three governs, and only it`() {
    let rate = 40 * Self.megabyte
    var stream = stream(rate: 200 * Self.megabyte, queue: 512 << 10)
    stream.path.legs[1].branch = VirtualQueue(rate: rate, capacity: 256 << 10)
    stream.path.legs[2].loss = 0.05
    stream.run(until: 3_000_000_000)
    let paces = stream.slice(1.5, 3).compactMap(\.rate).sorted()
    #expect(paces.count > 1000)
    let middle = Double(paces[paces.count / 2]) / rate
    #expect(middle > 0.9 && middle < 1.15, "\(middle)")
    #expect(stream.utilisation(1.5, 3, of: rate) >= 0.95)
    #expect(stream.pacer.lossFloor(leg: 1) < 0.02 && stream.pacer.lossFloor(leg: 2) > 0.02)
  }

  @Test func `a leg whose socket overflows is not outrun`() {
    let rate = 40 * Self.megabyte
    var stream = stream(rate: 200 * Self.megabyte, queue: 512 << 10)
    stream.path.legs[2].socket = VirtualQueue(rate: rate, capacity: 512 << 10)
    stream.run(until: 3_000_000_000)
    let paces = stream.slice(1.5, 3).compactMap(\.rate).sorted()
    #expect(paces.count > 1000)
    let middle = Double(paces[paces.count / 2]) / rate
    #expect(middle > 0.9 && middle < 1.15, "\(middle)")
    #expect(stream.pacer.lossFloor(leg: 2) < 0.02)
    let before = stream.path.legs[2].socket?.dropped ?? 0
    stream.run(until: 4_000_000_000)
    let dropped = (stream.path.legs[2].socket?.dropped ?? 0) - before
    #expect(Double(dropped) < 0.04 * rate, "\(dropped)")
  }

  @Test func `whole trains lost by chance are a path's own loss, too`() {
    let link = 100 * Self.megabyte
    var stream = stream(rate: 1e12, queue: 1 << 40, local: link)
    for leg in 0..<3 { stream.path.legs[leg].trainLoss = 0.05 }
    stream.run(until: 3_000_000_000)
    #expect(stream.utilisation(1, 3, of: link) >= 0.85)
  }

  @Test func `after a pause nothing bursts, and the rate is what it was`() {
    let rate = 50 * Self.megabyte
    var stream = stream(rate: rate, queue: 128 << 10)
    stream.pause = 2_000_000_000..<5_000_000_000
    stream.run(until: 6_000_000_000)
    let lost = Double(stream.dropped(4.9, 6)) / Double(stream.sent(4.9, 6))
    #expect(lost < 0.04, "\(lost)")
    #expect(stream.utilisation(5.1, 6, of: rate) >= 0.93)
  }

  @Test func `an application that waits for each write gets the bottleneck's pace`() {
    let rate = 50 * Self.megabyte
    var stream = stream(rate: rate, queue: 128 << 10)
    stream.openMax = 1
    stream.writeLengths = (1 << 20)...(1 << 20)
    stream.run(until: 3_000_000_000)
    #expect(stream.utilisation(1, 3, of: rate) >= 0.9)
  }

  @Test(arguments: [0, 0.1])
  func `the user's cap holds on a lossy path`(loss: Double) {
    let cap = 20_000_000
    var stream = stream(rate: 1e12, queue: 1 << 40, loss: loss, rateMax: cap)
    stream.run(until: 2_000_000_000)
    let span = stream.slice(0.5, 2)
    for (first, last) in zip(span, span.dropFirst(100)) {
      let seconds = Double(last.time - first.time) / 1e9
      #expect(Double(last.sent - first.sent) <= Double(cap) * seconds + 200_000)
    }
    #expect(stream.sent(1, 2) > cap * 97 / 100)
  }
}
