import Bytes

extension DeviceServer {
  /// MODE SENSE data, SPC-4 §7.5.4: header, block descriptor, pages.
  func modeData(_ sense: BlockCommand.ModeSense) throws(SenseData) -> [UInt8] {
    // SPC-4 §6.11.1: page control 3 asks for saved values, of which there are none.
    guard let control = ModeParameters.Control(rawValue: sense.pageControl) else {
      throw SenseData(.illegalRequest, .savingParametersNotSupported)
    }
    guard sense.subpage == 0 || sense.subpage == 0xff else { throw .invalidField(3) }
    let pages: [UInt8]
    switch sense.page {
    case ModeParameters.cachingCode: pages = modes.cachingPage(control)
    case ModeParameters.controlCode: pages = modes.controlPage(control)
    case 0x3f: pages = modes.cachingPage(control) + modes.controlPage(control)
    default: throw .invalidField(2)
    }
    let descriptor = sense.hasBlockDescriptor ? blockDescriptor : []
    // SBC-3 §6.4.1: WP, and DPOFUA: forced writes are obeyed.
    let specific: UInt8 = (mayWrite ? 0 : 0x80) | 0x10
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
    descriptor.appendBigEndian(UInt32(clamping: unit.geometry.blockCount))
    descriptor.appendBigEndian(unit.geometry.blockLength)
    return descriptor
  }
}
