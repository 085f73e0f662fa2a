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

import Glibc
package import ISCSI

/// The secrets of CHAP (RFC 7143 §12.1.3), one-way or mutual.
public struct CHAPSecrets: Sendable {
  let initiators: [CHAPCredential]
  let target: CHAPCredential?
  private let path: String

  private static let byteCountMax = 1 << 20

  /// Reads a file; throws where it can't be read, others can, or a line is not of the form.
  public init(file path: String) throws(MirrorcastError) {
    let bytes: [UInt8]
    do throws(SecretFileError) {
      bytes = try Self.read(path)
    } catch {
      throw error.refusal(path)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
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

  private static func read(_ path: String) throws(SecretFileError) -> [UInt8] {
    // Safe: the path's bytes are lent for the call.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
    guard descriptor >= 0 else { throw .unreadable(errno) }
    defer { close(descriptor) }
    var status = stat()
    // Safe: the system fills the structure that the pointer lends for the call.
    guard unsafe fstat(descriptor, &status) == 0 else { throw .unreadable(errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .noFile }
    guard status.st_mode & 0o077 == 0 else { throw .open }
    guard status.st_size <= byteCountMax else { throw .tooLong }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    // Safe: at most the array's own bytes are filled; a file's read is whole or at its end.
    let count = unsafe Glibc.read(descriptor, &bytes, bytes.count)
    guard count >= 0 else { throw .unreadable(errno) }
    return Array(bytes.prefix(count))
  }
}

private struct LineFault: Error {
  let words: String
  init(_ words: String) { self.words = words }
}

private enum SecretFileError: Error {
  case unreadable(Int32)
  case noFile
  case open
  case tooLong

  func refusal(_ path: String) -> MirrorcastError {
    switch self {
    case .unreadable(let number):
      // Safe: the text is the C library's own, ends with a zero and is copied at once.
      let words = unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
      return MirrorcastError(
        "can't read the secrets in '\(path)': \(words)", advice: "Give a file that you may read.")
    case .noFile: return MirrorcastError("'\(path)' is no file", advice: "Secrets are in a file.")
    case .open:
      return MirrorcastError(
        "others may read the secrets in '\(path)'", advice: "Run `chmod 600 \(path)`.")
    case .tooLong: return MirrorcastError("'\(path)' is longer than any file of secrets")
    }
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
