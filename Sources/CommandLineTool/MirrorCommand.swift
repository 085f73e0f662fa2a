import ArgumentParser
import Mirrorcast

/// `mirrorcast mirror`: one image onto all legs.
struct MirrorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mirror",
    abstract: "Write an image onto several iSCSI disks at once.",
    discussion: """
      OVERWRITES the disks from their first byte. What lies behind the image's end stays as it \
      was; a last, partial block is filled with zeros. All legs must have one size, and an \
      image larger than that is refused before anything is written.

      A disk image onto two targets, read back and compared:
        mirrorcast mirror disk.img --group 239.1.2.3 --interface eth1 --verify \\
          --to iscsi://10.0.0.1/iqn.2026-01.org.example:a/0 \\
          --to iscsi://10.0.0.2/iqn.2026-01.org.example:b/0
      From a pipe, with 5 % of the datagrams lost on purpose:
        zcat disk.img.gz | mirrorcast mirror - --drop 0.05 \\
          --group 239.1.2.3 --to … --to …

      While it runs, a bar shows rate, time left and repaired blocks. A leg that fails is named \
      at once and the others go on; then a line for each leg says GOOD or what failed. A target \
      of another make can be a leg: it is written by ordinary iSCSI beside the others. Exit \
      status 1 when any leg failed or, with --verify, differs.
      """)

  @Argument(help: "The image: a file, a block device, or - for standard input.")
  var image: String

  @OptionGroup(title: "Mirror")
  var arguments: MirrorArguments

  @Flag(help: "Read every leg back over iSCSI afterwards and compare.")
  var verify = false

  @Flag(help: "Print the result as one JSON object on standard output.")
  var json = false

  @Flag(help: "Say nothing but errors.")
  var quiet = false

  func validate() throws {
    guard !image.isEmpty else {
      throw usageError("the image has no name", advice: "Give a file, a block device, or -.")
    }
  }

  func run() async throws {
    let options = try arguments.options(isQuiet: quiet)
    let source = try ImageSource(opening: image)
    var copied = ImageCopy.Outcome()
    let isStream = source.byteCount == nil
    let result = try await MirrorRun.perform(
      options, legs: arguments.legs, logger: arguments.log.logger, isQuiet: quiet
    ) { run in
      let progress = Progress(verb: "writing", total: source.byteCount, isQuiet: quiet)
      let copy = try ImageCopy(
        source: source, run: run, wanted: options, progress: progress,
        keepsDigests: verify && isStream)
      copied = try await progress.during(repaired: run.repaired) {
        try await onOwnThread { try copy.perform() }
      }
    }
    if copied.padding > 0, !quiet {
      Console.shared.say("note: the last block was filled up with \(copied.padding) zero bytes")
    }
    let good = result.legs.filter(\.isGood).map(\.url)
    var verified: Bool?
    if verify {
      let verification = Verification(
        expected: copied.digests.map(ExpectedBytes.digests) ?? .image(source),
        byteCount: copied.byteCount, identity: options.identity,
        logger: arguments.log.logger)
      let isSame = await verification.run(good, isQuiet: quiet)
      verified = isSame && good.count == result.legs.count && copied.isWhole
    }
    report(result, copied, verified)
    guard result.isGood, copied.isWhole, verified != false else { throw ExitCode(1) }
  }

  private func report(_ result: RunResult, _ copied: ImageCopy.Outcome, _ verified: Bool?) {
    if !copied.isWhole {
      Console.shared.complain(
        "every leg failed: stopped after \(copied.byteCount) bytes of \(image)",
        advice: "Look at the targets' logs, then mirror the whole image anew.")
    }
    if json {
      var members = result.members
      if let verified { members.append(("verified", .bool(verified))) }
      members.append(("image", .string(image)))
      members.append(("notices", .array(result.notices.map(JSONValue.string))))
      Console.shared.result(JSONValue.object(members).description)
    } else if !quiet {
      Console.shared.result("\(result.table)\n\(result.summary)")
      if let verified {
        Console.shared.result(
          verified
            ? "verified: every leg holds the image"
            : "NOT verified: see what was said above")
      }
    }
  }
}
