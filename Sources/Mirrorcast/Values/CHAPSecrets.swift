// Secrets come from a file that nobody else can read, never from a command line, which all
// processes of a machine can see. Both sides read the same form, so one file can be copied:
//
//     # who      name                       secret
//     initiator  iqn.2026-01.org.example:a  at least twelve characters
//     initiator  backup                     another of that length  iqn.2026-01.org.example:b
//     target     store                      0x00112233445566778899aabb
//
// At a target every `initiator` line is somebody who may log in, as the initiators whose iSCSI
// names stand behind the secret; without any, as the one that he is named as, or, where his name is
// no iSCSI name, as every initiator. `target` is what it answers with when it is to prove itself.
// At an initiator there is one line of each: what it proves, and what it wants proved.

package import ISCSI

/// The secrets of CHAP (RFC 7143 §12.1.3), one-way or mutual.
public struct CHAPSecrets: Equatable, Sendable {
  let initiators: [CHAPAccount]
  let target: CHAPCredential?
  private let path: String

  private static let byteCountMax = 1 << 20

  /// Reads a file; throws where it can't be read, others can, or a line is not of the form.
  public init(file path: String) throws(MirrorcastError) {
    let file: SmallFile
    do throws(SmallFileError) {
      file = try SmallFile(path: path, byteCountMax: Self.byteCountMax)
    } catch {
      throw MirrorcastError(error.words(path), advice: "Give a file of secrets that you may read.")
    }
    guard !file.isOpenToOthers else {
      throw MirrorcastError(
        "others may read the secrets in '\(path)'", advice: "Run `chmod 600 \(path)`.")
    }
    guard let text = String(validating: file.bytes, as: UTF8.self) else {
      throw MirrorcastError("'\(path)' is no text", advice: "Lines are: initiator NAME SECRET.")
    }
    try self.init(parsing: text, path: path)
  }

  package init(parsing text: String, path: String) throws(MirrorcastError) {
    var initiators: [CHAPAccount] = []
    var target: CHAPCredential?
    // Also where lines end as in a file of Windows.
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    for (index, line) in lines.enumerated() {
      let line = line.trimmingBlanks
      if line.isEmpty || line.hasPrefix("#") { continue }
      let words = line.split(maxSplits: 2, whereSeparator: \.isBlank).map(\.trimmingBlanks)
      do throws(LineFault) {
        guard words.count == 3 else { throw LineFault("it lacks a name or a secret") }
        switch words[0] {
        case "initiator":
          let account = try CHAPAccount(words[1], words[2])
          let name = account.credential.name
          guard !initiators.contains(where: { $0.credential.name == name }) else {
            throw LineFault("the initiator \(name) is there twice")
          }
          initiators.append(account)
        case "target" where target != nil: throw LineFault("there is a target already")
        case "target": target = try CHAPCredential(words[1], words[2])
        default: throw LineFault("it begins with neither 'initiator' nor 'target'")
        }
      } catch {
        throw MirrorcastError(
          "line \(index + 1) of '\(path)': \(error.words)",
          advice: "Lines are: initiator NAME SECRET [IQN…], and: target NAME SECRET.")
      }
    }
    // RFC 7143 §9.2.1: one secret for both directions would let either play the other.
    if let target, initiators.contains(where: { $0.credential.secret == target.secret }) {
      throw MirrorcastError(
        "in '\(path)' an initiator has the target's secret",
        advice: "Give each direction a secret of its own.")
    }
    self.initiators = initiators
    self.target = target
    self.path = path
  }

  /// What a target demands.
  package func requirement() throws(MirrorcastError) -> CHAPRequirement {
    guard !initiators.isEmpty else {
      throw MirrorcastError(
        "'\(path)' admits nobody", advice: "Add a line: initiator NAME SECRET.")
    }
    return CHAPRequirement(accounts: initiators, own: target, functions: .standard)
  }

  /// The accounts by which anybody may log in as any initiator.
  var unboundNames: [String] {
    initiators.filter { $0.initiators == nil }.map(\.credential.name)
  }

  /// What an initiator proves.
  package func proof() throws(MirrorcastError) -> CHAPProof {
    guard let own = initiators.first, initiators.count == 1 else {
      throw MirrorcastError(
        "'\(path)' names \(initiators.count) initiators; this one needs its own secret alone",
        advice: "Leave one line: initiator NAME SECRET.")
    }
    return CHAPProof(own: own.credential, target: target, functions: .standard)
  }
}

private struct LineFault: Error {
  let words: String
  init(_ words: String) { self.words = words }
}

extension CHAPAccount {
  /// `rest`: the secret, and behind it iSCSI names; the first word is the secret's at any rate.
  fileprivate init(_ name: Substring, _ rest: Substring) throws(LineFault) {
    var secret = rest
    var initiators: [String] = []
    while let blank = secret.lastIndex(where: \.isBlank) {
      let word = secret[secret.index(after: blank)...]
      guard ["iqn.", "eui.", "naa."].contains(where: { word.hasPrefix($0) }) else { break }
      guard NodeName.isValid(String(word)) else {
        throw LineFault("a name behind the secret is no iSCSI name")
      }
      initiators.append(String(word))
      secret = secret[..<blank].trimmingBlanks
    }
    guard !NodeName.isValid(String(secret)) else {
      throw LineFault("an iSCSI name stands in the place of the secret")
    }
    self.init(try CHAPCredential(name, secret), initiators: initiators)
  }
}

extension CHAPCredential {
  fileprivate init(_ name: Substring, _ secret: Substring) throws(LineFault) {
    guard name.utf8.count <= TextKeys.simpleValueLengthMax,
      name.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
    else { throw LineFault("the name is too long, or has other characters than ASCII's") }
    let isBinary = secret.hasPrefix("0x") || secret.hasPrefix("0X")
    let bytes =
      isBinary
      ? BinaryValue.bytes(String(secret), countMax: Self.secretByteCountMax) : [UInt8](secret.utf8)
    guard let bytes else { throw LineFault("the secret behind 0x is not hexadecimal") }
    guard (Self.secretByteCountMin...Self.secretByteCountMax).contains(bytes.count) else {
      throw LineFault(
        "the secret has \(bytes.count) bytes, not"
          + " \(Self.secretByteCountMin) to \(Self.secretByteCountMax)")
    }
    self.init(name: String(name), secret: bytes)
  }
}

extension Character {
  fileprivate var isBlank: Bool { self == " " || self == "\t" || self == "\r" }
}

extension Substring {
  fileprivate var trimmingBlanks: Substring {
    var rest = drop(while: \.isBlank)
    while let last = rest.last, last.isBlank { rest.removeLast() }
    return rest
  }
}
