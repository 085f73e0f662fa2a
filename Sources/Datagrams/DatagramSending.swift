// Sending trains, and going on without them. What an error of a send means:
//
//   EAGAIN                 the socket's buffer is full: all that waits stays, in order
//   ENOBUFS                a queue behind the socket is full: nobody tells when it has room again,
//                          so the message counts as lost (IP_RECVERR makes Linux say so)
//   reported by ICMP       about an earlier datagram; this one was not looked at: the same again
//   a train refused        its first datagram goes alone. If that goes, trains are at fault and the
//                          socket sends singly from now on; if not, the error is the datagram's
//   anything else          of the first datagram that waits; the caller discards it or gives up
//
// sendmmsg tells only the error of its first message. That of a later one shows when it comes
// first, hence nothing is lost or sent twice by falling back.

internal import CDatagram
internal import Glibc
package import Lanes

extension DatagramSocket {
  private static let repeatsMax = 64

  /// Sends what waits in the batch; how many left it, fewer than waited (or 0) when it would block.
  ///
  /// Those that a full queue lost have left it, too: `sendBufferFullCount` tells. An error is of
  /// the first datagram that waits: `discardFirst()` goes past it.
  package func send(_ batch: inout DepartureBatch) throws(SystemError) -> Int {
    try batch.withTrains { (trains) throws(SystemError) in try send(&trains) }
  }

  private func send(_ batch: inout DepartureTrains) throws(SystemError) -> Int {
    let before = batch.count
    var repeats = 0
    batch.close()
    while batch.count > 0 {
      var result = attempt(&batch)
      if result < 0, isRefusal(-result), batch.startsWithTrain, segmentation == .on {
        let refusal = -result
        result = batch.sendSingly(descriptor, datagramsMax: 1)
        if result > 0 { giveUpTrains(refusal) }
      }
      if result > 0 && batch.count == 0 { break }
      // Also when fewer went than were asked: the kernel has swallowed why.
      let reported = drainErrors()
      if result > 0 { continue }
      if result == 0 { break }
      if result == -ENOBUFS {
        lose(&batch)
      } else if repeats < Self.repeatsMax, reported > 0 || result == -ECONNREFUSED {
        repeats += 1
      } else if batch.count < before {
        break
      } else {
        throw SystemError(doing: "send datagrams", number: -result)
      }
    }
    return before - batch.count
  }

  /// Why trains were given up, once; nil when they were not, or when that was told before.
  package func takeSegmentationFailure() -> SystemError? {
    defer { untoldFailure = nil }
    return untoldFailure
  }

  private func attempt(_ batch: inout DepartureTrains) -> Int32 {
    guard segmentation == .on else {
      return batch.sendSingly(descriptor, datagramsMax: DepartureBatch.trainsMax)
    }
    guard segmentationPolicy == .failsAtFirstUse else {
      return batch.sendTrains(descriptor, messagesMax: DepartureBatch.trainsMax)
    }
    return batch.startsWithTrain ? -EIO : batch.sendTrains(descriptor, messagesMax: 1)
  }

  private func isRefusal(_ number: Int32) -> Bool {
    switch number {
    case EIO, EINVAL, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP: true
    default: false
    }
  }

  private func giveUpTrains(_ number: Int32) {
    let error = SystemError(doing: "send trains", number: number)
    segmentation = .failed(error)
    untoldFailure = error
  }

  private func lose(_ batch: inout DepartureTrains) {
    let before = batch.count
    if segmentation == .on { batch.discardFirstTrain() } else { batch.discardFirst() }
    sendBufferFullCount += before - batch.count
  }

  // Empties the queue of reported errors, which would wake the lane for ever.
  private func drainErrors() -> Int {
    let reported = max(0, Int(mirrorcast_drain_errors(descriptor)))
    networkErrorCount += reported
    return reported
  }
}
