import ISCSI
public import Logging
import SCSI

/// An ordinary iSCSI session to one disk. All calls from any thread; several may be in flight.
public final class LogicalUnitSession: Sendable {
  static let pieceLengthMax = 1 << 20
  static let piecesInFlightMax = 4

  private let connection: InitiatorConnection
  private let url: LogicalUnitURL
  private let number: LogicalUnitNumber
  private let pieceLength: Int

  /// The disk's size in bytes.
  public let byteCount: UInt64
  /// Its block size in bytes.
  public let blockSize: Int

  private init(
    connection: InitiatorConnection, url: LogicalUnitURL, number: LogicalUnitNumber,
    disk: DiskDescription
  ) {
    self.connection = connection
    self.url = url
    self.number = number
    byteCount = disk.geometry.byteCount
    blockSize = Int(disk.geometry.blockLength)
    let length = min(Self.pieceLengthMax, disk.transferLengthMax ?? Self.pieceLengthMax)
    pieceLength = max(length / blockSize, 1) * blockSize
  }

  /// Logs in, waits until the disk is ready and asks for its size. Throws `MirrorcastError`.
  public static func open(
    _ url: LogicalUnitURL, identity: InitiatorIdentity, logger: Logger
  ) async throws -> LogicalUnitSession {
    guard let number = LogicalUnitNumber(url.lun) else {
      throw MirrorcastError(
        "\(url.lun) is no LUN", advice: "It is a number from 0 to \(LogicalUnitNumber.max).")
    }
    let connection = try await InitiatorConnection.open(
      host: url.host, port: url.port,
      login: InitiatorLoginRequest(identity: identity, targetName: url.targetName),
      logger: logger)
    do throws(MirrorcastError) {
      let disk = try await connection.describeDisk(number)
      return LogicalUnitSession(connection: connection, url: url, number: number, disk: disk)
    } catch {
      await connection.close()
      throw error
    }
  }

  /// Reads `count` bytes from byte `offset` on; need not be whole blocks. Throws `MirrorcastError`
  /// when they lie off the disk, can't be read, or the connection is lost.
  public func read(at offset: UInt64, count: Int) async throws -> [UInt8] {
    guard count >= 0, offset <= byteCount, UInt64(count) <= byteCount - offset else {
      throw MirrorcastError(
        "\(count) bytes at byte \(offset) lie off \(url), which has \(byteCount)",
        advice: "Read less, or from further in front.")
    }
    guard count > 0 else { return [] }
    let end = offset + UInt64(count)
    let first = offset / UInt64(blockSize)
    let behind = (end + UInt64(blockSize) - 1) / UInt64(blockSize)
    let bytes = try await readBlocks(first..<behind)
    let skipped = Int(offset - first * UInt64(blockSize))
    return bytes.count == count ? bytes : Array(bytes[skipped..<skipped + count])
  }

  /// Logs out and closes the connection.
  public func close() async {
    await connection.close()
  }

  private func readBlocks(_ blocks: Range<UInt64>) async throws -> [UInt8] {
    let step = UInt64(pieceLength / blockSize)
    guard UInt64(blocks.count) > step else { return try await readPiece(blocks) }
    let starts = stride(from: blocks.lowerBound, to: blocks.upperBound, by: Int(step))
    var pieces = [[UInt8]](repeating: [], count: starts.underestimatedCount)
    try await withThrowingTaskGroup(of: (Int, [UInt8]).self) { group in
      for (index, start) in starts.enumerated() {
        if index >= Self.piecesInFlightMax, let (done, bytes) = try await group.next() {
          pieces[done] = bytes
        }
        let piece = start..<min(start + step, blocks.upperBound)
        group.addTask { (index, try await self.readPiece(piece)) }
      }
      for try await (done, bytes) in group { pieces[done] = bytes }
    }
    return Array(pieces.joined())
  }

  private func readPiece(_ blocks: Range<UInt64>) async throws(MirrorcastError) -> [UInt8] {
    let length = blocks.count * blockSize
    let range = BlockRange(address: blocks.lowerBound, count: UInt32(blocks.count))
    let outcome = try await connection.command(
      lun: number, .read16(range), transfer: .read(lengthMax: length))
    let place = "byte \(blocks.lowerBound * UInt64(blockSize)) of \(url)"
    guard outcome.isGood else {
      throw MirrorcastError(
        "can't read at \(place): \(outcome.text)",
        advice: "Look at the target's log and its disk.")
    }
    guard outcome.data.count == length else {
      throw MirrorcastError(
        "only \(outcome.data.count) of \(length) bytes came, reading at \(place)",
        advice: "Has the disk changed its size? Look at the target's log.")
    }
    return outcome.data
  }
}
