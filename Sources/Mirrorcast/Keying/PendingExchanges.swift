// A leg's half of the agreement about keys: between a registration's answer and the key that comes
// by it. On the sessions' event loops, since a lane has other things to do.
import ISCSI
import Replication
import Synchronization

/// The keys for the way of registrations whose epoch's key has yet to come.
final class PendingExchanges: Sendable {
  private struct Pending: Sendable {
    let registration: UInt32
    let epoch: UInt16
    let key: WayKey
  }

  /// One for each session: it registers one thing after the other.
  private let pending = Mutex<[UInt64: Pending]>([:])

  /// Makes the leg's public value where one is asked for, and keeps what comes of both.
  func begin(
    _ request: RegistrationRequest, by initiator: MirrorInitiator, at target: String,
    session: UInt64
  ) throws(RegistrationFault) -> [UInt8]? {
    guard let offer = request.security else { return nil }
    let exchange = KeyExchange()
    let context = ExchangeContext(
      registration: request.registration, epoch: request.epoch, cipher: offer.cipher,
      initiatorName: initiator.name, targetName: target, initiatorShare: offer.share,
      targetShare: exchange.share, secret: initiator.secret?.bytes)
    guard let key = exchange.wayKey(peer: offer.share, context) else {
      throw RegistrationFault(.badKey, "key_share is no public value of X25519")
    }
    let new = Pending(registration: request.registration, epoch: request.epoch, key: key)
    pending.withLock { $0[session] = new }
    return exchange.share
  }

  /// The key that came; each exchange is good for one.
  func end(_ text: EpochKeyText, session: UInt64) throws(RegistrationFault) -> LegKeys {
    let waiting = pending.withLock { $0.removeValue(forKey: session) }
    guard let waiting, waiting.registration == text.registration, waiting.epoch == text.epoch else {
      throw RegistrationFault(.badKey, "a key that no registration has asked for")
    }
    guard let key = waiting.key.open(text.sealed) else {
      throw RegistrationFault(.badKey, "the key was sealed for somebody else")
    }
    return LegKeys(epoch: key, proof: waiting.key.proofKey)
  }

  func forget(session: UInt64) { _ = pending.withLock { $0.removeValue(forKey: session) } }
}
