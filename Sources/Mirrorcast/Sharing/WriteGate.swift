// Where callers' writes wait in a shared mirror until this initiator may write in their regions. In
// front of all lanes, since a region's stripes belong to several; most writes pass by a look under
// a lock that nobody holds for long.
import Replication
import Synchronization

/// The gate of one mirror that several initiators write to.
final class WriteGate: Sendable {
  /// What waits.
  private enum Parked {
    case call(WriteCall, MirrorPart)
    case hold(token: UInt64)
  }

  private struct State {
    var gate: RegionGate
    var parked: [UInt64: Parked] = [:]
    var lastID: UInt64 = 0
    var isEnded = false
  }

  let layout: RegionLayout
  private let inbox: KeptInbox
  private let state: Mutex<State>

  /// - Parameter ownsAll: this initiator leads the mirror.
  init(_ layout: RegionLayout, ownsAll: Bool, _ inbox: KeptInbox) {
    self.layout = layout
    self.inbox = inbox
    state = Mutex(
      State(gate: RegionGate(regionCount: layout.regionCount, ownsAll: ownsAll)))
  }

  // MARK: Writes

  /// Hands a write to its lane, now or when this initiator may write there.
  func pass(_ call: WriteCall, to part: MirrorPart) {
    let isIn = act { state -> Bool? in
      guard !state.isEnded, state.gate.waitingCount < RegionGate.waitingMax else { return nil }
      state.lastID += 1
      guard !state.gate.enter(call.regions(in: layout), id: state.lastID) else { return true }
      state.parked[state.lastID] = .call(call, part)
      return false
    }
    switch isIn {
    case true?:
      // Only what was let in has to leave.
      var call = call
      call.gate = self
      part.submit(call)
    case false?: break
    case nil: part.refuse(call, MirrorPart.endedWords)
    }
  }

  /// A write that was let in has ended at every leg.
  func leave(_ regions: Range<Int>) { act { $0.gate.leave(regions) } }

  /// A copy's range is held no more.
  func leave(_ bytes: Range<UInt64>) { leave(layout.regions(of: bytes)) }

  /// The same of a copy's range: whether it may be held now; else `entered` comes with the token.
  func enter(_ bytes: Range<UInt64>, token: UInt64) -> Bool {
    act { state in
      state.lastID += 1
      guard !state.gate.enter(layout.regions(of: bytes), id: state.lastID) else { return true }
      state.parked[state.lastID] = .hold(token: token)
      return false
    }
  }

  // MARK: Tokens

  func granted(_ regions: Range<Int>) { act { $0.gate.handleGranted(regions) } }

  func called(_ regions: Range<Int>) { act { $0.gate.handleCalled(regions) } }

  /// Nothing is let in any more, and what waits is refused.
  func end() {
    let parked = state.withLock { state in
      state.isEnded = true
      _ = state.gate.end()
      defer { state.parked = [:] }
      return Array(state.parked.values)
    }
    for case .call(let call, let part) in parked { part.refuse(call, MirrorPart.endedWords) }
  }

  // MARK: Steps

  /// What waited goes on under the lock: what comes behind it overtakes it nowhere.
  @discardableResult
  private func act<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    var refused: [(call: WriteCall, part: MirrorPart, words: String)] = []
    let result = state.withLock { state in
      let result = body(&state)
      guard !state.gate.outputs.isEmpty, !state.isEnded else { return result }
      for output in state.gate.outputs {
        switch output {
        case .ask(let regions): inbox.post(.wanted(regions))
        case .released(let regions): inbox.post(.givenBack(regions))
        case .go(let id):
          switch state.parked.removeValue(forKey: id) {
          case .call(var call, let part):
            call.gate = self
            if let words = part.offer(call) { refused.append((call, part, words)) }
          case .hold(let token): inbox.post(.entered(token: token))
          case nil: break
          }
        }
      }
      state.gate.outputs.removeAll(keepingCapacity: true)
      return result
    }
    for (call, part, words) in refused { part.refuse(call, words) }
    return result
  }
}

extension WriteCall {
  func regions(in layout: RegionLayout) -> Range<Int> {
    // Safe: only the length is read.
    let length = unsafe bytes.count
    return layout.regions(of: byteOffset..<byteOffset + UInt64(length))
  }

  /// It has ended at every leg: others may write there.
  func leaveGate() {
    guard let gate else { return }
    gate.leave(regions(in: gate.layout))
  }
}
