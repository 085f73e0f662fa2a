// EXTENDED COPY at work: piece by piece from one backing to another, on a worker's thread. Every
// disk of the copy is asked whether the initiator may use it, as for a command of its own.

import SCSI
import Storage

/// One copy between disks of a target.
final class UnitCopy: StorageWork {
  static let pieceByteCount = 1 << 20

  private let request: CopyRequest
  private let unit: ServedUnit
  /// Those of the session when it asked.
  private let units: ServedUnits
  private let serving: Serving
  private let nexus: Nexus
  private let ended: @Sendable (SCSI.CommandResult) -> Void

  init(
    _ request: CopyRequest, of unit: ServedUnit, among units: ServedUnits, _ serving: Serving,
    _ nexus: Nexus,
    _ ended: @escaping @Sendable (SCSI.CommandResult) -> Void
  ) {
    self.request = request
    self.unit = unit
    self.units = units
    self.serving = serving
    self.nexus = nexus
    self.ended = ended
  }

  func run() {
    var done = 0
    var byteCount: UInt64 = 0
    var refusal: SCSI.CommandResult?
    for segment in request.segments {
      refusal = copy(segment)
      guard refusal == nil else { break }
      done += 1
      byteCount += segment.length
    }
    ended(
      unit.device.with { [refusal, done, byteCount] in
        $0.finishCopy(request, refusal, done: done, bytes: byteCount, from: nexus)
      })
  }

  /// Nil: it is copied.
  private func copy(_ segment: CopySegment) -> SCSI.CommandResult? {
    guard let source = units[Int(segment.source.value)],
      let destination = units[Int(segment.destination.value)]
    else { return CommandResult(.logicalUnitNotSupported) }
    // Counted before the mirror's mark is looked at, see MediumGate.
    destination.changes.begin()
    defer { destination.changes.end() }
    let session = nexus.session
    if let refusal = source.device.with({ $0.refusal(ofReadFrom: session) }) { return refusal }
    if let refusal = destination.device.with({ $0.refusal(ofWriteFrom: session) }) {
      return refusal
    }
    if let sense = source.keeping.readiness(for: session).sense { return CommandResult(sense) }
    if serving.isMirrored(destination) { return CommandResult(.writeProtected) }
    do throws(StorageError) {
      try move(segment, source.backing, destination.backing)
      return nil
    } catch {
      return CommandResult(SenseData(error.diskFailure, source.logicalUnit.geometry))
    }
  }

  private func move(
    _ segment: CopySegment, _ source: any BlockBacking, _ destination: any BlockBacking
  ) throws(StorageError) {
    let size = Int(min(segment.length, UInt64(Self.pieceByteCount)))
    // Safe: ours alone until the end of this function; read only after it was filled.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 4096)
    defer { unsafe buffer.deallocate() }
    var done: UInt64 = 0
    while done < segment.length {
      let length = min(segment.length - done, UInt64(size))
      let from = ByteRange(offset: segment.sourceOffset + done, length: length)
      let to = ByteRange(offset: segment.destinationOffset + done, length: length)
      try unsafe source.perform(.read(from), buffer)
      try unsafe destination.perform(.write(to, isForced: false), buffer)
      done += length
    }
  }
}
