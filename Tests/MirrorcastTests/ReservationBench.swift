// What the tests of reservations through mirrors have in common.

import Testing

@testable import Mirrorcast

extension Mirrorcast.Mirror {
  func writeBytes(_ byte: UInt8, at offset: Int = 0) async -> WriteResult {
    await write([UInt8](repeating: byte, count: 64 << 10), at: offset)
  }
}

extension WriteResult {
  /// Refused for a reservation at so many legs, and done nowhere.
  func isConflict(legs: Int) -> Bool {
    failures.count == legs && failures.allSatisfy { $0.text.contains("RESERVATION CONFLICT") }
  }
}

/// Why reservations are not what `body` asks for; nil: they are.
func refusal(
  _ body: () async throws -> Void
) async -> MirrorReservationError.Reason? {
  do {
    try await body()
    return nil
  } catch {
    return (error as? MirrorReservationError)?.reason
  }
}
