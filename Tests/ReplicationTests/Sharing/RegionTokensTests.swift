import Testing

@testable import Replication

/// Initiators with their gates, the leader's tokens, and ways between them on which messages keep
/// their order and take their time.
private struct Crowd {
  enum Message {
    case ask(Range<Int>)
    case released(Range<Int>)
    case granted(Range<Int>)
    case call(Range<Int>)
  }

  struct Write {
    let participant: Int
    let regions: Range<Int>
  }

  var tokens: RegionTokens
  var gates: [RegionGate]
  /// To the leader and from it, by participant.
  var toLeader: [[Message]]
  var toGate: [[Message]]
  var waiting: [UInt64: Write] = [:]
  var open: [UInt64: Write] = [:]
  var order: [(id: UInt64, write: Write)] = []
  var nextID: UInt64 = 1
  var isGone: Set<Int> = []

  init(participants: Int, regions: Int) {
    tokens = RegionTokens(regionCount: regions)
    gates = (0..<participants).map { RegionGate(regionCount: regions, ownsAll: $0 == 0) }
    toLeader = Array(repeating: [], count: participants)
    toGate = toLeader
  }

  mutating func write(_ participant: Int, _ regions: Range<Int>) {
    let id = nextID
    nextID += 1
    let write = Write(participant: participant, regions: regions)
    if gates[participant].enter(regions, id: id) { begin(id, write) } else { waiting[id] = write }
    take(participant)
  }

  mutating func begin(_ id: UInt64, _ write: Write) {
    for other in open.values where other.participant != write.participant {
      let overlaps = other.regions.overlaps(write.regions)
      #expect(!overlaps, "two initiators write in one region")
    }
    open[id] = write
    order.append((id, write))
  }

  mutating func end(_ id: UInt64) {
    guard let write = open.removeValue(forKey: id) else { return }
    guard !isGone.contains(write.participant) else { return }
    gates[write.participant].leave(write.regions)
    take(write.participant)
  }

  /// Carries out what a gate has to say.
  mutating func take(_ participant: Int) {
    let outputs = gates[participant].outputs
    gates[participant].outputs = []
    for output in outputs {
      switch output {
      case .ask(let regions): toLeader[participant].append(.ask(regions))
      case .released(let regions): toLeader[participant].append(.released(regions))
      case .go(let id):
        guard let write = waiting.removeValue(forKey: id) else {
          Issue.record("a write goes twice")
          continue
        }
        begin(id, write)
      }
    }
  }

  mutating func takeTokens() {
    let outputs = tokens.outputs
    tokens.outputs = []
    for output in outputs {
      switch output {
      case .granted(let participant, let regions):
        if !isGone.contains(participant) { toGate[participant].append(.granted(regions)) }
      case .call(let participant, let regions):
        if !isGone.contains(participant) { toGate[participant].append(.call(regions)) }
      }
    }
  }

  /// One message arrives; false where none is on its way there.
  mutating func deliver(_ participant: Int, toLeader isUp: Bool) -> Bool {
    if isUp {
      guard !toLeader[participant].isEmpty else { return false }
      switch toLeader[participant].removeFirst() {
      case .ask(let regions):
        let isTaken = tokens.handleAsked(participant, regions)
        #expect(isTaken)
      case .released(let regions):
        let isTaken = tokens.handleReleased(participant, regions)
        #expect(isTaken, "given back without having it")
      case .granted, .call: break
      }
      takeTokens()
    } else {
      guard !toGate[participant].isEmpty else { return false }
      switch toGate[participant].removeFirst() {
      case .granted(let regions): gates[participant].handleGranted(regions)
      case .call(let regions): gates[participant].handleCalled(regions)
      case .ask, .released: break
      }
      take(participant)
    }
    return true
  }

  mutating func settle() {
    var isMoving = true
    while isMoving {
      isMoving = false
      for participant in gates.indices where !isGone.contains(participant) {
        while deliver(participant, toLeader: true) { isMoving = true }
        while deliver(participant, toLeader: false) { isMoving = true }
      }
    }
  }
}

@Suite
struct `Tokens of regions` {
  @Test func `the leader writes without asking anybody`() {
    var crowd = Crowd(participants: 2, regions: 8)
    crowd.write(0, 0..<2)
    #expect(crowd.open.count == 1)
    #expect(crowd.toLeader[0].isEmpty)
  }

