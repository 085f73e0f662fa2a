// The caching mode page as an initiator reads and changes it. What it isn't about goes back as it
// came: SPC-4 §6.9.2 has fields that can't be changed sent as they are.
import Bytes

/// SBC-3 §6.4.5, out of the answer to MODE SENSE (6).
package struct CachingPage: Sendable {
  /// The longest answer that is read.
  package static let answerMax: UInt8 = 192
  static let code = ModeParameters.cachingCode

  private var page: [UInt8]

  /// Nil where the answer holds no such page.
  package init?(modeSense6 data: RawSpan) {
    guard data.byteCount >= 4 else { return nil }
    let start = 4 + Int(data.byte(at: 3))
    guard data.byteCount >= start + 3, data.byte(at: start) & 0x7f == Self.code else { return nil }
    let length = 2 + Int(data.byte(at: start + 1))
    guard length >= 3, data.byteCount >= start + length else { return nil }
    page = data.extracting(start..<start + length).array()
    // SPC-4 §7.5.7: PS is reserved in MODE SELECT.
    page[0] = Self.code
  }

  /// WCE: a write may be GOOD before the medium has it.
  package var hasWriteCache: Bool {
    get { page[2] & 0x04 != 0 }
    set { page[2] = newValue ? page[2] | 0x04 : page[2] & ~0x04 }
  }

  /// What MODE SELECT (6) is sent: header, no block descriptor, this page.
  package var parameterList: [UInt8] { [0, 0, 0, 0] + page }
}

extension CommandDescriptorBlock {
  /// The current caching page, without block descriptors.
  package static let senseCaching: CommandDescriptorBlock = {
    var block = CommandDescriptorBlock(.modeSense6)
    block[1] = 0x08
    block[2] = CachingPage.code
    block[4] = CachingPage.answerMax
    return block
  }()

  /// Pages in the standard's format, not to be saved.
  package static func modeSelect6(parameterListLength: UInt8) -> CommandDescriptorBlock {
    var block = CommandDescriptorBlock(.modeSelect6)
    block[1] = 0x10
    block[4] = parameterListLength
    return block
  }
}
