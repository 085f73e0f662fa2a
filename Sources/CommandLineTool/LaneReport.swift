// What lanes and datagrams got, for programs: a measurement without it can't be compared with
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
