// The text by which a mirror is established and ended: ours, and the patent's literal words.
package import Bytes
package import ISCSI

/// Why a registration was refused; the raw value stands in the key `result`.
package enum RegistrationRefusal: String, Error, Sendable, CaseIterable {
  case badRequest = "bad-request"
  case notMulticast = "not-multicast"
  case noSuchLUN = "no-such-lun"
  case lunTaken = "lun-taken"
  case vlunTaken = "vlun-taken"
  case sizesDiffer = "sizes-differ"
  case noSuchInterface = "no-such-interface"
  case busy = "busy"
  case staleEpoch = "stale-epoch"
  case unknownRegistration = "unknown-registration"
  case joinFailed = "join-failed"
  case noSuchTransport = "no-such-transport"
  /// The LUN belongs to a kept mirror, which the registration is not a part of.
  case kept = "kept"
  /// The target takes no datagrams that are not secured.
  case notSecure = "not-secure"
  /// The key can't be read: it was made by somebody else, or for somebody else.
  case badKey = "bad-key"
}

/// A refusal with words for people.
package struct RegistrationFault: Error, Sendable, Equatable {
  package var refusal: RegistrationRefusal
  package var reason: String

  package init(_ refusal: RegistrationRefusal, _ reason: String) {
    self.refusal = refusal
    self.reason = reason
  }

  package var keys: TextKeys {
    TextKeys([
      .init(RegistrationKey.result, refusal.rawValue),
      .init(RegistrationKey.reason, String(reason.map { $0 == " " ? "_" : $0 }.prefix(255))),
    ])
  }
}

/// The names of the keys.
package enum RegistrationKey {
  package static let prefix = "X-org.mirrorcast."
  package static let operation = prefix + "op"
  package static let registration = prefix + "registration"
  package static let epoch = prefix + "epoch"
  package static let firstWrite = prefix + "first_write"
  package static let group = prefix + "multicast_group_ip"
  package static let port = prefix + "port"
  package static let lunMap = prefix + "lun_map"
  package static let virtualLUN = prefix + "virtual_lun"
  package static let blockLength = prefix + "block_length"
  package static let writeLengthMax = prefix + "write_length_max"
  package static let sender = prefix + "sender"
  package static let transport = prefix + "transport"
  package static let mirror = prefix + "mirror"
  package static let stripe = prefix + "stripe"
  package static let result = prefix + "result"
  package static let reason = prefix + "reason"
  package static let datagramMax = prefix + "datagram_max"
  package static let credit = prefix + "credit"
  package static let openWritesMax = prefix + "open_writes_max"
  package static let repair = prefix + "repair"
  package static let lunSizes = prefix + "lun_sizes"
  package static let initialR2T = prefix + "initial_r2t"
  package static let answers = prefix + "answers"
  package static let answersToken = prefix + "answers_token"
}

/// One part of a mirror that several lanes carry; each part is a registration of its own.
package struct Stripe: Sendable, Hashable {
  /// The same for all parts of a mirror, chosen at random.
  package var mirror: UInt64
  package var index: Int
  package var count: Int

  package init(mirror: UInt64, index: Int, count: Int) {
    self.mirror = mirror
    self.index = index
    self.count = count
  }
}

/// What an initiator asks of a target: to register a mirror.
package struct RegistrationRequest: Sendable, Equatable {
  package var registration: UInt32
  package var epoch: UInt16
  package var firstWrite: SerialNumber
  /// The group's address as text, without brackets.
  package var group: String
  package var port: UInt16
  package var luns: [Int]
  package var virtualLUN: Int
  package var blockLength: Int
  package var writeLengthMax: Int
  /// Where datagrams come from, `address:port`; nil in the patent's text: the session's address.
  package var sender: String?
  /// The queue pair that datagrams come from; nil where they go by UDP.
  package var queuePair: QueuePairText?
  /// Where they come from for legs without RDMA, `address:port`, where they go by UDP, too. Told
  /// to no leg that has it.
  package var plainSender: String?
  /// Which part of a mirror this is; nil where the mirror is one registration.
  package var stripe: Stripe?
  /// Who has claimed the LUN, where it belongs to a kept mirror.
  package var holder: UInt64?
  /// How datagrams are protected; nil: not at all.
  package var security: SecurityOffer?
  /// The patent's literal text: LUNs of a second registration are added to the first one's.
  package var isLiteral = false

  package init(
    registration: UInt32, group: String, port: UInt16, luns: [Int], virtualLUN: Int
  ) {
    self.registration = registration
    epoch = 1
    firstWrite = SerialNumber(0)
    self.group = group
    self.port = port
    self.luns = luns
    self.virtualLUN = virtualLUN
    blockLength = 1408
    writeLengthMax = 1 << 20
  }

  package var keys: TextKeys {
    var keys = TextKeys([
      .init(RegistrationKey.operation, "register"),
      .init(RegistrationKey.registration, hexadecimal(registration)),
      .init(RegistrationKey.epoch, "\(epoch)"),
      .init(RegistrationKey.firstWrite, "\(firstWrite.rawValue)"),
      .init(RegistrationKey.group, group.contains(":") ? "[\(group)]" : group),
      .init(RegistrationKey.port, "\(port)"),
      .init(
        RegistrationKey.lunMap, (luns + [virtualLUN]).map { "\($0)" }.joined(separator: ",")),
      .init(RegistrationKey.blockLength, "\(blockLength)"),
      .init(RegistrationKey.writeLengthMax, "\(writeLengthMax)"),
      .init(
        RegistrationKey.transport, (queuePair == nil ? TransportText.udp : .rdma).rawValue),
    ])
    queuePair?.append(to: &keys)
    if let sender { keys.append(RegistrationKey.sender, sender) }
    if let stripe {
      keys.append(RegistrationKey.mirror, "0x" + String(stripe.mirror, radix: 16))
      keys.append(RegistrationKey.stripe, "\(stripe.index)/\(stripe.count)")
    }
    if let holder { keys.append(RegistrationKey.holder, hexadecimal(holder)) }
    security?.append(to: &keys)
    return keys
  }
}

