import ISCSI
import Testing

@testable import Replication

/// What is asked of a leg's record and marks by text, and answered.
@Suite struct KeepingTextTests {
  static let layout = RegionLayout(byteCount: 10 << 30)

  static func record(members count: Int = 3, labelLength: Int = 20) -> MirrorRecord {
    let members = (1...count).map { id in
      MirrorMember(
        id: UInt64(id) << 32 | 7, label: String(repeating: "l", count: labelLength),
        state: MemberState.allCases[id % 4], isRequired: id == 2)
    }
    var generation = MirrorGeneration(
      counter: 41, id: 0xfeed, members: members, requiredCount: min(2, count), madeAt: 1_700_000_000
    )
    for id in 1...20 { generation = generation.next(id: UInt64(id), madeAt: 1_700_000_001) }
    return MirrorRecord(
      mirror: .max, name: "döner & söhne", member: members[0].id, generation: generation)
  }

  static let requests: [KeepingRequest] = [
    .claim(holder: .max), .claim(holder: 1), .marks(from: 0), .marks(from: (1 << 20) - 1),
    .mark([0..<1]), .mark([0..<4, 4..<5, 7..<8, 100..<1 << 20]), .synced([3..<9]),
    .adopt(record(), replaces: false), .adopt(record(members: 1), replaces: true), .close,
    .release, .flush, .order("status"), .order(String(repeating: "ö", count: 2048)), .orders,
    .answered(token: .max, "done = ja,\n\tsöhne"),
  ]

  static let answers: [KeepingAnswer] = [
    .description(
      LegDescriptor(record: nil, layout: layout, markedCount: 0, isIntact: true)),
    .description(
      LegDescriptor(record: record(), layout: layout, markedCount: 2560, isIntact: false)),
    .marks([], next: nil), .marks([0..<1, 5..<9], next: 12), .marks([], next: 0), .done,
    .waiting(nil), .waiting(WaitingOrder(token: 3, words: "detach x")), .answered("a\0b"),
  ]

  private func refusal(_ keys: TextKeys) -> RegistrationRefusal? {
    do throws(RegistrationFault) {
      _ = try MirrorText(keys)
      return nil
    } catch {
      return error.refusal
    }
  }

