// Secrets come from a file that nobody else can read, never from a command line, which all
// processes of a machine can see. Both sides read the same form, so one file can be copied:
//
//     # who      name                       secret
//     initiator  iqn.2026-01.org.example:a  at least twelve characters
//     target     store                      0x00112233445566778899aabb
//
// At a target every `initiator` line is somebody who may log in, and `target` is what it answers
// with when it is to prove itself. At an initiator there is one line of each: what it proves, and
// what it wants proved.

package import ISCSI

/// The secrets of CHAP (RFC 7143 §12.1.3), one-way or mutual.
public struct CHAPSecrets: Equatable, Sendable {
  let initiators: [CHAPCredential]
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
    var initiators: [CHAPCredential] = []
    var target: CHAPCredential?
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
      let line = line.trimmingBlanks
      if line.isEmpty || line.hasPrefix("#") { continue }
      let words = line.split(maxSplits: 2, whereSeparator: \.isBlank).map(\.trimmingBlanks)
      do throws(LineFault) {
        guard words.count == 3 else { throw LineFault("it lacks a name or a secret") }
        let credential = try CHAPCredential(words[1], words[2])
        switch words[0] {
        case "initiator" where initiators.contains { $0.name == credential.name }:
          throw LineFault("the initiator \(credential.name) is there twice")
        case "initiator": initiators.append(credential)
        case "target" where target != nil: throw LineFault("there is a target already")
        case "target": target = credential
        default: throw LineFault("it begins with neither 'initiator' nor 'target'")
        }
      } catch {
        throw MirrorcastError(
          "line \(index + 1) of '\(path)': \(error.words)",
          advice: "Lines are: initiator NAME SECRET, and: target NAME SECRET.")
      }
    }
    // RFC 7143 §9.2.1: one secret for both directions would let either play the other.
    if let target, initiators.contains(where: { $0.secret == target.secret }) {
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

  /// What an initiator proves.
  package func proof() throws(MirrorcastError) -> CHAPProof {
    guard let own = initiators.first, initiators.count == 1 else {
      throw MirrorcastError(
        "'\(path)' names \(initiators.count) initiators; this one needs its own secret alone",
        advice: "Leave one line: initiator NAME SECRET.")
    }
    return CHAPProof(own: own, target: target, functions: .standard)
  }
}

private struct LineFault: Error {
  let words: String
  init(_ words: String) { self.words = words }
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