  @Test func `a token that is called back comes when its writes have ended`() {
    var crowd = Crowd(participants: 2, regions: 8)
    crowd.write(0, 3..<4)
    crowd.write(1, 3..<4)
    crowd.settle()
    #expect(crowd.open.values.map(\.participant) == [0])
    // What comes behind the call waits behind the other.
    crowd.write(0, 3..<4)
    crowd.settle()
    crowd.end(1)
    crowd.settle()
    #expect(crowd.open.values.map(\.participant) == [1])
    crowd.end(2)
    crowd.settle()
    #expect(crowd.order.map(\.id) == [1, 2, 3])
  }

  @Test func `who has a token keeps it`() {
    var crowd = Crowd(participants: 2, regions: 8)
    crowd.write(1, 3..<4)
    crowd.settle()
    crowd.end(1)
    crowd.write(1, 3..<4)
    #expect(crowd.open.count == 1)
    #expect(crowd.tokens.owner(of: 3) == 1)
  }

  @Test func `writes over two regions don't wait for each other for ever`() {
    var crowd = Crowd(participants: 3, regions: 4)
    crowd.write(1, 0..<2)
    crowd.write(2, 1..<3)
    crowd.write(0, 0..<3)
    crowd.settle()
    for _ in 0..<3 {
      if let id = crowd.open.keys.min() { crowd.end(id) }
      crowd.settle()
    }
    #expect(crowd.order.count == 3)
    #expect(crowd.waiting.isEmpty)
  }

  @Test func `what somebody had who is gone is kept until it is freed`() {
    var crowd = Crowd(participants: 3, regions: 8)
    crowd.write(1, 2..<4)
    crowd.settle()
    crowd.write(2, 3..<4)
    crowd.settle()
    crowd.isGone.insert(1)
    let had = crowd.tokens.remove(1)
    #expect(had == [2..<4])
    crowd.takeTokens()
    crowd.settle()
    #expect(crowd.open.values.allSatisfy { $0.participant == 1 })
    crowd.open = [:]
    crowd.tokens.free(had)
    crowd.takeTokens()
    crowd.settle()
    #expect(crowd.open.values.map(\.participant) == [2])
  }

  @Test func `requests that name nothing, or too much, are refused`() {
    var tokens = RegionTokens(regionCount: 4)
    let bad = [
      tokens.handleAsked(1, 0..<0), tokens.handleAsked(1, 2..<5),
      tokens.handleReleased(1, 0..<1),
    ]
    #expect(bad == [false, false, false])
    let many = (0..<RegionTokens.requestsMax).map { _ in tokens.handleAsked(1, 0..<1) }
    #expect(many.allSatisfy { $0 })
    let (more, others) = (tokens.handleAsked(1, 0..<1), tokens.handleAsked(2, 0..<1))
    #expect(!more && others)
  }

  @Test(arguments: 0..<200 as Range<UInt64>)
  func `whoever writes where, each write has its turn and none meets another's`(seed: UInt64) {
    var random = SeededRandom(seed)
    let participants = Int.random(in: 2...5, using: &random)
    let regions = Int.random(in: 1...6, using: &random)
    var crowd = Crowd(participants: participants, regions: regions)
    for _ in 0..<400 {
      let participant = Int.random(in: 0..<participants, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<3:
        guard !crowd.isGone.contains(participant) else { continue }
        let start = Int.random(in: 0..<regions, using: &random)
        let end = Int.random(in: start + 1...min(start + 2, regions), using: &random)
        crowd.write(participant, start..<end)
      case 3..<5:
        if let id = crowd.open.keys.sorted().randomElement(using: &random) { crowd.end(id) }
      case 5 where participant > 0 && Int.random(in: 0..<20, using: &random) == 0:
        guard crowd.isGone.insert(participant).inserted else { continue }
        let had = crowd.tokens.remove(participant)
        for write in crowd.open where write.value.participant == participant {
          crowd.open[write.key] = nil
        }
        crowd.waiting = crowd.waiting.filter { $0.value.participant != participant }
        crowd.tokens.free(had)
        crowd.takeTokens()
      default:
        guard !crowd.isGone.contains(participant) else { continue }
        _ = crowd.deliver(participant, toLeader: Bool.random(using: &random))
      }
    }
    for _ in 0..<10_000 where !crowd.open.isEmpty || !crowd.waiting.isEmpty {
      crowd.settle()
      if let id = crowd.open.keys.min() { crowd.end(id) }
    }
    #expect(crowd.waiting.isEmpty && crowd.open.isEmpty)
    // Writes of one initiator that overlap keep their order.
    for (index, one) in crowd.order.enumerated() {
      for other in crowd.order[..<index]
      where other.write.participant == one.write.participant
        && other.write.regions.overlaps(one.write.regions)
      {
        #expect(other.id < one.id)
      }
    }
  }
}
