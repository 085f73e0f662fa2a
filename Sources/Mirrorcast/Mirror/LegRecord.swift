// What became of a leg, for all parts of a mirror alike. A leg has a session in each part, and its
// parts may learn at different times that it is gone, or that something failed there: the first
// words stay, whichever part heard them, and a leg that left one part leaves all.
import Replication
import SCSI
import Synchronization

/// The fate of one leg: its sticky status at each URL, and whether it left.
final class LegRecord: Sendable {
  fileprivate struct State {
    /// Of each URL: the first failure stays.
    var texts: [String?]
    var isGone = false
    var parts: [@Sendable (String) -> Void] = []
  }

  let urls: [LogicalUnitURL]
  private let state: Mutex<State>

  init(_ urls: [LogicalUnitURL]) {
    self.urls = urls
    state = Mutex(State(texts: [String?](repeating: nil, count: urls.count)))
  }

  /// Whether the leg left the mirror.
  var isGone: Bool { state.withLock { $0.isGone } }

  /// `leave` is called with words when the leg leaves, perhaps by another part; at once when it
  /// has left.
  func follow(_ leave: @escaping @Sendable (String) -> Void) {
    let words = state.withLock { state in
      if !state.isGone { state.parts.append(leave) }
      return state.isGone ? state.texts.first.flatMap { $0 } ?? "it left" : nil
    }
    if let words { leave(words) }
  }

  /// The leg left the mirror: all parts hear of it. False when that was known.
  func leave(_ words: String) -> Bool {
    let parts = state.withLock { state -> [@Sendable (String) -> Void]? in
      guard !state.isGone else { return nil }
      state.isGone = true
      state.mark(words)
      defer { state.parts = [] }
      return state.parts
    }
    guard let parts else { return false }
    // By a task: who calls is a lane's thread, which must never wait for room at another lane.
    if parts.count > 1 { Task { for leave in parts { leave(words) } } }
    return true
  }

  var statuses: [LegStatus] {
    let texts = state.withLock { $0.texts }
    return urls.indices.map { index in
      LegStatus(url: urls[index], isGood: texts[index] == nil, text: texts[index] ?? "GOOD")
    }
  }

  /// What a failure means for each URL; those that failed stay marked.
  func record(_ failure: LegFailure) -> [LegStatus] {
    var failed = urls.indices.compactMap { index in
      text(of: failure, lun: urls[index].lun).map { (index, $0) }
    }
    if failed.isEmpty, case .status(let status, let sense, _) = failure {
      // A bad response whose list calls every LUN good is bad for all of them.
      failed = urls.indices.map { ($0, Self.words(status, sense)) }
    }
    return state.withLock { state in
      failed.map { index, text in
        // What the caller wanted is no fault of the leg.
        if state.texts[index] == nil, failure != .aborted { state.texts[index] = text }
        // A leg that is gone keeps saying why it went.
        let why = failure == .lost ? state.texts[index] ?? text : text
        return LegStatus(url: urls[index], isGood: false, text: why)
      }
    }
  }

  /// Marks every URL of the leg.
  func record(_ text: String) {
    state.withLock { $0.mark(text) }
  }

  static let abortedWords = "aborted before it was done"

  /// A failure for the log, whichever LUNs it is of.
  static func words(_ failure: LegFailure) -> String {
    guard case .status(let status, let sense, _) = failure else { return "\(failure)" }
    return words(status, sense)
  }

  private func text(of failure: LegFailure, lun: Int) -> String? {
    switch failure {
    case .deadline: return "not done by the deadline"
    case .lost: return "connection lost"
    case .aborted: return Self.abortedWords
    case .bufferChanged: return "the data changed again and again while it was being written"
    case .status(let status, let sense, let units):
      guard let field = LogicalUnitNumber(lun)?.field,
        let own = units.first(where: { $0.lun == field })
      else { return Self.words(status, sense) }
      return own.status == 0 ? nil : Self.words(own.status, own.sense)
    }
  }

  /// A status and its sense, for people.
  private static func words(_ status: UInt8, _ sense: [UInt8]) -> String {
    let name = "\(Status(rawValue: status))"
    // Safe: the span lives no longer than the expression.
    guard let sense = unsafe SenseData(sense.span.bytes) else { return name }
    return "\(name) \(sense)"
  }
}

extension LegRecord.State {
  fileprivate mutating func mark(_ text: String) {
    for index in texts.indices where texts[index] == nil { texts[index] = text }
  }
}
