import Bytes

extension LogicalUnit {
  /// MODE SENSE data, SPC-4 §7.5.4: header, block descriptor, pages.
  func modeData(_ sense: BlockCommand.ModeSense) throws(SenseData) -> [UInt8] {
    // SPC-4 §6.11.1: page control 3 asks for saved values, of which there are none.
    guard sense.pageControl != 3 else {
      throw SenseData(.illegalRequest, .savingParametersNotSupported)
    }
    guard sense.subpage == 0 || sense.subpage == 0xff else { throw .invalidField(3) }
    let isChangeable = sense.pageControl == 1
    let pages: [UInt8]
    switch sense.page {
    case 0x08: pages = Self.cachingPage(isChangeable)
    case 0x0a: pages = Self.controlPage(isChangeable)
    case 0x3f: pages = Self.cachingPage(isChangeable) + Self.controlPage(isChangeable)
    default: throw .invalidField(2)
    }
    let descriptor = sense.hasBlockDescriptor ? blockDescriptor : []
    // SBC-3 §6.4.1: WP, and DPOFUA: forced writes are obeyed.
    let specific: UInt8 = (isWriteProtected ? 0x80 : 0) | 0x10
    let rest = descriptor + pages
    var data: [UInt8] = []
    if sense.isLong {
      data.appendBigEndian(UInt16(6 + rest.count))
      data += [0, specific, 0, 0]
      data.appendBigEndian(UInt16(descriptor.count))
    } else {
      data += [UInt8(3 + rest.count), 0, specific, UInt8(descriptor.count)]
    }
    return data + rest
  }

  private var blockDescriptor: [UInt8] {
    var descriptor: [UInt8] = []
    descriptor.appendBigEndian(UInt32(clamping: geometry.blockCount))
    descriptor.appendBigEndian(geometry.blockLength)
    return descriptor
  }

  /// SBC-3 §6.4.5: WCE, there is a volatile cache: the page cache, or memory itself.
  private static func cachingPage(_ isChangeable: Bool) -> [UInt8] {
    [0x08, 0x12, isChangeable ? 0 : 0x04] + [UInt8](repeating: 0, count: 17)
  }

  /// SPC-4 §7.5.8: unrestricted reordering, and nothing that could be changed.
  private static func controlPage(_ isChangeable: Bool) -> [UInt8] {
    [0x0a, 0x0a, 0, isChangeable ? 0 : 0x10] + [UInt8](repeating: 0, count: 8)
  }
}
