// Who sends commands. A session is a way in and ends; an initiator port is somebody, and comes
// back: registrations belong to the port, all else that outlasts a command to the session.

/// An initiator port of iSCSI, RFC 7143 §4.4.3: a node's name and the ISID of its session.
package struct InitiatorPort: Hashable, Sendable {
  package let name: String
  package let isid: UInt64

  package init(name: String, isid: UInt64) {
    self.name = name
    self.isid = isid & 0xffff_ffff_ffff
  }

  /// `iqn…,i,0x…`, SPC-4 §7.6.4.5: as TransportIDs have it.
  package var text: String {
    let digits = String(isid, radix: 16)
    return name + ",i,0x" + String(repeating: "0", count: 12 - digits.count) + digits
  }

  /// Reads such a text; nil when it is none.
  package init?(text: String) {
    guard let comma = text.firstIndex(of: ","), text[comma...].hasPrefix(",i,0x"),
      comma != text.startIndex
    else { return nil }
    let digits = text[comma...].dropFirst(5)
    guard digits.count <= 12, let isid = UInt64(digits, radix: 16) else { return nil }
    self.init(name: String(text[..<comma]), isid: isid)
  }
}

/// One session as a disk knows it, SAM-5 §4.8.
package struct Nexus: Hashable, Sendable {
  /// Unique in the target, never used again.
  package let session: UInt64
  package let port: InitiatorPort

  package init(session: UInt64, port: InitiatorPort) {
    self.session = session
    self.port = port
  }
}