  @Test func `requests are read as they were asked`() throws {
    for request in Self.requests {
      let asked = KeepingText(lun: 16383, request)
      let keys = try TextKeys(strict: asked.keys.encoded[...])
      let isSame = try MirrorText(keys) == .keep(asked)
      #expect(isSame, "\(request.operation)")
    }
    #expect(
      KeepingText(lun: 0, .mark([0..<4, 7..<8])).keys["X-org.mirrorcast.ranges"] == "0-3,7-7")
  }

  @Test func `answers are read as they were given`() throws {
    for answer in Self.answers {
      let keys = try TextKeys(strict: answer.keys.encoded[...])
      let isSame = try KeepingAnswer(keys) == answer
      #expect(isSame, "\(keys.pairs[0].value)")
    }
    for refusal in KeepingRefusal.allCases {
      let answer = KeepingAnswer.refused(refusal, "it is another's, see above")
      #expect(try KeepingAnswer(TextKeys(strict: answer.keys.encoded[...])) == answer)
    }
  }

  @Test func `a refusal to a registration is one here, too`() throws {
    let fault = RegistrationFault(.lunTaken, "LUN 3 is taken")
    #expect(try KeepingAnswer(fault.keys) == .refused(.badRequest, "LUN 3 is taken"))
    let missing = RegistrationFault(.noSuchLUN, "there is no LUN 3 here")
    #expect(try KeepingAnswer(missing.keys) == .refused(.noSuchLUN, "there is no LUN 3 here"))
    #expect(throws: RegistrationFault.self) {
      _ = try KeepingAnswer(TextKeys([.init(RegistrationKey.result, "registered")]))
    }
  }

  @Test func `the longest texts are shorter than a text may be`() throws {
    let ranges = (0..<KeepingText.rangesMax).map { index in
      let first = RegionLayout.regionsMax - 2 * (KeepingText.rangesMax - index)
      return first..<first + 1
    }
    let digests = [UInt8](repeating: 0xff, count: 1024 * DigestRequest.digestByteCount)
    let room = TextKeys.byteCountMax - 1024
    #expect(KeepingText(lun: 16383, .mark(ranges)).keys.encoded.count < room)
    #expect(DigestAnswer.digests(digests).keys.encoded.count < room)
    let words = String(repeating: "w", count: WaitingOrder.answerLengthMax)
    #expect(
      KeepingText(lun: 16383, .answered(token: .max, words)).keys.encoded.count < room)
    // Legs of one mirror, each with a URL of a length that is seen.
    let record = Self.record(members: 64, labelLength: 400)
    #expect(record.bytes.count <= MirrorRecord.byteCountMax)
    let adopt = KeepingText(lun: 16383, .adopt(record, replaces: true)).keys.encoded
    #expect(adopt.count < room)
    let isSame =
      try MirrorText(TextKeys(strict: adopt[...]))
      == .keep(KeepingText(lun: 16383, .adopt(record, replaces: true)))
    #expect(isSame)
  }

  @Test func `each key is needed`() {
    for request in Self.requests {
      let whole = KeepingText(lun: 3, request).keys
      for pair in whole.pairs {
        let less = TextKeys(whole.pairs.filter { $0.key != pair.key })
        #expect(refusal(less) == .badRequest, "\(pair.key)")
        let empty = TextKeys(whole.pairs.map { $0.key == pair.key ? .init($0.key, "") : $0 })
        #expect(refusal(empty) == .badRequest, "\(pair.key)")
      }
    }
  }

  static let hostile: [(KeepingRequest, String, [String])] = [
    (.close, RegistrationKey.lun, ["-1", "16384", "+1", "x", "1 ", "99999999999999999999"]),
    (.close, RegistrationKey.operation, ["Close", "keep", "claim ", "unclaim"]),
    (.claim(holder: 1), RegistrationKey.holder, ["0", "0x", "-1", "0x10000000000000000", "y"]),
    (.marks(from: 1), RegistrationKey.from, ["-1", "1048576", "+1", "1.5", "0x100000"]),
    (
      .mark([0..<1]), RegistrationKey.ranges,
      [
        ",", "0", "0-", "-1", "1-0", "0-1,", ",0-1", "0-1,1-2", "3-4,0-1", "0--1", "0-1-2",
        "+0-1", "0-+1", "0x0-1", " 0-1", "0-1048576", "1048576-1048577", "a-b", "0-1;2-3",
        "0-99999999999999999999", "00000000-1",
        (0...512).map { "\(2 * $0)-\(2 * $0)" }.joined(separator: ","),
      ]
    ),
    (
      .adopt(record(), replaces: false), RegistrationKey.record,
      [
        "0b", "0x", "0bAA==", "0x00", "0b====", "record", "0xzz",
        "0x" + String(repeating: "0", count: 2 * MirrorRecord.byteCountMax + 2),
      ]
    ),
    (
      .order("x"), RegistrationKey.order,
      [
        "0b", "0x", "status", "0b====", "0xff", "0bgA==",
        "0x" + String(repeating: "41", count: WaitingOrder.lengthMax + 1),
      ]
    ),
    (
      .answered(token: 1, "x"), RegistrationKey.answer,
      ["0b", "x", "0xc3", "0x" + String(repeating: "41", count: WaitingOrder.answerLengthMax + 1)]
    ),
    (.answered(token: 1, "x"), RegistrationKey.token, ["0", "-1", "x", "0x10000000000000000"]),
    (.adopt(record(), replaces: false), RegistrationKey.replaces, ["yes", "1", "True", "Yes "]),
  ]

  @Test func `hostile values are refused`() {
    for (request, key, values) in Self.hostile {
      let whole = KeepingText(lun: 3, request).keys
      for value in values {
        let keys = TextKeys(whole.pairs.map { $0.key == key ? .init(key, value) : $0 })
        #expect(refusal(keys) == .badRequest, "\(key)=\(value.prefix(40))")
      }
    }
  }

  @Test func `hostile answers are refused`() throws {
    let hostile: [(KeepingAnswer, String, [String])] = [
      (
        Self.answers[0], RegistrationKey.byteCount,
        ["0", "-1", "x", "18446744073709551615", "9223372036854775807"]
      ),
      (
        Self.answers[0], RegistrationKey.regionLength,
        ["0", "1", "511", "9223372036854775808", "-4"]
      ),
      (Self.answers[0], RegistrationKey.markedCount, ["-1", "2561", "x"]),
      (Self.answers[0], RegistrationKey.intact, ["yes", "", "0"]),
      (Self.answers[1], RegistrationKey.record, ["", "0b", "0bAA==", "0x00"]),
      (Self.answers[3], RegistrationKey.ranges, ["", "1", "5-4", "0-1048576"]),
      (Self.answers[3], RegistrationKey.next, ["", "-1", "1048576"]),
      (Self.answers[7], RegistrationKey.token, ["", "0", "-1", "x"]),
      (Self.answers[7], RegistrationKey.order, ["", "0b", "x", "0xff"]),
      (Self.answers[8], RegistrationKey.answer, ["", "0b", "x", "0xff"]),
      (.done, RegistrationKey.result, ["", "Done", "digests", "ok"]),
    ]
    for (answer, key, values) in hostile {
      for value in values {
        let keys = TextKeys(
          answer.keys.pairs.map { $0.key == key ? .init(key, value) : $0 })
        #expect(throws: RegistrationFault.self, "\(key)=\(value)") {
          _ = try KeepingAnswer(keys)
        }
      }
    }
  }

  @Test func `words are put into a value that every reader takes`() throws {
    let words = "no space left at \u{1b}[31m/srv/\u{85}disk, " + String(repeating: "ä", count: 300)
    let keys = KeepingAnswer.refused(.storage, words).keys
    let read = try TextKeys(strict: keys.encoded[...])
    #expect(read == keys)
    #expect(read[RegistrationKey.reason]?.utf8.count ?? 0 <= 255)
    #expect(read[RegistrationKey.reason]?.hasPrefix("no_space_left_at__[31m/srv/_disk,_ä") == true)
  }

  @Test func `a registration may say who has claimed the LUN`() throws {
    var asked = RegistrationRequest(
      registration: 1, group: "239.1.2.3", port: 5001, luns: [0], virtualLUN: 5)
    asked.sender = "10.0.0.1:40000"
    asked.holder = 0xffff_0000_1111_2222
    #expect(try MirrorText(TextKeys(strict: asked.keys.encoded[...])) == .register(asked))
    for value in ["", "0", "-1", "0x", "0x10000000000000000"] {
      let keys = TextKeys(
        asked.keys.pairs.map { $0.key == RegistrationKey.holder ? .init($0.key, value) : $0 })
      #expect(refusal(keys) == .badRequest, "\(value)")
    }
  }

  // MARK: Digests

  @Test func `digests are asked for and told`() throws {
    let asked = DigestRequest(lun: 2, offset: 12 << 20, length: (4 << 20) - 512, chunk: 65_536)
    #expect(try MirrorText(TextKeys(strict: asked.keys.encoded[...])) == .digest(asked))
    #expect(asked.chunkCount == 64)
    let second: Range<UInt64> = 12_648_448..<12_713_984
    #expect(asked.bytes(ofChunk: 1) == second)
    #expect(asked.bytes(ofChunk: 63).upperBound == (16 << 20) - 512)
    let told = DigestAnswer.digests((0..<64 * 32).map { UInt8(truncatingIfNeeded: $0) })
    let isSame = try DigestAnswer(TextKeys(strict: told.keys.encoded[...]), to: asked) == told
    #expect(isSame)
    let refused = DigestAnswer.refused(.notClaimed, "claim it first")
    #expect(try DigestAnswer(refused.keys, to: asked) == refused)
    for count in [0, 63, 65] {
      let odd = DigestAnswer.digests([UInt8](repeating: 1, count: count * 32)).keys
      #expect(throws: RegistrationFault.self) { _ = try DigestAnswer(odd, to: asked) }
    }
  }

  @Test func `digests of what can't be are refused`() {
    let whole = DigestRequest(lun: 0, offset: 0, length: 4096, chunk: 4096).keys
    let hostile: [(String, [String])] = [
      (RegistrationKey.offset, ["-1", "9223372036854775807", "", "x"]),
      (RegistrationKey.length, ["0", "4194305", "-1", ""]),
      (RegistrationKey.chunk, ["0", "4095", "1048577", "-4096", ""]),
      (RegistrationKey.lun, ["-1", "16384", ""]),
    ]
    for (key, values) in hostile {
      for value in values {
        let keys = TextKeys(whole.pairs.map { $0.key == key ? .init(key, value) : $0 })
        #expect(refusal(keys) == .badRequest, "\(key)=\(value)")
      }
    }
  }
}
