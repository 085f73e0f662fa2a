import Testing

@testable import ISCSI

private let hostName = "iqn.2026-01.org.example:host"
private let otherName = "iqn.2026-01.org.example:other"

private let secret = Array("a secret of the host".utf8)

/// No hash at all: what counts here is whose secret it is.
private let functions = CHAPFunctions(
  hash: { algorithm, bytes in
    var sum = [UInt8](repeating: 0, count: algorithm.responseByteCount)
    for (index, byte) in bytes.enumerated() { sum[index % sum.count] &+= byte &* 31 &+ 7 }
    return sum
  },
  random: { [UInt8](repeating: 9, count: $0) })

@Suite struct `An account of CHAP` {
  /// hostName's login, by that name and secret.
  private func login(
    to account: CHAPAccount, secret: [UInt8] = secret, at target: String? = diskName
  ) throws -> SessionPair {
    var configuration = targetConfiguration()
    let requirement = CHAPRequirement(accounts: [account], own: nil, functions: functions)
    configuration.targets[0].authentication = requirement
    configuration.discoveryAuthentication = requirement
    var initiator = initiatorConfiguration(target: target)
    initiator.proof = CHAPProof(
      own: CHAPCredential(name: account.credential.name, secret: secret), target: nil,
      functions: functions)
    let pair = SessionPair(target: configuration, initiator: initiator)
    try pair.settle()
    return pair
  }

  private func account(_ name: String, _ initiators: [String] = []) -> CHAPAccount {
    CHAPAccount(CHAPCredential(name: name, secret: secret), initiators: initiators)
  }

  @Test(arguments: [diskName, nil]) func `is for its own initiators alone`(target: String?) throws {
    for (account, isAdmitted) in [
      (account("host"), true), (account(hostName), true), (account(otherName), false),
      (account("host", [otherName, hostName]), true), (account("host", [otherName]), false),
      // Where initiators are named, the account's own name is a name like any other.
      (account(hostName, [otherName]), false), (account(otherName, [hostName]), true),
      // Names count whole.
      (account("host", [hostName + "s"]), false), (account("host", ["iqn.2026-01.ORG"]), false),
    ] {
      let pair = try login(to: account, at: target)
      let failures = pair.initiatorEvents.compactMap { event -> LoginFailure? in
        if case .loginFailed(let failure) = event { failure } else { nil }
      }
      // RFC 7143 §11.13.5: 0201h, authentication failure.
      #expect(failures == (isAdmitted ? [] : [.refused(code: 0x0201, movedTo: nil)]))
      #expect(pair.isLoggedIn == isAdmitted, "\(account.credential.name)")
      #expect(pair.target.foreignAccount == (isAdmitted ? nil : account.credential.name))
    }
  }

  @Test func `is named to the log where its secret was right, and only there`() throws {
    let foreign = account("host", [otherName])
    #expect(try login(to: foreign).target.foreignAccount == "host")
    let wrong = try login(to: foreign, secret: Array("a secret of others".utf8))
    #expect(!wrong.isLoggedIn && wrong.target.foreignAccount == nil)
  }
}
