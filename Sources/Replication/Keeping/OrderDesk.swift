// Orders that people leave at a leg for whoever has its mirror open. Nobody can be called there:
// the leg has only the session by which it was claimed, and a text goes from the initiator to the
// target. So an order waits until the holder looks for it, and its asker waits until the holder has
// answered.
//
// The road not taken was a port of the initiator's own: it would have to be found, reached through
// the same networks, and guarded by other names and secrets than those that guard the disk.

/// The orders that wait at one LUN.
package struct OrderDesk: Sendable {
  /// Orders that wait at once, those included that the holder has taken and not answered.
  package static let ordersMax = 16

  /// What became of the orders.
  package struct Counters: Sendable, Equatable {
    package var taken: UInt64 = 0
    package var answered: UInt64 = 0
    /// Nobody waited for these answers any more.
    package var lateAnswers: UInt64 = 0

    package init() {}
  }

  /// Who waits for the answer to an order.
  struct Asker: Sendable, Equatable {
    var session: UInt64
    /// The session's own token.
    var token: UInt64
  }

  private struct Waiting: Sendable {
    let asker: Asker
    let order: WaitingOrder
    var isFetched = false
  }

  package private(set) var counters = Counters()
  private var waiting: [Waiting] = []
  var count: Int { waiting.count }
  private var lastToken: UInt64 = 0

  var isEmpty: Bool { waiting.isEmpty }

  /// Takes an order; in words, why not.
  mutating func take(_ words: String, of asker: Asker) -> String? {
    guard !waiting.contains(where: { $0.asker.session == asker.session }) else {
      return "one order at a time"
    }
    guard waiting.count < Self.ordersMax else { return "too many orders wait" }
    lastToken += 1
    waiting.append(Waiting(asker: asker, order: WaitingOrder(token: lastToken, words: words)))
    counters.taken += 1
    return nil
  }

  /// The first order that the holder has not been given.
  mutating func fetch() -> WaitingOrder? {
    guard let index = waiting.firstIndex(where: { !$0.isFetched }) else { return nil }
    waiting[index].isFetched = true
    return waiting[index].order
  }

  /// The holder has answered; nil where nobody waits for that.
  mutating func end(_ token: UInt64) -> Asker? {
    let found = waiting.firstIndex { $0.isFetched && $0.order.token == token }
    guard let found else {
      counters.lateAnswers += 1
      return nil
    }
    counters.answered += 1
    return waiting.remove(at: found).asker
  }

  /// An asker's session is gone.
  mutating func drop(_ session: UInt64) { waiting.removeAll { $0.asker.session == session } }

  /// Nobody has the mirror open any more: who waited.
  mutating func empty() -> [Asker] {
    defer { waiting = [] }
    return waiting.map(\.asker)
  }
}

/// An order as its holder gets it.
package struct WaitingOrder: Sendable, Equatable {
  /// By which it is answered; never 0.
  package var token: UInt64
  package var words: String

  /// Bytes of an order.
  package static let lengthMax = 4096
  /// Bytes of the answer to one.
  package static let answerLengthMax = 32_000

  package init(token: UInt64, words: String) {
    self.token = token
    self.words = words
  }
}
