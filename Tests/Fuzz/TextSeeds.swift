// Texts as they should be, to begin with.
import Bytes
import ISCSI
import Replication

private func segment(_ flags: UInt8, _ pairs: [(String, String)]) -> [UInt8] {
  [flags] + TextKeys(pairs.map { .init($0.0, $0.1) }).encoded
}

private func joined(_ kind: UInt8, _ segments: [[UInt8]]) -> [UInt8] {
  [kind] + segments.joined(separator: [255])
}

private let names = [
  ("InitiatorName", "iqn.2026-01.org.example:host"), ("SessionType", "Normal"),
  ("TargetName", fuzzedTarget),
]

private let wishes = [
  ("HeaderDigest", "CRC32C,None"), ("DataDigest", "None"), ("InitialR2T", "No"),
  ("ImmediateData", "Yes"), ("MaxBurstLength", "16776192"), ("FirstBurstLength", "262144"),
  ("MaxConnections", "1"), ("MaxOutstandingR2T", "1"), ("DefaultTime2Wait", "2"),
  ("DefaultTime2Retain", "0"), ("ErrorRecoveryLevel", "0"), ("DataPDUInOrder", "Yes"),
  ("DataSequenceInOrder", "Yes"), ("MaxRecvDataSegmentLength", "0x40000"),
  ("X-org.mirrorcast.version", "1"), ("TaskReporting", "RFC3720"), ("IFMarker", "No"),
]

/// Orders for whoever has a kept mirror open, and what is said to them.
private let orderSeeds: [Seed] = [
  ("order", [("op", "order"), ("lun", "0"), ("order", "0bc3RhdHVz")]),
  ("answered", [("op", "answered"), ("lun", "0"), ("token", "7"), ("answer", "0bZG9uZQ==")]),
  ("waiting", [("result", "waiting"), ("token", "7"), ("order", "0bc3RhdHVz")]),
].map { name, pairs in
  Seed(
    name: name,
    bytes: [0] + TextKeys(pairs.map { .init("X-org.mirrorcast." + $0.0, $0.1) }).encoded)
}

func textSeeds() -> [Seed] {
  let literal = "multicast_group_ip = 239.1.1.1\0command = register\0lun_map = (0,1,5)"
  let messages: [SharingMessage] = [
    .hello(guest: 7, secret: 9), .ask(3..<5), .suspect(4096..<8192),
    .lost(member: 3, turn: 2, words: "it is cut off"),
    .join(member: 3, turn: 1, label: "iscsi://10.0.0.1/iqn.2026-01.org.example:a/0"),
    .state(member: 3, .stale, generation: 4, reason: "it is back"),
  ]
  let security = segment(0x81, names + [("AuthMethod", "CHAP,None")])
  return [
    Seed(name: "keys", bytes: [0] + TextKeys(wishes.map { .init($0.0, $0.1) }).encoded),
    Seed(name: "keys-literal", bytes: [0] + Array(literal.utf8)),
    Seed(name: "keys-utf8", bytes: [0] + Array("TargetAlias=Plattenstapel für äöü\0".utf8)),
    Seed(name: "pieces", bytes: [1, 5, 2] + [UInt8](repeating: 0x41, count: 700)),
    Seed(name: "target-one", bytes: joined(2, [segment(0x87, names + wishes)])),
    Seed(name: "target-two", bytes: joined(2, [security, segment(0x87, wishes)])),
    Seed(
      name: "target-pieces",
      bytes: joined(2, [segment(0x44, names), segment(0x87, wishes)])),
    Seed(
      name: "target-discovery",
      bytes: joined(
        2, [segment(0x87, [names[0], ("SessionType", "Discovery")] + Array(wishes.prefix(2)))])),
    Seed(
      name: "initiator",
      bytes: joined(
        3,
        [
          segment(0x81, [("TargetPortalGroupTag", "1"), ("AuthMethod", "None")]),
          segment(0x87, wishes.filter { $0.0 != "TaskReporting" && $0.0 != "IFMarker" }),
        ])),
    Seed(
      name: "initiator-pieces",
      bytes: joined(
        3, [segment(0x40, [("TargetAlias", "a")]), segment(0x81, [("AuthMethod", "None")])])),
    Seed(
      name: "requests",
      bytes: joined(
        4,
        [
          segment(0x80, [("SendTargets", "")]),
          segment(0x40, [("X-org.mirrorcast.op", "register")]),
          segment(0x80, [("SendTargets", "All")]),
          segment(0x80, [("MaxRecvDataSegmentLength", "512")]),
        ])),
    Seed(name: "negotiation", bytes: joined(5, [Array(segment(0, wishes).dropFirst())])),
  ]
    + messages.enumerated().map {
      Seed(name: "message-\($0.offset)", bytes: [0] + $0.element.keys.encoded)
    } + orderSeeds
}

func chapSeeds() -> [Seed] {
  let first = segment(0x81, names + [("AuthMethod", "CHAP")])
  let algorithms = segment(0x81, [("CHAP_A", "7,5")])
  let proof = segment(0x81, [("CHAP_N", "\u{3}"), ("CHAP_R", "\u{1}")])
  let both = segment(
    0x81, [("CHAP_N", "\u{3}"), ("CHAP_R", "\u{1}"), ("CHAP_I", "5"), ("CHAP_C", "0x0102030405")])
  let reflected = segment(
    0x81, [("CHAP_N", "host"), ("CHAP_R", "\u{1}"), ("CHAP_I", "5"), ("CHAP_C", "\u{2}")])
  let last = segment(0x87, Array(wishes.prefix(5)))
  let challenge = segment(
    0x00, [("CHAP_A", "5"), ("CHAP_I", "9"), ("CHAP_C", "0b" + "AAECAwQFBgcICQoLDA0ODw==")])
  return [
    Seed(name: "hexadecimal", bytes: [0, 4, 0] + Array("0x00112233aabbCCdd0".utf8)),
    Seed(name: "base64", bytes: [0, 4, 0] + Array("0bAAECAwQFBgcICQoLDA0ODw==".utf8)),
    Seed(name: "initiator-proves", bytes: joined(1, [first, algorithms, proof, last])),
    Seed(name: "initiator-and-target", bytes: joined(1, [first, algorithms, both, last])),
    Seed(name: "initiator-reflects", bytes: joined(1, [first, algorithms, reflected, last])),
    Seed(
      name: "target-proves",
      bytes: joined(
        2, [segment(0x00, [("AuthMethod", "CHAP")]), challenge, proof, last])),
    Seed(
      name: "target-needs-no-proof",
      bytes: joined(3, [segment(0x00, [("AuthMethod", "CHAP")]), challenge, [0x81], last])),
    Seed(
      name: "target-wants-none", bytes: joined(3, [segment(0x81, [("AuthMethod", "None")]), last])),
  ]
}
