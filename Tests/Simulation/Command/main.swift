// Runs seeds in one process; Scripts/simulate builds this and runs one of it on each core.
import Glibc
import Simulator

var seeds: UInt64 = 1
var first: UInt64 = 1
var printsTrace = false
var isSteered = false
var plant: PlantedFault?
var words = CommandLine.arguments.dropFirst()

@MainActor func number(_ word: String) -> UInt64 {
  guard let next = words.popFirst(), let number = UInt64(next) else {
    print("\(word) wants a number")
    exit(64)
  }
  return number
}

while let word = words.popFirst() {
  switch word {
  case "--seeds": seeds = number(word)
  case "--first-seed": first = number(word)
  case "--trace": printsTrace = true
  case "--steered": isSteered = true
  case "--plant":
    plant = words.popFirst().flatMap(PlantedFault.init)
    if plant == nil {
      print("faults to plant: \(PlantedFault.allCases.map(\.rawValue).joined(separator: " "))")
      exit(64)
    }
  default:
    print("no option '\(word)'")
    exit(64)
  }
}

// A machine that traps takes the process along: its seed is said before. One seed alone gets the
// runtime's own words and backtrace.
nonisolated(unsafe) let current = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
for signal in seeds == 1 ? [] : [SIGILL, SIGTRAP, SIGSEGV, SIGABRT, SIGBUS, SIGFPE] {
  Glibc.signal(signal) { signal in
    print("TRAP \(current.pointee)")
    fflush(nil)
    Glibc.signal(signal, SIG_DFL)
    raise(signal)
  }
}

let workplace = Workplace()
var total = RunCounters()
for seed in first..<first + seeds {
  current.pointee = seed
  let outcome = Simulation.run(
    seed: seed, plant: plant, isSteered: isSteered, printsTrace: printsTrace, in: workplace)
  total.add(outcome.counters)
  if let violation = outcome.violation {
    print("FAIL \(seed) \(violation)")
    for line in outcome.trace { print("  \(line)") }
  }
  if (seed - first) % 256 == 255 {
    print("DONE \(seed - first + 1)")
    fflush(nil)
  }
}
print("DONE \(seeds)")
print("TOTAL \(total.words)")
