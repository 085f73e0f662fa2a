import ArgumentParser
import Logging

/// Log lines of the initiator's side: through the console, so that they don't tear the bar.
struct ConsoleLog: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
    let fields = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
    Console.shared.say("\(event.level): \(event.message)\(fields)")
  }
}

/// How much is logged, for every subcommand that uses the network.
struct LogArguments: ParsableArguments {
  @Option(help: "The least severe log lines to show on standard error.")
  var logLevel: Logger.Level = .warning

  /// A logger for a command that shows progress.
  var logger: Logger {
    Logger(label: "mirrorcast") { _ in ConsoleLog(logLevel: logLevel) }
  }
}
