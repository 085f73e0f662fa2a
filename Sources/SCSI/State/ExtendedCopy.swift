// EXTENDED COPY (LID1), SPC-4 §6.4: a list of disks, and what to copy between them. A disk is named
// by its designator and found only among those that the session may reach: a copy is no way round
// that (CVE-2020-28374).
import Bytes

/// Blocks to be copied from one disk to another, or the same.
package struct CopySegment: Equatable, Sendable {
  package let source: LogicalUnitNumber
  package let sourceOffset: UInt64
  package let destination: LogicalUnitNumber
  package let destinationOffset: UInt64
  package let length: UInt64

  package init(
    source: LogicalUnitNumber, sourceOffset: UInt64, destination: LogicalUnitNumber,
    destinationOffset: UInt64, length: UInt64
  ) {
    self.source = source
    self.sourceOffset = sourceOffset
    self.destination = destination
    self.destinationOffset = destinationOffset
    self.length = length
  }
}

/// A copy to be run, segment by segment.
package struct CopyRequest: Equatable, Sendable {
  package let segments: [CopySegment]
  /// Under what number its status is kept; nil: not at all.
  let listIdentifier: UInt8?
  let byteCount: Int
}

/// A copy's end, as RECEIVE COPY RESULTS tells it.
struct CopyStatus: Equatable, Sendable {
  var session: UInt64
  var listIdentifier: UInt8
  var hasFailed: Bool
  var segmentCount: Int
  var byteCount: UInt64
}

/// A disk that a session can reach, as REPORT LUNS lists it and a copy finds it.
package struct ReachableUnit: Sendable {
  package let identity: LogicalUnitIdentity
  package let geometry: BlockGeometry

  package init(identity: LogicalUnitIdentity, geometry: BlockGeometry) {
    self.identity = identity
    self.geometry = geometry
  }
}

/// The limits of EXTENDED COPY, and how its parameters are read.
struct ExtendedCopy {
  static let targetsMax = 4
  static let segmentsMax = 8
  static let targetLength = 32
  static let segmentLength = 28
  static let headerLength = 16
  static let listLengthMax = targetsMax * targetLength + segmentsMax * segmentLength
  static let segmentByteCountMax: UInt64 = 32 << 20
  static let identificationDescriptor: UInt8 = 0xe4
  static let blockToBlock: UInt8 = 0x02

  let units: [ReachableUnit]

  /// Reads the whole parameter list.
  func request(_ data: RawSpan) throws(SenseData) -> CopyRequest {
    guard data.byteCount >= Self.headerLength else { throw .parameterListLengthError }
    let targetLength = Int(data.bigEndian16(at: 2))
    let segmentLength = data.bigEndian32(at: 8)
    // SPC-4 §6.4.3.1: no inline data, and no more descriptors than are told.
    guard data.bigEndian32(at: 12) == 0 else { throw .invalidParameter(12) }
    let rest = data.byteCount - Self.headerLength
    guard UInt64(targetLength) + UInt64(segmentLength) <= UInt64(rest),
      targetLength + Int(segmentLength) <= Self.listLengthMax
    else { throw .parameterListLengthError }
    guard targetLength <= Self.targetsMax * Self.targetLength else {
      throw SenseData(.illegalRequest, .tooManyTargetDescriptors)
    }
    let start = Self.headerLength + targetLength
    let targets = try targets(data.extracting(Self.headerLength..<start))
    let segments = try segments(
      data.extracting(start..<start + Int(segmentLength)), targets, at: start)
    let usage = data.byte(at: 1) >> 3 & 3
    // SPC-4 §6.4.3.2: 11b, the identifier isn't used and must be zero.
    guard usage != 3 || data.byte(at: 0) == 0 else { throw .invalidParameter(0) }
    return CopyRequest(
      segments: segments, listIdentifier: usage == 3 ? nil : data.byte(at: 0),
      byteCount: data.byteCount)
  }

  private func targets(_ data: RawSpan) throws(SenseData) -> [ReachableUnit?] {
    var found: [ReachableUnit?] = []
    var offset = 0
    while offset < data.byteCount {
      guard data.byte(at: offset) == Self.identificationDescriptor else {
        throw SenseData(.illegalRequest, .unsupportedTargetDescriptor)
      }
      guard data.byteCount - offset >= Self.targetLength else { throw .parameterListLengthError }
      let descriptor = data.extracting(offset..<offset + Self.targetLength)
      // SPC-4 §6.4.5.1: the designator alone names a disk, whatever LU ID TYPE says; NUL: no disk
      // at all, which a block copy can't use.
      let isNull = descriptor.byte(at: 1) & 0x20 != 0
      found.append(isNull ? nil : unit(named: descriptor))
      offset += Self.targetLength
    }
    return found
  }

