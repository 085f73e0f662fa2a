import Bytes

extension LogicalUnit {
  static let product = "MIRRORCAST DISK "
  static let revision = "0001"
  static let pages: [UInt8] = [0x00, 0x80, 0x83, 0x8f, 0xb0, 0xb1, 0xb2]

  /// The standard data, or a page of vital product data.
  func inquiryData(page: UInt8?) throws(SenseData) -> [UInt8] {
    guard let page else { return standardInquiry }
    let body: [UInt8]
    switch page {
    case 0x00: body = Self.pages
    case 0x80: body = Array(identity.serialNumber.utf8)
    case 0x83: body = identity.designators.flatMap(\.bytes)
    case 0x8f: body = ExtendedCopy.inquiryPage
    case 0xb0: body = blockLimits
    case 0xb1: body = characteristics
    case 0xb2: body = provisioning
    default: throw .invalidField(2)
    }
    var data: [UInt8] = [0, page]
    data.appendBigEndian(UInt16(body.count))
    return data + body
  }

  private var standardInquiry: [UInt8] {
    // SPC-4 §6.6.2: a disk, RMB, SPC-4, HISUP, response data format 2, 91 bytes more; 3PC; CMDQUE.
    var data: [UInt8] = [0, isRemovable ? 0x80 : 0, 0x06, 0x12, 91, 0x08, 0, 0x02]
    data.append(contentsOf: LogicalUnitIdentity.vendor.utf8)
    data.append(contentsOf: Self.product.utf8)
    data.append(contentsOf: Self.revision.utf8)
    data.append(contentsOf: repeatElement(0, count: 58 - data.count))
    // Version descriptors: SAM-5, iSCSI, SPC-4, SBC-3.
    for descriptor in [0x00a0, 0x0960, 0x0460, 0x04c0] as [UInt16] {
      data.appendBigEndian(descriptor)
    }
    data.append(contentsOf: repeatElement(0, count: 96 - data.count))
    return data
  }

  /// SBC-4 §6.6.4.
  private var blockLimits: [UInt8] {
    let blockLength = Int(geometry.blockLength)
    let optimal = blocksPerPage
    let transferMax = UInt32(Self.transferLengthMax / blockLength)
    var body: [UInt8] = [0x01, UInt8(Self.compareAndWriteBlocksMax)]
    body.appendBigEndian(UInt16(optimal))
    body.appendBigEndian(transferMax)
    body.appendBigEndian(UInt32((1 << 20) / blockLength))
    body.appendBigEndian(transferMax)
    body.appendBigEndian(takesUnmap ? UInt32.max : 0)
    body.appendBigEndian(takesUnmap ? UInt32(Self.unmapDescriptorsMax) : 0)
    body.appendBigEndian(isThin ? optimal : 0)
    body.appendBigEndian(isThin ? 0x8000_0000 : 0 as UInt32)
    body.appendBigEndian(UInt64(Self.writeSameLengthMax / blockLength))
    // WRITE ATOMIC: the longest, alignment, granularity; no boundaries.
    body.appendBigEndian(UInt32(Self.atomicLengthMax / blockLength))
    body.appendBigEndian(optimal)
    body.appendBigEndian(optimal)
    return body + [UInt8](repeating: 0, count: 60 - body.count)
  }

  private var characteristics: [UInt8] {
    // SBC-3 §6.6.2: medium rotation rate 1, a medium that doesn't rotate; WABEREQ and WACEREQ 01b:
    // after an erase all blocks can be read.
    [0, 1, 0, 0x50] + [UInt8](repeating: 0, count: 56)
  }

  private var provisioning: [UInt8] {
    // SBC-3 §6.6.6: LBPU, LBPWS, LBPWS10, LBPRZ; provisioning type 2, thin.
    isThin ? [0, takesUnmap ? 0xe4 : 0x64, 0x02, 0] : [0, 0, 0, 0]
  }
}

extension ExtendedCopy {
  /// The third-party copy page, SPC-4 §7.8.17: what can be asked, and what it may contain.
  static var inquiryPage: [UInt8] {
    let results: [BlockCommand.CopyResult] = [.copyStatus, .operatingParameters]
    let commands: [UInt8] =
      [OperationCode.extendedCopy.rawValue, 1, 0]
      + [OperationCode.receiveCopyResults.rawValue, UInt8(results.count)]
      + results.map(\.rawValue)
    var limits: [UInt8] = [0, 0, 0, 0]
    limits.appendBigEndian(UInt16(targetsMax))
    limits.appendBigEndian(UInt16(segmentsMax))
    limits.appendBigEndian(UInt32(listLengthMax))
    limits.appendBigEndian(0 as UInt32)
    let codes = [blockToBlock, identificationDescriptor]
    return descriptor(0x0001, [UInt8(commands.count)] + commands)
      + descriptor(0x0004, limits + [0, 0, 0, 0, 0, 0, 0, 0])
      + descriptor(0x0008, [UInt8(codes.count)] + codes)
  }

  private static func descriptor(_ type: UInt16, _ body: [UInt8]) -> [UInt8] {
    let padded = body + [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
    var data: [UInt8] = []
    data.appendBigEndian(type)
    data.appendBigEndian(UInt16(padded.count))
    return data + padded
  }
}
