import Datagrams
import Lanes
import Logging

/// What an initiator's lane got when it started.
struct StartedLane: Sendable {
  let placement: PlacementReport
  let pages: PageKind
  let segmentation: Offload

  var metadata: Logger.Metadata {
    [
      "placement": "\(placement)", "pages": "\(pages)", "segmentation": "\(segmentation)",
    ]
  }

  /// The same for programs; trains may have failed since.
  func told(segmentation now: Offload?) -> MirrorStatistics.Lane {
    MirrorStatistics.Lane(
      placement: "\(placement.asked)", coreCount: placement.cores, node: placement.node,
      pages: "\(pages)", segmentation: "\(now ?? segmentation)")
  }
}