/// What an initiator asks of a target: to end a mirror.
package struct TerminationRequest: Sendable, Equatable {
  /// Nil in the patent's text: the vLUN names it.
  package var registration: UInt32?
  package var group: String?
  package var virtualLUN: Int?

  package init(registration: UInt32?, group: String?, virtualLUN: Int?) {
    self.registration = registration
    self.group = group
    self.virtualLUN = virtualLUN
  }

  package var keys: TextKeys {
    var keys = TextKeys([.init(RegistrationKey.operation, "terminate")])
    if let registration {
      keys.append(RegistrationKey.registration, hexadecimal(registration))
    }
    if let group {
      keys.append(RegistrationKey.group, group.contains(":") ? "[\(group)]" : group)
    }
    if let virtualLUN { keys.append(RegistrationKey.virtualLUN, "\(virtualLUN)") }
    return keys
  }
}

/// A text request of the mirror.
package enum MirrorText: Sendable, Equatable {
  case register(RegistrationRequest)
  case terminate(TerminationRequest)
  case keep(KeepingText)
  case digest(DigestRequest)
  case key(EpochKeyText)
  /// Where the initiator is that leads a shared mirror of that LUN.
  case leader(lun: Int)
}

/// Where a stream for a registration's answers may be opened, and the word that opens it.
package struct AnswerStream: Sendable, Equatable {
  /// Address and port, as `10.0.0.1:5000` or `[fd00::1]:5000`.
  package var endpoint: String
  package var token: UInt64

  package init(endpoint: String, token: UInt64) {
    self.endpoint = endpoint
    self.token = token
  }
}

/// What a target grants.
package struct RegistrationGrant: Sendable, Equatable {
  package var registration: UInt32
  package var epoch: UInt16
  package var datagramMax: Int
  package var blockLength: Int
  package var writeLengthMax: Int
  package var credit: Int
  package var openWritesMax: Int
  /// Address and port of the socket that takes repairs.
  package var repair: String
  package var lunSizes: [UInt64]
  /// Data may come without R2T, as much as the credit (RFC 7143 §13.10: InitialR2T=No).
  package var takesUnsolicited = false
  /// Where a stream for answers may be opened, and the word that opens it.
  package var answers: AnswerStream?
  /// The queue pair that takes the group's datagrams and repairs; nil where they go by UDP.
  package var queuePair: QueuePairText?
  /// The leg's public value for this text alone, where datagrams are to be protected.
  package var keyShare: [UInt8]?
  /// By what the leg proves what it has; of both sides' making, and never in a text.
  package var proofKey: [UInt8]?

  package init(_ request: RegistrationRequest) {
    registration = request.registration
    epoch = request.epoch
    datagramMax = request.blockLength + Datagram.overheadByteCount
    blockLength = request.blockLength
    writeLengthMax = request.writeLengthMax
    credit = request.writeLengthMax
    openWritesMax = 1
    repair = ""
    lunSizes = []
  }

  package func keys(firstWrite: SerialNumber, port: UInt16) -> TextKeys {
    var keys = TextKeys([
      .init(RegistrationKey.result, "registered"),
      .init(RegistrationKey.registration, hexadecimal(registration)),
      .init(RegistrationKey.epoch, "\(epoch)"),
      .init(RegistrationKey.firstWrite, "\(firstWrite.rawValue)"),
      .init(RegistrationKey.port, "\(port)"),
      .init(RegistrationKey.datagramMax, "\(datagramMax)"),
      .init(RegistrationKey.blockLength, "\(blockLength)"),
      .init(RegistrationKey.writeLengthMax, "\(writeLengthMax)"),
      .init(RegistrationKey.credit, "\(credit)"),
      .init(RegistrationKey.openWritesMax, "\(openWritesMax)"),
      .init(RegistrationKey.repair, repair),
      .init(RegistrationKey.lunSizes, lunSizes.map { "\($0)" }.joined(separator: ",")),
      .init(RegistrationKey.initialR2T, takesUnsolicited ? "No" : "Yes"),
    ])
    if let answers {
      keys.append(RegistrationKey.answers, answers.endpoint)
      keys.append(RegistrationKey.answersToken, "0x" + String(answers.token, radix: 16))
    }
    queuePair?.append(to: &keys)
    if let keyShare { keys.append(RegistrationKey.keyShare, hexadecimal(keyShare)) }
    return keys
  }
}

/// A registration as it stands in a text: 0x and eight digits.
package func hexadecimal(_ value: UInt32) -> String {
  let digits = String(value, radix: 16)
  return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
}