  private func unit(named descriptor: RawSpan) -> ReachableUnit? {
    let length = Int(descriptor.byte(at: 7))
    guard length <= 20 else { return nil }
    let name = descriptor.extracting(8..<8 + length).array()
    let kind = descriptor.byte(at: 5) & 0x3f
    return units.first { $0.identity.designators.contains { $0.kind == kind && $0.name == name } }
  }

  private func segments(
    _ data: RawSpan, _ targets: [ReachableUnit?], at start: Int
  ) throws(SenseData) -> [CopySegment] {
    var found: [CopySegment] = []
    var offset = 0
    while offset < data.byteCount {
      guard data.byte(at: offset) == Self.blockToBlock else {
        throw SenseData(.illegalRequest, .unsupportedSegmentDescriptor)
      }
      guard data.byteCount - offset >= Self.segmentLength else { throw .parameterListLengthError }
      guard found.count < Self.segmentsMax else {
        throw SenseData(.illegalRequest, .tooManySegmentDescriptors)
      }
      let descriptor = data.extracting(offset..<offset + Self.segmentLength)
      guard Int(descriptor.bigEndian16(at: 2)) == Self.segmentLength - 4 else {
        throw .invalidParameter(start + offset + 2)
      }
      found.append(try segment(descriptor, targets, at: start + offset))
      offset += Self.segmentLength
    }
    return found
  }

  // SPC-4 §6.4.6.5
  private func segment(
    _ descriptor: RawSpan, _ targets: [ReachableUnit?], at place: Int
  ) throws(SenseData) -> CopySegment {
    let indices = (Int(descriptor.bigEndian16(at: 4)), Int(descriptor.bigEndian16(at: 6)))
    guard indices.0 < targets.count, indices.1 < targets.count,
      let source = targets[indices.0], let destination = targets[indices.1]
    else { throw SenseData(.copyAborted, .copyTargetNotReachable) }
    let counts = descriptor.byte(at: 1) & 0x02 != 0 ? destination : source
    let length =
      UInt64(descriptor.bigEndian16(at: 10)) * UInt64(counts.geometry.blockLength)
    guard length <= Self.segmentByteCountMax else { throw .invalidParameter(place + 10) }
    return CopySegment(
      source: source.identity.number,
      sourceOffset: try Self.offset(descriptor.bigEndian64(at: 12), length, source.geometry),
      destination: destination.identity.number,
      destinationOffset: try Self.offset(
        descriptor.bigEndian64(at: 20), length, destination.geometry),
      length: length)
  }

  private static func offset(
    _ address: UInt64, _ length: UInt64, _ geometry: BlockGeometry
  ) throws(SenseData) -> UInt64 {
    let blockLength = UInt64(geometry.blockLength)
    guard length % blockLength == 0, let count = UInt32(exactly: length / blockLength),
      let bytes = try? geometry.bytes(of: BlockRange(address: address, count: count))
    else { throw SenseData(.copyAborted, .copyTargetNotReachable) }
    return bytes.offset
  }
}

extension ExtendedCopy {
  /// RECEIVE COPY RESULTS: OPERATING PARAMETERS, SPC-4 §6.24.
  static var operatingParameters: [UInt8] {
    var data: [UInt8] = [1, 0, 0, 0]
    data.appendBigEndian(UInt16(targetsMax))
    data.appendBigEndian(UInt16(segmentsMax))
    data.appendBigEndian(UInt32(listLengthMax))
    data.appendBigEndian(UInt32(segmentByteCountMax))
    // No inline data, no held data, no streams.
    data += [UInt8](repeating: 0, count: 14)
    data.appendBigEndian(1 as UInt16)
    data += [1, 9, 0, 0, 0, 0, 0]
    let codes = [blockToBlock, identificationDescriptor]
    data += [UInt8(codes.count)] + codes
    var whole: [UInt8] = []
    whole.appendBigEndian(UInt32(data.count))
    return whole + data
  }
}

extension CopyStatus {
  /// RECEIVE COPY RESULTS: COPY STATUS, SPC-4 §6.23.
  var data: [UInt8] {
    var data: [UInt8] = []
    data.appendBigEndian(8 as UInt32)
    data.append(hasFailed ? 0x02 : 0x01)
    data.appendBigEndian(UInt16(clamping: segmentCount))
    // Transfer count units 0: bytes.
    data.append(0)
    data.appendBigEndian(UInt32(clamping: byteCount))
    return data
  }
}
