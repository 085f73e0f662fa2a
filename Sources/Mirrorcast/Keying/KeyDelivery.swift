import ISCSI
import Replication

extension MirrorOptions {
  /// Bytes that a datagram's tag takes from its block.
  var tagByteCount: Int { security == nil ? 0 : SealedTrailer.tagByteCount }

  /// A key for one part and epoch; nil where datagrams go in the clear.
  var newKey: EpochKey? { security.map { EpochKey($0.cipher) } }
}

extension Establishment.Draft {
  /// The lane is told by what each leg proves what it has, before any write.
  func postProofKeys() {
    for (index, grant) in grants.enumerated() {
      guard let key = grant?.proofKey else { continue }
      ends.inbox.post(.proofKey(leg: index, key, epoch: request.epoch))
    }
  }
}

extension InitiatorConnection {
  /// Sends a leg the key of an epoch, as what both have told allows it alone to read that.
  /// - Returns: by what the leg proves what it has.
  func tell(
    _ key: EpochKey, by exchange: KeyExchange, _ grant: RegistrationGrant,
    _ request: RegistrationRequest, within limit: Double
  ) async throws(RegistrationFault) -> [UInt8] {
    let context = ExchangeContext(
      registration: request.registration, epoch: request.epoch, cipher: key.cipher,
      initiatorName: session.initiatorName, targetName: session.targetName ?? "",
      initiatorShare: exchange.share, targetShare: grant.keyShare ?? [],
      secret: session.provedSecret?.bytes)
    guard let share = grant.keyShare, let way = exchange.wayKey(peer: share, context) else {
      throw RegistrationFault(.badKey, "its key_share is no public value of X25519")
    }
    let text = EpochKeyText(
      registration: request.registration, epoch: request.epoch, sealed: way.seal(key))
    let answer: TextKeys
    do {
      answer = try await ask(text.keys, within: limit)
    } catch {
      throw RegistrationFault(.badKey, "it did not take the key: \(error)")
    }
    try EpochKeyText.check(answer)
    return way.proofKey
  }
}

extension MirrorcastError {
  /// A leg of another make takes plain WRITEs, which everybody on the way can read.
  static func unsecurableLeg(_ url: LogicalUnitURL) -> MirrorcastError {
    MirrorcastError(
      "\(url) is a target of another make, whose writes can't be secured",
      advice: "Leave it out, or mirror without --secure.")
  }
}
