// Where a host's name ends and its port begins: one reading for URLs and portals alike.
//
// A name is not looked up here, so a parsed address may still name nobody; but a numeric address is
// read in full, since `10.0.0.300` would otherwise be asked for as a name.

import Datagrams

/// A host, by name or numeric address, and a TCP port, as they stand in a URL or an option.
struct HostAndPort {
  static let defaultPort = 3260

  var host: String
  var port: Int

  init(parsing text: String, ports: ClosedRange<Int>, in whole: String) throws(MirrorcastError) {
    let (host, portText) = try Self.split(text, in: whole)
    guard !host.isEmpty else {
      throw MirrorcastError(
        "'\(whole)' names no host", advice: "Write HOST:PORT, such as 127.0.0.1:3260.")
    }
    self.host = String(host)
    port = Self.defaultPort
    if let portText {
      guard let port = decimal(portText), ports.contains(port) else {
        throw MirrorcastError(
          "'\(portText)' in '\(whole)' is no port",
          advice: "A port is a number from \(ports.lowerBound) to \(ports.upperBound).")
      }
      self.port = port
    }
  }

  private static func split(
    _ text: String, in whole: String
  ) throws(MirrorcastError) -> (host: Substring, port: Substring?) {
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else {
        throw MirrorcastError("'\(whole)' has a [ without its ]", advice: ipv6Advice)
      }
      let host = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      guard isIPv6(host), rest.isEmpty || rest.hasPrefix(":") else {
        throw MirrorcastError("'\(text)' is no IPv6 address in brackets", advice: ipv6Advice)
      }
      return (host, rest.isEmpty ? nil : rest.dropFirst())
    }
    let colons = text.utf8.count { $0 == UInt8(ascii: ":") }
    guard colons <= 1 else {
      throw MirrorcastError("'\(text)' has more than one colon", advice: ipv6Advice)
    }
    let colon = text.firstIndex(of: ":") ?? text.endIndex
    let host = text[..<colon]
    guard host.isEmpty || isName(host) || isIPv4(host) else {
      throw MirrorcastError(
        "'\(host)' in '\(whole)' is neither a host's name nor an address",
        advice: "Write a name, 10.0.0.1 or [fd00::1].")
    }
    return (host, colon == text.endIndex ? nil : text[text.index(after: colon)...])
  }

  private static let ipv6Advice = "Write an IPv6 address in brackets: [fd00::1] or [fd00::1]:3260."

  private static func isIPv4(_ text: Substring) -> Bool {
    let endpoint = try? Endpoint(String(text), defaultPort: 0)
    return endpoint?.family == .v4
  }

  /// An address, and maybe a scope: `fe80::1%eth0`. Whether there is an eth0 the connection tells.
  private static func isIPv6(_ text: Substring) -> Bool {
    let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = parts.first, parts.count == 1 || !parts[1].isEmpty,
      parts.dropFirst().allSatisfy({ $0.utf8.allSatisfy(isNameByte) })
    else { return false }
    let endpoint = try? Endpoint("[\(address)]", defaultPort: 0)
    return endpoint?.family == .v6
  }

  /// RFC 1123 names, with the underscore that is met in practice. One whose last label is a number
  /// would be an address, and isn't.
  private static func isName(_ text: Substring) -> Bool {
    guard text.utf8.count <= 253, text.utf8.first != UInt8(ascii: "-"),
      text.utf8.allSatisfy(isNameByte), !text.hasPrefix("."), !text.contains("..")
    else { return false }
    return text.split(separator: ".").last.map { decimal($0) == nil } ?? false
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "_"):
      true
    default: false
    }
  }

  /// The way it is written: an IPv6 address in brackets, the port always.
  static func text(host: String, port: Int) -> String {
    host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}

/// A number of decimal digits and nothing else; nil also where it is too large to mean anything.
func decimal(_ text: Substring) -> Int? {
  guard !text.isEmpty, text.utf8.count <= 9,
    text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
  else { return nil }
  return Int(text)
}
