import Logging
import Mirrorcast
import ServiceLifecycle
import UnixSignals

/// Reads the daemon's configuration file again at each SIGHUP. A file with anything wrong changes
/// nothing: all of that is logged, and the daemon goes on as before.
struct ReloadService: Service {
  let daemon: TargetDaemon
  /// Nil: the daemon was told by options what to serve.
  let path: String?
  let hangups: UnixSignalsSequence
  let logger: Logger

  func run() async throws {
    for await _ in hangups.cancelOnGracefulShutdown() { await reload() }
  }

  private func reload() async {
    guard let path else {
      return logger.notice("SIGHUP: nothing to read again, since there is no --config")
    }
    do {
      let file = try ConfigurationFile(path: path)
      try await daemon.reload(file.configuration)
    } catch let error as ConfigurationError {
      for complaint in error.complaints { logger.error("\(complaint)") }
      let count = error.complaints.count
      let things = count == 1 ? "one thing is" : "\(count) things are"
      logger.error("not reloaded: \(things) wrong with \(path)")
    } catch {
      logger.error("not reloaded: \(error)")
    }
  }
}
