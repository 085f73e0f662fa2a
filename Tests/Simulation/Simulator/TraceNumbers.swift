// What stands for a request or a refusal in a trace, whose words are fixed.
import Replication

extension KeepingRequest {
  /// For the trace.
  var number: Int {
    switch self {
    case .claim: 0
    case .marks: 1
    case .mark: 2
    case .adopt: 3
    case .synced: 4
    case .close: 5
    case .release: 6
    case .lead: 7
    case .admit: 8
    case .expel: 9
    case .order, .orders, .answered: 10
    case .flush: 11
    }
  }
}

extension OpeningRefusal.Kind {
  var number: Int {
    let all: [Self] = [
      .splitBrain, .missing, .tooFew, .noSource, .blank, .otherMirror, .size, .held, .unreached,
      .unnamed,
    ]
    return all.firstIndex(of: self) ?? -1
  }
}
