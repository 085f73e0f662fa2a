internal import CDatagram

/// The clock that every deadline of a lane is measured with; it is read once a cycle.
package enum MonotonicClock {
  /// Nanoseconds since some fixed moment; never goes back.
  package static func now() -> UInt64 {
    mirrorcast_now()
  }
}
