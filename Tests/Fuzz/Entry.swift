// What libFuzzer calls. One program has all fuzzers; the name that it is called by says which.
//
// A fuzzer is a function of bytes that must end, whatever they are: a trap, a hang, memory without
// bound or an invariant that doesn't hold (`require`) is a find.
import Glibc

/// The fuzzers, by the names of their corpora.
enum Fuzzer: String, CaseIterable, Sendable {
  case stream, text, command, chap, datagram

  func run(_ bytes: [UInt8]) {
    switch self {
    case .stream: fuzzStream(bytes)
    case .text: fuzzText(bytes)
    case .command: fuzzCommands(bytes)
    case .chap: fuzzCHAP(bytes)
    case .datagram: fuzzDatagrams(bytes)
    }
  }

  /// Inputs that our own encoders make, from which the search begins.
  var seeds: [Seed] {
    switch self {
    case .stream: streamSeeds()
    case .text: textSeeds()
    case .command: commandSeeds()
    case .chap: chapSeeds()
    case .datagram: datagramSeeds()
    }
  }
}

/// An input with a name.
struct Seed {
  var name: String
  var bytes: [UInt8]
}

nonisolated(unsafe) private var chosen = Fuzzer.stream

@c(LLVMFuzzerInitialize)
public func initialize(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>>>
) -> CInt {
  let path = String(cString: arguments.pointee[0])
  let name = String(path.split(separator: "/").last ?? "")
  guard let fuzzer = Fuzzer(rawValue: name) else {
    print("call it by one of the names \(Fuzzer.allCases.map(\.rawValue))")
    exit(64)
  }
  chosen = fuzzer
  if let folder = getenv("FUZZ_SEEDS") { writeSeeds(of: fuzzer, to: String(cString: folder)) }
  return 0
}

@c(LLVMFuzzerTestOneInput)
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  chosen.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
  return 0
}

private func writeSeeds(of fuzzer: Fuzzer, to folder: String) -> Never {
  for seed in fuzzer.seeds {
    guard let file = fopen("\(folder)/\(seed.name)", "w") else { exit(74) }
    let written = seed.bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
    guard fclose(file) == 0, written == seed.bytes.count else { exit(74) }
  }
  exit(0)
}

/// What must hold whatever the input was.
func require(_ condition: Bool, _ words: @autoclosure () -> String) {
  guard !condition else { return }
  fatalError(words())
}
