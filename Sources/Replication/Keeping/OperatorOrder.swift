// What people order of whoever has a kept mirror open, and what they are told, as the words that
// wait at a leg (`OrderDesk`). Whoever sends them may be anyone who may log in there: they are read
// strictly, each once, and nothing is guessed.

/// An order to the initiator that has a kept mirror open. Legs are named by their URLs.
package enum OperatorOrder: Sendable, Equatable {
  /// How do the legs stand?
  case status
  /// Let a leg go, until it is ordered back or the mirror is opened again.
  case detach(String)
  /// Try a leg again that is not here.
  case attach(String)
  /// One more leg.
  case add(String)
  /// A member that is not here is gone for good.
  case forget(String)

  package var words: String {
    switch self {
    case .status: "status"
    case .detach(let label): "detach \(label)"
    case .attach(let label): "attach \(label)"
    case .add(let label): "add \(label)"
    case .forget(let label): "forget \(label)"
    }
  }

  /// Reads an order; throws why it is none.
  package init(words: String) throws(OrderFault) {
    let parts = words.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      guard words == "status" else { throw OrderFault("no such order, or not one leg") }
      self = .status
      return
    }
    let label = String(parts[1])
    guard (1...MirrorMember.labelMax).contains(label.utf8.count),
      label.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
    else { throw OrderFault("a leg is a URL of at most \(MirrorMember.labelMax) bytes") }
    switch parts[0] {
    case "detach": self = .detach(label)
    case "attach": self = .attach(label)
    case "add": self = .add(label)
    case "forget": self = .forget(label)
    default: throw OrderFault("no such order")
    }
  }
}

/// Why an order is none, or isn't carried out, in words for people.
package struct OrderFault: Error, Sendable, Equatable {
  package var words: String

  package init(_ words: String) { self.words = words }
}

/// What whoever has the mirror open says to an order.
package enum OperatorAnswer: Sendable, Equatable {
  case done
  case refused(String)
  case standing(MirrorStanding)

  package var words: String {
    switch self {
    case .done: return "done"
    case .refused(let why): return "refused \(StandingLine.plain(why, max: 1024))"
    case .standing(let standing):
      let words = standing.words(reasonMax: MirrorStanding.reasonMax)
      guard words.utf8.count > WaitingOrder.answerLengthMax else { return words }
      let short = standing.words(reasonMax: 0)
      guard short.utf8.count > WaitingOrder.answerLengthMax else { return short }
      return "refused the mirror has more legs than an answer tells of"
    }
  }

  /// Reads an answer; throws why it is none.
  package init(words: String) throws(OrderFault) {
    let refused = "refused "
    if words == "done" {
      self = .done
    } else if words.hasPrefix(refused) {
      self = .refused(String(words.dropFirst(refused.count)))
    } else {
      self = .standing(try MirrorStanding(words: words))
    }
  }
}
