// What is read at a leg for copies and comparisons, and its flush: on the session of its first
// part, which the leg knows for its holder's. Mirrored writes are answered on streams, mostly, so
// that little waits behind these bytes.
import Bytes
import ISCSI
import Replication
import SCSI

/// A leg's disk by ordinary commands, and by digests.
struct LegBulk: Sendable {
  private static let abortionsMax = 4

  let url: LogicalUnitURL
  let connection: InitiatorConnection

  /// The SHA-256 of each chunk of a range, one behind the other.
  func digests(
    _ bytes: Range<UInt64>, chunk: Int, within seconds: Double
  ) async throws(LinkFailure) -> [UInt8] {
    var digests: [UInt8] = []
    var start = bytes.lowerBound
    let step = DigestRequest.lengthMax / UInt64(chunk) * UInt64(chunk)
    while start < bytes.upperBound {
      let length = min(step, bytes.upperBound - start)
      let request = DigestRequest(lun: url.lun, offset: start, length: length, chunk: chunk)
      let answer: DigestAnswer
      do {
        answer = try DigestAnswer(
          try await connection.ask(request.keys, within: seconds), to: request)
      } catch let fault as RegistrationFault {
        throw .refused("its digests can't be read: \(fault.reason)")
      } catch {
        throw .lost((error as? MirrorcastError)?.what ?? "\(error)")
      }
      switch answer {
      case .digests(let some): digests += some
      case .refused(_, let words): throw .refused("no digests: \(words)")
      }
      start += length
    }
    return digests
  }

  /// A range of whole blocks.
  func read(
    _ bytes: Range<UInt64>, blockSize: Int, within seconds: Double
  ) async throws(LinkFailure) -> [UInt8] {
    let blocks = BlockRange(
      address: bytes.lowerBound / UInt64(blockSize), count: UInt32(bytes.count / blockSize))
    let outcome = try await command(
      .read16(blocks), transfer: .read(lengthMax: bytes.count), within: seconds)
    guard outcome.isGood, outcome.data.count == bytes.count else {
      throw .refused(
        "can't read at byte \(bytes.lowerBound): "
          + (outcome.isGood ? "only \(outcome.data.count) bytes came" : outcome.text))
    }
    return outcome.data
  }

  /// All that was written to the medium (SBC-3 §5.22).
  func flush(within seconds: Double) async throws(LinkFailure) {
    let outcome = try await command(.synchronizeCache16, within: seconds)
    guard outcome.status != .reservationConflict else { throw .conflict("flush: \(outcome.text)") }
    guard outcome.isGood else { throw .refused("it could not flush: \(outcome.text)") }
  }

  /// Again where somebody's task management has ended it: that is no failure of the disk.
  func command(
    _ block: CommandDescriptorBlock, transfer: InitiatorCommand.Transfer = .none,
    within seconds: Double
  ) async throws(LinkFailure) -> CommandOutcome {
    for _ in 0..<Self.abortionsMax {
      let outcome = try await attempt(block, transfer, within: seconds)
      if outcome.status != .taskAborted { return outcome }
    }
    return try await attempt(block, transfer, within: seconds)
  }

  private func attempt(
    _ block: CommandDescriptorBlock, _ transfer: InitiatorCommand.Transfer,
    within seconds: Double
  ) async throws(LinkFailure) -> CommandOutcome {
    let result = await withCheckedContinuation { continuation in
      let reply = SingleReply<Result<CommandOutcome, LinkFailure>> {
        continuation.resume(returning: $0)
      }
      let watch = Task { [portal = url.portal] in
        guard (try? await Task.sleep(for: .seconds(seconds))) != nil else { return }
        reply.give(.failure(.lost("\(portal) did not answer for \(seconds) s")))
      }
      connection.submit(lun: url.number, block, transfer: transfer) { outcome in
        watch.cancel()
        reply.give(outcome.mapError { .lost($0.what) })
      }
    }
    return try result.get()
  }
}
