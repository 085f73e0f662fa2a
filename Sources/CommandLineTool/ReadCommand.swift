import ArgumentParser
import Glibc
import Mirrorcast

/// `mirrorcast read`: the bytes of one LUN.
struct ReadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Read an iSCSI disk into a file or to standard output.",
    discussion: """
      All of a disk into a file, which is replaced when it is there:
        mirrorcast read iscsi://10.0.0.1/iqn.2026-01.org.example:a/0 -o copy.img
      The first MiB of it, looked at:
        mirrorcast read iscsi://10.0.0.1/iqn.2026-01.org.example:a/0 \\
          --length 1M | xxd | less

      Works with any iSCSI target. A bar shows rate and time left while it writes to a file.
      """)

  @Argument(
    help: "The disk: iscsi://HOST[:PORT]/IQN/LUN.",
    transform: parsing(LogicalUnitURL.init(parsing:)))
  var url: LogicalUnitURL

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The file to write. (default: standard output)", valueName: "file"))
  var output: String?

  @Option(
    help: ArgumentHelp("The first byte to read. (default: 0)", valueName: "size"),
    transform: ByteSize.init(parsing:))
  var offset: ByteSize = ByteSize(0)

  @Option(
    help: ArgumentHelp("How many bytes to read. (default: to the end)", valueName: "size"),
    transform: ByteSize.init(parsing:))
  var length: ByteSize?

  @Flag(help: "Say nothing but errors.")
  var quiet = false

  @OptionGroup(title: "Login")
  var login: IdentityArguments

  @OptionGroup
  var log: LogArguments

  func validate() throws {
    guard output != nil || isatty(STDOUT_FILENO) == 0 else {
      throw usageError(
        "a disk's bytes are not for a terminal", advice: "Give -o FILE, or pipe it into a program.")
    }
    guard length != ByteSize(0) else {
      throw usageError("--length 0 reads nothing", advice: "Give a size, or leave --length out.")
    }
  }

  func run() async throws {
    let session = try await LogicalUnitSession.open(
      url, identity: try login.identity(), logger: log.logger)
    do {
      try await copy(from: session)
    } catch {
      await session.close()
      throw error
    }
    await session.close()
  }

  private func copy(from session: LogicalUnitSession) async throws {
    let start = offset.byteCount
    guard start < session.byteCount,
      (length?.byteCount ?? 0) <= session.byteCount - start
    else {
      throw MirrorcastError(
        "\(url) has \(session.byteCount) bytes: the range asked for ends behind them",
        advice: "Lower --offset or --length.")
    }
    let end = length.map { start + $0.byteCount } ?? session.byteCount
    let descriptor = try openOutput()
    let progress = Progress(
      verb: "reading", total: end - start, isQuiet: quiet || output == nil)
    try await progress.during {
      // Reads are of whole blocks; what was not asked for is cut off at either end.
      let block = UInt64(session.blockSize)
      let whole = start / block * block..<(end + block - 1) / block * block
      try await readInOrder(whole, step: ReadShape.length, inFlight: ReadShape.inFlight) {
        try await session.read(at: $0.lowerBound, count: $0.count)
      } consume: { range, bytes in
        let first = Int(max(start, range.lowerBound) - range.lowerBound)
        let last = Int(min(end, range.upperBound) - range.lowerBound)
        guard writeAll(descriptor, bytes[first..<last]) else {
          throw outputError(at: range.lowerBound)
        }
        progress.advance(by: last - first)
      }
    }
    guard descriptor == STDOUT_FILENO || Glibc.close(descriptor) == 0 else {
      throw outputError(at: end)
    }
  }

  private func openOutput() throws(MirrorcastError) -> Int32 {
    guard let output else { return STDOUT_FILENO }
    // Safe: the string outlives the call that reads it.
    let descriptor = unsafe open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw MirrorcastError(
        "can't write '\(output)': \(systemErrorText())",
        advice: "Give a file with -o that you may write.")
    }
    return descriptor
  }

  private func outputError(at offset: UInt64) -> MirrorcastError {
    MirrorcastError(
      "can't write '\(output ?? "standard output")' at the disk's byte \(offset): "
        + systemErrorText(),
      advice: "What was read so far is there; the rest is missing.")
  }
}
