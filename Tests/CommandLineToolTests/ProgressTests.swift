import Testing

@testable import mirrorcast

struct ProgressTests {
  @Test func `half the bytes in half the time`() {
    var meter = ProgressMeter(verb: "writing", total: 100 << 20)
    for tenth in 1...50 { meter.observe(UInt64(tenth) << 20, atSeconds: Double(tenth) / 10) }
    #expect(
      meter.line(repaired: 3)
        == "writing 50 %  50.0 MiB of 100 MiB  10.0 MiB/s  0:05 left  3 repaired")
    #expect(meter.bar(repaired: 0) == "writing [==========>         ] 50 %  10.0 MiB/s  0:05 left")
  }

  @Test func `a bar fits a terminal of 80 columns`() {
    var meter = ProgressMeter(verb: "verifying", total: .max)
    meter.observe(.max, atSeconds: 0.001)
    #expect(meter.bar(repaired: .max).count <= 79)
    #expect(meter.fraction == 1)
  }

  @Test func `without a total there is neither percent nor time left`() {
    var meter = ProgressMeter(verb: "writing", total: nil)
    meter.observe(1 << 20, atSeconds: 1)
    #expect(meter.bar(repaired: 0) == "writing 1.00 MiB  1.00 MiB/s")
  }

  @Test func `nothing done yet is no division by zero`() {
    let meter = ProgressMeter(verb: "writing", total: 10)
    #expect(meter.line(repaired: 0) == "writing 0 %  0 B of 10 B  0 B/s  -:-- left")
  }

  @Test func `the rate follows a change within seconds`() {
    var meter = ProgressMeter(verb: "writing", total: nil)
    var done: UInt64 = 0
    for tick in 1...200 {
      done += tick <= 100 ? 100 : 1000
      meter.observe(done, atSeconds: Double(tick) / 10)
    }
    #expect(meter.bytesPerSecond > 9500 && meter.bytesPerSecond < 10500)
  }

  @Test func `times and amounts read as people say them`() {
    #expect(Quantity.time(3723) == "1:02:03")
    #expect(Quantity.time(.infinity) == "-:--")
    #expect(Quantity.bytes(1023 as UInt64) == "1023 B")
    #expect(Quantity.bytes(1024 as UInt64) == "1.00 KiB")
    #expect(Quantity.decimal(1.9996, places: 3) == "2.000")
    #expect(Quantity.decimal(0.05, places: 2) == "0.05")
  }
}
