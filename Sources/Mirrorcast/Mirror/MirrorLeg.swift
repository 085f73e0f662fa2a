import Datagrams
import Replication
import SCSI
import Synchronization

/// A leg of an initiator's mirror: a session with one target, and the LUNs written there.
final class MirrorLeg: Sendable {
  let urls: [LogicalUnitURL]
  let connection: InitiatorConnection
  /// Where repairs go; nil for a target of another make.
  let repair: Endpoint?
  /// Where the leg's answers may be had without the session's event loops; nil where they can't.
  let answers: AnswerOffer?
  /// The sticky status of each URL: the first failure stays.
  private let texts: Mutex<[String?]>
  private let gone = Mutex(false)

  init(
    urls: [LogicalUnitURL], connection: InitiatorConnection, repair: Endpoint?,
    answers: AnswerOffer?
  ) {
    self.urls = urls
    self.connection = connection
    self.repair = repair
    self.answers = answers
    texts = Mutex([String?](repeating: nil, count: urls.count))
  }

  var isForeign: Bool { repair == nil }
  /// Whether the leg left the mirror.
  var isGone: Bool { gone.withLock { $0 } }

  /// The leg left the mirror: its session ends, which fences it, too.
  func leave(_ words: String) {
    record(words)
    gone.withLock { $0 = true }
    Task { await connection.close() }
  }

  var statuses: [LegStatus] {
    let texts = texts.withLock { $0 }
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
    texts.withLock { texts in
      for (index, text) in failed where texts[index] == nil { texts[index] = text }
    }
    return failed.map { index, text in
      // A leg that is gone keeps saying why it went.
      let why = failure == .lost ? texts.withLock { $0[index] } ?? text : text
      return LegStatus(url: urls[index], isGood: false, text: why)
    }
  }

  /// Marks every URL of the leg.
  func record(_ text: String) {
    texts.withLock { texts in
      for index in texts.indices where texts[index] == nil { texts[index] = text }
    }
  }

  private func text(of failure: LegFailure, lun: Int) -> String? {
    switch failure {
    case .deadline: return "no answer by the deadline"
    case .lost: return "connection lost"
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
