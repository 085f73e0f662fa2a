import ArgumentParser
import Glibc
import Mirrorcast

/// Who this program says it is to a target, and by what secret.
struct IdentityArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The iSCSI name to log in with. (default: one with this host's name)", valueName: "iqn"))
  var initiatorName: String?

  @Option(
    help: ArgumentHelp(
      """
      A file of CHAP secrets that nobody else may read: a line 'initiator NAME SECRET', and one \
      'target NAME SECRET' where the target is to prove itself, too.
      """, valueName: "file"))
  var secrets: String?

  func identity() throws -> InitiatorIdentity {
    let file = try secrets.map { (path) throws(MirrorcastError) in try CHAPSecrets(file: path) }
    return InitiatorIdentity(name: initiatorName ?? Self.ownName, secrets: file)
  }

  /// This machine's name as an initiator, RFC 7143 §4.2.7.
  private static var ownName: String {
    var bytes = [CChar](repeating: 0, count: 256)
    // Safe: the last byte is left as NUL whatever gethostname does.
    let isKnown = unsafe gethostname(&bytes, bytes.count - 1) == 0
    let host = bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let allowed = String(decoding: host, as: UTF8.self).lowercased().filter {
      $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == ".")
    }
    return "iqn.2026-01.org.mirrorcast:\(isKnown && !allowed.isEmpty ? allowed : "initiator")"
  }
}
