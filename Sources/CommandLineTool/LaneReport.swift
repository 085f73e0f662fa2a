// What lanes and datagrams got, and the pace: a measurement without it can't be compared with
// another.

import Mirrorcast

extension MirrorStatistics {
  /// The members that tell of lanes and path, beside those of the run.
  var laneMembers: [(String, JSONValue)] {
    // One lane without trains is what limits a mirror.
    let segmentation = lanes.map(\.segmentation).first { $0 != "on" } ?? "on"
    return [
      ("blockLength", .integer(UInt64(blockLength))), ("segmentation", .string(segmentation)),
      ("lanes", .array(lanes.map(\.json))),
    ]
  }
}

extension MirrorStatistics {
  /// The member that tells of the pace; none where nothing held the sender back.
  var pacingMembers: [(String, JSONValue)] {
    guard let pacing else { return [] }
    var members: [(String, JSONValue)] = []
    if let rate = pacing.bytesPerSecond { members.append(("bytesPerSecond", .integer(rate))) }
    members += [("cuts", .integer(pacing.cuts)), ("tests", .integer(pacing.tests))]
    return [("pacing", .object(members))]
  }
}

extension MirrorStatistics.Pacing {
  /// The same for people.
  var line: String {
    let found =
      bytesPerSecond.map { "at last to \(Quantity.decimal(Double($0) / 1e6, places: 1)) MB/s" }
      ?? "for a while"
    let cutWords = cuts == 1 ? "1 cut" : "\(cuts) cuts"
    let testWords = tests == 1 ? "1 test" : "\(tests) tests"
    return "held back by losses, \(found): \(cutWords), \(testWords) of a slower pace"
  }
}

extension MirrorStatistics.Lane {
  fileprivate var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("placement", .string(placement)), ("cores", .integer(UInt64(coreCount))),
      ("pages", .string(pages)), ("segmentation", .string(segmentation)),
    ]
    if let node { members.append(("node", .integer(UInt64(node)))) }
    return .object(members)
  }
}
