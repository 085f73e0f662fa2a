import ISCSI

/// Bytes that count up, from one source for both sides.
final class Counted: @unchecked Sendable {
  private var next: UInt8 = 0

  func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in
      next &+= 1
      return next
    }
  }
}

/// No hash, but as long as one, and different for whatever differs.
func chapFunctions(_ random: @escaping @Sendable (Int) -> [UInt8]) -> CHAPFunctions {
  CHAPFunctions(
    hash: { algorithm, bytes in
      var state = UInt64(algorithm.rawValue)
      for byte in bytes { state = state &* 0x100_0000_01b3 ^ UInt64(byte) }
      return (0..<algorithm.responseByteCount).map { index in
        state = state &* 6_364_136_223_846_793_005 &+ UInt64(index)
        return UInt8(truncatingIfNeeded: state >> 33)
      }
    }, random: random)
}

func chapFunctions() -> CHAPFunctions {
  let counted = Counted()
  return chapFunctions { counted.bytes($0) }
}

func credential(_ name: String, _ secret: String) -> CHAPCredential {
  CHAPCredential(name: name, secret: Array(secret.utf8))
}

let host = credential("host", "a secret of the host")
let disk = credential("disk", "a secret of the disk")

func demanding(own: CHAPCredential? = disk) -> TargetConfiguration {
  let requirement = CHAPRequirement(
    accounts: [credential("other", "another's own secret"), host].map { CHAPAccount($0) }, own: own,
    functions: chapFunctions())
  var configuration = targetConfiguration()
  configuration.targets[0].authentication = requirement
  configuration.discoveryAuthentication = requirement
  return configuration
}

func proving(
  _ own: CHAPCredential? = host, _ target: CHAPCredential? = nil, at name: String? = diskName
) -> InitiatorConfiguration {
  var configuration = initiatorConfiguration(target: name)
  let counted = Counted()
  // Not the target's numbers, or their challenges were one.
  configuration.proof = own.map {
    CHAPProof(own: $0, target: target, functions: chapFunctions { counted.bytes($0).map { ~$0 } })
  }
  return configuration
}
