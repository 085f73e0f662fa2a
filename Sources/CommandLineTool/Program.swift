// The command line: a thin shell over the library's public API, and the first user of it.
//
// Everything wrong is said the same way: one line `mirrorcast: what`, then one line of advice, on
// standard error; 1 when something failed, 64 when the command was written wrongly. Whatever can
// be refused without the network is refused in a command's `validate`, before anything is opened.

import ArgumentParser
import Mirrorcast

/// The root of the command line; its subcommands do the work.
struct MirrorcastCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mirrorcast",
    abstract: "Write once, store on many: one multicast WRITE reaches every iSCSI target.",
    discussion: """
      A target is a daemon that serves disks (LUNs) over iSCSI. A mirror registers LUNs of \
      several targets, its legs, as one multicast group, sends each write onto the wire once, \
      and has from every leg a status that says it is stored. Lost datagrams are sent again.

      Try it on one machine, in three terminals:
        mirrorcast target --portal 127.0.0.1:3261 \\
          --iqn iqn.2026-01.org.example:a --lun 0=file:/tmp/a.img,size=1G
        mirrorcast target --portal 127.0.0.1:3262 \\
          --iqn iqn.2026-01.org.example:b --lun 0=file:/tmp/b.img,size=1G
        mirrorcast mirror disk.img --group 239.1.2.3 --verify \\
          --to iscsi://127.0.0.1:3261/iqn.2026-01.org.example:a/0 \\
          --to iscsi://127.0.0.1:3262/iqn.2026-01.org.example:b/0

      Exit status: 0 all good; 1 something failed (a leg, a difference); 64 a usage error. \
      Errors, logs and progress go to standard error, results to standard output.
      """,
    version: "0.1.0",
    subcommands: [
      TargetCommand.self, CheckCommand.self, MirrorCommand.self, ReadCommand.self, ListCommand.self,
      VerifyCommand.self, BenchCommand.self, DoctorCommand.self, StatusCommand.self,
      AddCommand.self, DetachCommand.self, AttachCommand.self, ForgetCommand.self,
      ResyncCommand.self, ResolveCommand.self, ReleaseCommand.self,
      ExerciseCommand.self,
    ])
}

/// Parses, runs, and turns what was thrown into words and an exit status.
@main
enum Program {
  static func main() async {
    do {
      var command = try MirrorcastCommand.parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      end(with: error)
    }
  }

  /// Says what went wrong and what to do about it, and ends the process.
  private static func end(with error: any Error) -> Never {
    if let error = error as? ConfigurationError {
      for complaint in error.complaints { Console.shared.say("\(complaint)") }
      MirrorcastCommand.exit(withError: ExitCode(1))
    }
    if let error = error as? MirrorcastError {
      for line in error.details { Console.shared.say("  \(line)") }
      Console.shared.complain(error.what, advice: error.advice)
      MirrorcastCommand.exit(withError: ExitCode(1))
    }
    let code = MirrorcastCommand.exitCode(for: error)
    let message = MirrorcastCommand.message(for: error)
    if code.isSuccess || message.isEmpty {
      MirrorcastCommand.exit(withError: error)
    }
    if let (wrong, right) = Misspelling.find(CommandLine.arguments.dropFirst().first) {
      Console.shared.complain(
        "there is no command '\(wrong)'",
        advice: right.map { "Did you mean '\($0)'?" } ?? "See 'mirrorcast --help' for all of them.")
      MirrorcastCommand.exit(withError: code)
    }
    let lines = message.split(separator: "\n", maxSplits: 1).map(String.init)
    // The parser's last line names the help of the very subcommand.
    let seeHelp = MirrorcastCommand.fullMessage(for: error)
      .split(separator: "\n").last.map { $0.drop { $0 == " " } }.map(String.init)
    let isUsage = code == .validationFailure
    Console.shared.complain(
      lines[0], advice: lines.count > 1 ? lines[1] : isUsage ? seeHelp : nil)
    MirrorcastCommand.exit(withError: code)
  }
}

/// A usage error, exit status 64: what is wrong with the command, and what to write instead.
func usageError(_ what: String, advice: String) -> ValidationError {
  ValidationError("\(what)\n\(advice)")
}

/// Turns a parser of the library into one for an option, so that its advice is shown.
func parsing<Value>(
  _ parse: @escaping @Sendable (String) throws(MirrorcastError) -> Value
) -> @Sendable (String) throws -> Value {
  { text in
    do throws(MirrorcastError) {
      return try parse(text)
    } catch {
      throw usageError(error.what, advice: error.advice ?? "Write it as --help shows.")
    }
  }
}
