import Replication
import Testing

@testable import Mirrorcast

@Suite struct KeyExchangeTests {
  private func context(
    _ initiator: KeyExchange, _ target: KeyExchange, _ cipher: DatagramCipher = .aes128GCM,
    secret: [UInt8]? = nil
  ) -> ExchangeContext {
    ExchangeContext(
      registration: 7, epoch: 1, cipher: cipher, initiatorName: "iqn.2026-01.test:a",
      targetName: "iqn.2026-01.test:b", initiatorShare: initiator.share,
      targetShare: target.share, secret: secret)
  }

  @Test(arguments: DatagramCipher.allCases)
  func `gives both sides the same key for the way, which brings the epoch's`(
    cipher: DatagramCipher
  ) throws {
    let (initiator, target) = (KeyExchange(), KeyExchange())
    for secret in [nil, [1, 2, 3]] as [[UInt8]?] {
      let context = context(initiator, target, cipher, secret: secret)
      let own = try #require(initiator.wayKey(peer: target.share, context))
      let theirs = try #require(target.wayKey(peer: initiator.share, context))
      let key = EpochKey(cipher)
      let sealed = own.seal(key)
      #expect(sealed.count == cipher.keyByteCount + 16)
      #expect(theirs.open(sealed) == key)
      #expect(sealed.prefix(cipher.keyByteCount) != key.bytes[...])
      for index in sealed.indices {
        var changed = sealed
        changed[index] ^= 0x10
        #expect(theirs.open(changed) == nil)
      }
      for count in 0..<sealed.count { #expect(theirs.open(Array(sealed.prefix(count))) == nil) }
      #expect(theirs.open(sealed + [0]) == nil)
    }
  }

  @Test func `is bound to all that both sides were told`() throws {
    let (initiator, target) = (KeyExchange(), KeyExchange())
    let told = context(initiator, target, secret: [1, 2, 3])
    let sealed = try #require(initiator.wayKey(peer: target.share, told)).seal(.init(.aes128GCM))
    var others = [ExchangeContext](repeating: told, count: 9)
    others[0].registration += 1
    others[1].epoch += 1
    others[2].cipher = .aes128GMAC
    others[3].initiatorName += "a"
    others[4].targetName += "a"
    others[5].initiatorShare[0] ^= 1
    others[6].targetShare[31] ^= 1
    others[7].secret = [1, 2, 4]
    others[8].secret = nil
    #expect(target.wayKey(peer: initiator.share, told)?.open(sealed) != nil)
    for (index, other) in others.enumerated() {
      #expect(target.wayKey(peer: initiator.share, other)?.open(sealed) == nil, "\(index)")
    }
    // Somebody in between, who has no secret, has an exchange with either side.
    let between = KeyExchange()
    var theirs = told
    theirs.initiatorShare = between.share
    #expect(target.wayKey(peer: between.share, theirs)?.open(sealed) == nil)
    theirs.secret = nil
    #expect(between.wayKey(peer: target.share, theirs)?.open(sealed) == nil)
  }

  @Test func `names can't run into each other`() {
    let exchange = KeyExchange()
    var one = context(exchange, exchange)
    var other = one
    (one.initiatorName, one.targetName) = ("ab", "c")
    (other.initiatorName, other.targetName) = ("a", "bc")
    #expect(one.transcript != other.transcript)
  }

  @Test func `refuses public values of small order, and what is none`() {
    let exchange = KeyExchange()
    let zero = [UInt8](repeating: 0, count: 32)
    var one = zero
    one[0] = 1
    for share in [zero, one, [], [UInt8](repeating: 9, count: 31)] {
      #expect(exchange.wayKey(peer: share, context(exchange, exchange)) == nil)
    }
  }
}

@Suite struct PendingExchangesTests {
  private func request() -> RegistrationRequest {
    RegistrationRequest(registration: 7, group: "239.0.0.1", port: 1, luns: [0], virtualLUN: 255)
  }

  @Test func `each exchange brings one key, to the session that asked`() throws {
    let pending = PendingExchanges()
    let initiator = MirrorInitiator(name: "iqn.2026-01.test:a")
    #expect(try pending.begin(request(), by: initiator, at: "t", session: 1) == nil)
    let exchange = KeyExchange()
    var asked = request()
    asked.security = SecurityOffer(cipher: .aes256GCM, share: exchange.share)
    let share = try #require(try pending.begin(asked, by: initiator, at: "t", session: 1))
    let way = try #require(
      exchange.wayKey(
        peer: share,
        ExchangeContext(
          registration: 7, epoch: 1, cipher: .aes256GCM, initiatorName: initiator.name,
          targetName: "t", initiatorShare: exchange.share, targetShare: share, secret: nil)))
    let key = EpochKey(.aes256GCM)
    let text = EpochKeyText(registration: 7, epoch: 1, sealed: way.seal(key))
    #expect(throws: RegistrationFault.self) { try pending.end(text, session: 2) }
    #expect(try pending.end(text, session: 1).epoch == key)
    #expect(throws: RegistrationFault.self) { try pending.end(text, session: 1) }
    // Of another epoch or registration, and after the session.
    for (registration, epoch) in [(8, 1), (7, 2)] as [(UInt32, UInt16)] {
      _ = try pending.begin(asked, by: initiator, at: "t", session: 1)
      let other = EpochKeyText(registration: registration, epoch: epoch, sealed: text.sealed)
      #expect(throws: RegistrationFault.self) { try pending.end(other, session: 1) }
    }
    _ = try pending.begin(asked, by: initiator, at: "t", session: 1)
    pending.forget(session: 1)
    #expect(throws: RegistrationFault.self) { try pending.end(text, session: 1) }
    asked.security?.share = [UInt8](repeating: 0, count: 32)
    #expect(throws: RegistrationFault.self) {
      try pending.begin(asked, by: initiator, at: "t", session: 1)
    }
  }
}
