import ArgumentParser
import Mirrorcast

/// What makes a mirror a kept one: `--name`, and what is wanted of it.
struct KeptArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      The mirror is kept under this name: its legs remember what they may differ in, one that is \
      lost or comes back is told and gets what it missed. (default: not kept)
      """, valueName: "name"))
  var name: String?

  @Option(
    help: ArgumentHelp(
      """
      The legs that a write needs: all, a number of them, or URLs with commas in between. \
      (default: as the mirror has it; a new one of three or more takes a majority, one of two one)
      """, valueName: "legs"),
    transform: parsing(RequiredLegsText.init(parsing:)))
  var require: RequiredLegsText?

  @Flag(
    help: """
      Other initiators may write to the mirror at the same time: whoever opens it first leads it, \
      and the next ones find that by any leg.
      """)
  var shared = false

  @Flag(
    help: """
      The legs of a new mirror are equal already, or what they hold doesn't matter: they are not \
      compared.
      """)
  var assumeEqual = false

  @Option(
    help: ArgumentHelp(
      "How long a leg that owes an answer may say nothing at all.", valueName: "seconds"))
  var silence: Double = 0.8

  @Option(
    help: ArgumentHelp(
      "How long writes wait where too few legs are left, until the mirror stops.",
      valueName: "seconds"))
  var patience: Double = 30

  @Option(
    help: ArgumentHelp(
      """
      How often a write that a leg failed, and others did, is sent to it again by unicast before \
      it has to leave.
      """, valueName: "times"))
  var retries = 2

  func validate() throws {
    if let name, !(1...64).contains(name.utf8.count) {
      throw usageError(
        "--name '\(name)' is no name for a mirror", advice: "Give 1 to 64 bytes, a short word.")
    }
    if name == nil, require != nil || assumeEqual || shared {
      throw usageError(
        "--require, --assume-equal and --shared are for kept mirrors",
        advice: "Give the mirror a --name.")
    }
    guard silence >= 0.05, silence <= 86400 else {
      throw usageError(
        "--silence \(silence) is no time to wait", advice: "Give seconds, from 0.05 to 86400.")
    }
    guard (0...16).contains(retries) else {
      throw usageError("--retries \(retries) is not possible", advice: "Give 0 to 16.")
    }
    guard patience >= 0, patience <= 86400 else {
      throw usageError(
        "--patience \(patience) is no time to wait", advice: "Give seconds, from 0 to 86400.")
    }
  }

  func apply(to options: inout MirrorOptions, isQuiet: Bool) {
    options.name = name
    options.keeping.required = require?.requirement
    options.keeping.areEqual = assumeEqual
    options.keeping.isShared = shared
    options.keeping.silenceSeconds = silence
    options.keeping.patienceSeconds = patience
    options.keeping.retries = retries
    options.keeping.onEvent = { KeptEvents.tell($0, isQuiet: isQuiet) }
  }

  /// For commands that make no sense without.
  func needName() throws {
    guard name == nil else { return }
    throw usageError("the mirror has no name", advice: "Give the --name that it is kept under.")
  }
}

/// `all`, a number, or URLs.
struct RequiredLegsText: Sendable {
  let requirement: LegRequirement

  init(parsing text: String) throws(MirrorcastError) {
    if text == "all" {
      requirement = .all
    } else if let count = Int(text) {
      guard (1...64).contains(count) else {
        throw MirrorcastError(
          "\(count) legs can't be required", advice: "Give 1 to 64, all, or URLs.")
      }
      requirement = .count(count)
    } else {
      var urls: [LogicalUnitURL] = []
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        urls.append(try LogicalUnitURL(parsing: String(part)))
      }
      requirement = .named(urls)
    }
  }
}

/// Events of kept mirrors on standard error, as they happen.
enum KeptEvents {
  static func tell(_ event: KeptMirrorEvent, isQuiet: Bool) {
    // A bar shows these.
    if case .copying = event { return }
    if isQuiet, !event.isTrouble { return }
    Console.shared.say("mirror: \(event)")
  }
}
