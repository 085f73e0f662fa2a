import ISCSI
import SCSI

/// A disk of an iSCSI target, in the form that libiscsi's tools take too:
/// `iscsi://HOST[:PORT]/IQN/LUN`.
public struct LogicalUnitURL: Sendable, Hashable, CustomStringConvertible {
  /// A host's name or a numeric address, IPv6 without its brackets.
  public var host: String
  /// The TCP port; 3260 where the text has none.
  public var port: Int
  /// The target's iSCSI name.
  public var targetName: String
  /// The number of the logical unit, 0 to 16383.
  public var lun: Int

  /// Reads a URL; throws what is wrong with it and how it is written.
  public init(parsing text: String) throws(MirrorcastError) {
    let scheme = "iscsi://"
    guard text.hasPrefix(scheme) else {
      throw MirrorcastError("'\(text)' is no iSCSI URL", advice: Self.form)
    }
    let parts = text.dropFirst(scheme.utf8.count)
      .split(separator: "/", omittingEmptySubsequences: false)
    guard !parts[0].contains("@") else {
      throw MirrorcastError(
        "'\(text)' has a user's name, and login with a password is not supported",
        advice: "Leave out what stands before the @.")
    }
    let place = try HostAndPort(parsing: String(parts[0]), ports: 1...65535, in: text)
    host = place.host
    port = place.port
    guard parts.count >= 2, !parts[1].isEmpty else {
      throw MirrorcastError("'\(text)' names no target", advice: Self.form)
    }
    targetName = String(parts[1])
    guard NodeName.isValid(targetName) else {
      throw MirrorcastError(
        "'\(targetName)' is no iSCSI name",
        advice: "It begins with iqn., eui. or naa.; `mirrorcast ls \(place.host)` lists names.")
    }
    guard parts.count >= 3, !parts[2].isEmpty else {
      throw MirrorcastError(
        "'\(text)' lacks the LUN", advice: "Put /0 behind it for the first disk. \(Self.form)")
    }
    guard parts.count == 3, let lun = decimal(parts[2]), lun <= LogicalUnitNumber.max else {
      throw MirrorcastError(
        "'\(parts[2...].joined(separator: "/"))' in '\(text)' is no LUN",
        advice: "A LUN is a number from 0 to \(LogicalUnitNumber.max), and ends the URL.")
    }
    self.lun = lun
  }

  private static let form = "Write iscsi://HOST[:PORT]/IQN/LUN."

  /// The URL with its port, whether it was given or not.
  public var description: String { "iscsi://\(portal)/\(targetName)/\(lun)" }

  /// `HOST:PORT`, as it stands in messages.
  var portal: String { HostAndPort.text(host: host, port: port) }
}

extension LogicalUnitURL {
  /// The LUN as commands carry it; a URL that was read has one.
  var number: LogicalUnitNumber {
    guard let number = LogicalUnitNumber(lun) else {
      preconditionFailure("\(lun) is no LUN: URLs are made by reading them")
    }
    return number
  }
}
