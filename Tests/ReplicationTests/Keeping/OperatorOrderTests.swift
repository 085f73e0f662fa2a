import Testing

@testable import Replication

/// Orders and what is said to them, as words.
@Suite struct OperatorOrderTests {
  static let url = "iscsi://10.0.0.1:3260/iqn.2026-01.org.example:a/0"

  private func standing(legs count: Int = 3, reason: String = "it is back") -> MirrorStanding {
    var standing = MirrorStanding(name: "döner = söhne", generation: 41, requiredCount: 2)
    standing.isSuspended = true
    for index in 0..<count {
      var leg = LegStanding(
        label: Self.url + "\(index)", state: MemberState.allCases[index % 5],
        generation: UInt64(index), reason: reason)
      leg.isHere = index % 2 == 0
      leg.isDetached = index == 1
      leg.isGivenUp = index == 2
      leg.remaining = index == 0 ? 5 : nil
      leg.total = index == 0 ? 9 : nil
      leg.copiedBytes = .max
      leg.servedBy = index == 1 ? "" : "udp"
      standing.legs.append(leg)
    }
    return standing
  }

  private func fault(_ body: () throws(OrderFault) -> Void) -> String? {
    do throws(OrderFault) {
      try body()
      return nil
    } catch {
      return error.words
    }
  }

  @Test func `orders are read as they were written`() throws {
    for order: OperatorOrder in [
      .status, .detach(Self.url), .attach(Self.url), .add("x"), .forget(Self.url),
    ] {
      #expect(try OperatorOrder(words: order.words) == order)
    }
  }

  @Test func `what is no order is refused`() {
    let long = String(repeating: "x", count: 513)
    for words in [
      "", " ", "status ", " status", "Status", "detach", "detach ", "detach  x", "detach x y",
      "detach x ", "detach \(long)", "detach x\n", "detach ä", "detach \u{7f}", "detatch x",
      "status x", "detach\tx", "add a\0b",
    ] {
      let isRefused = fault { () throws(OrderFault) in _ = try OperatorOrder(words: words) } != nil
      #expect(isRefused, "\(words.prefix(20))")
    }
  }

  @Test func `answers are read as they were given`() throws {
    for answer: OperatorAnswer in [
      .done, .refused("it is in-sync: detach it first"), .refused(""), .standing(standing()),
      .standing(standing(legs: 0)), .standing(standing(legs: 64)),
    ] {
      let isSame = try OperatorAnswer(words: answer.words) == answer
      #expect(isSame, "\(answer.words.prefix(60))")
    }
    // What would break the lines is blank there.
    let read = try OperatorAnswer(
      words: OperatorAnswer.standing(standing(reason: "a\tb\nc\u{85}d")).words)
    guard case .standing(let told) = read else {
      Issue.record("no standing")
      return
    }
    #expect(told.legs.map(\.reason) == ["a b c d", "a b c d", "a b c d"])
  }

  @Test func `an answer is never longer than a text takes`() throws {
    let words = OperatorAnswer.standing(
      standing(legs: 64, reason: String(repeating: "ö", count: 900))
    ).words
    #expect(words.utf8.count <= WaitingOrder.answerLengthMax)
    var large = standing(legs: 64)
    for index in large.legs.indices { large.legs[index].label = String(repeating: "l", count: 512) }
    #expect(
      OperatorAnswer.standing(large).words
        == "refused the mirror has more legs than an answer tells of")
    #expect(OperatorAnswer.refused(String(repeating: "ä", count: 9999)).words.utf8.count <= 1100)
  }

  @Test func `what is no answer is refused`() throws {
    let whole = OperatorAnswer.standing(standing(legs: 1)).words
    let hostile = [
      "", "done ", "refuse", "mirror", "leg", "\n", "mirror\n\n", whole + "\n", whole + "\nmirror",
      whole.replacing("suspended=yes", with: "suspended=1"),
      whole.replacing("generation=41", with: "generation=-1"),
      whole.replacing("generation=41", with: "generation=99999999999999999999"),
      whole.replacing("remaining=5", with: "remaining=x"),
      whole.replacing("state=in-sync", with: "state=well"),
      whole.replacing("\tcopied=", with: "\tcopied"),
      whole.replacing("closing=no", with: "closing=no\tclosing=no"),
      whole.replacing("reason=it is back", with: "reason=it\u{1b}[31m"),
      whole.replacing("url=", with: "uri="),
      whole + String(repeating: "\tx=y", count: 40),
      whole + String(repeating: "\n" + whole.split(separator: "\n")[1], count: 64),
    ]
    for words in hostile {
      let isRefused = fault { () throws(OrderFault) in _ = try OperatorAnswer(words: words) } != nil
      #expect(isRefused, "\(words.prefix(60))")
    }
    // What another version says besides is skipped.
    let more = whole.replacing("copied=", with: "colour=red\tcopied=")
    #expect(try OperatorAnswer(words: more) == .standing(standing(legs: 1)))
  }
}
