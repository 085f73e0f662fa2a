// Progress is bytes counted by whoever moves them, and a task that draws what they come to: a bar
// ten times a second on a terminal, a plain line every two seconds elsewhere.

import Synchronization

/// What to show of work that goes on: rate and time left, from bytes seen at times.
struct ProgressMeter {
  var verb: String
  var total: UInt64?
  private(set) var done: UInt64 = 0
  private(set) var bytesPerSecond: Double = 0
  private var lastSeconds: Double = 0

  init(verb: String, total: UInt64?) {
    self.verb = verb
    self.total = total
  }

  /// Takes the bytes done so far at a time since the start; the rate follows within seconds.
  mutating func observe(_ bytes: UInt64, atSeconds now: Double) {
    guard now > lastSeconds, bytes >= done else { return }
    let rate = Double(bytes - done) / (now - lastSeconds)
    // A mean over about two seconds; the first seconds are the mean since the start.
    let weight = min(1, max((now - lastSeconds) / 2, (now - lastSeconds) / now))
    bytesPerSecond += (rate - bytesPerSecond) * weight
    done = bytes
    lastSeconds = now
  }

  var fraction: Double {
    guard let total, total > 0 else { return 0 }
    return min(1, Double(done) / Double(total))
  }

  /// One line with a bar, at most 79 columns.
  func bar(repaired: UInt64) -> String {
    guard total != nil else { return String(line(repaired: repaired).prefix(79)) }
    let width = 20
    let filled = Int(fraction * Double(width))
    let head = filled < width ? ">" : ""
    let bar =
      String(repeating: "=", count: filled) + head
      + String(repeating: " ", count: width - filled - head.count)
    let text = "\(verb) [\(bar)] \(Int(fraction * 100)) %  \(rateAndTime)\(words(repaired))"
    return String(text.prefix(79))
  }

  /// One line without a bar.
  func line(repaired: UInt64) -> String {
    let amount =
      total.map { "\(Int(fraction * 100)) %  \(Quantity.bytes(done)) of \(Quantity.bytes($0))" }
      ?? Quantity.bytes(done)
    return "\(verb) \(amount)  \(rateAndTime)\(words(repaired))"
  }

  private var rateAndTime: String {
    let rate = Quantity.rate(bytesPerSecond)
    guard let total else { return rate }
    return "\(rate)  \(Quantity.time(Double(total - min(done, total)) / bytesPerSecond)) left"
  }

  private func words(_ repaired: UInt64) -> String {
    repaired > 0 ? "  \(repaired) repaired" : ""
  }
}

/// Counts bytes as they are done and shows them on standard error while work goes on.
final class Progress: Sendable {
  private let done = Atomic<UInt64>(0)
  private let meter: ProgressMeter
  private let isQuiet: Bool

  init(verb: String, total: UInt64?, isQuiet: Bool) {
    meter = ProgressMeter(verb: verb, total: total)
    self.isQuiet = isQuiet
  }

  /// Counts bytes; from any thread.
  func advance(by byteCount: Int) {
    done.add(UInt64(byteCount), ordering: .relaxed)
  }

  /// So many bytes are done in all.
  func reach(_ byteCount: UInt64) { done.store(byteCount, ordering: .relaxed) }

  /// Draws while `work` runs; `repaired` is asked at every drawing.
  func during<Value>(
    repaired: @escaping @Sendable () -> UInt64 = { 0 },
    _ work: () async throws -> Value
  ) async rethrows -> Value {
    guard !isQuiet else { return try await work() }
    let drawing = Task { await draw(repaired: repaired) }
    defer {
      drawing.cancel()
      Console.shared.showBar("")
    }
    return try await work()
  }

  private func draw(repaired: @Sendable () -> UInt64) async {
    var meter = meter
    let console = Console.shared
    let start = ContinuousClock.now
    while (try? await Task.sleep(for: .milliseconds(console.isTerminal ? 100 : 2000))) != nil {
      meter.observe(
        done.load(ordering: .relaxed), atSeconds: seconds(start.duration(to: .now)))
      if console.isTerminal {
        console.showBar(meter.bar(repaired: repaired()))
      } else {
        console.say(meter.line(repaired: repaired()))
      }
    }
  }
}
