internal import Lanes

/// What a port tells of itself, for people: what happened, and what to do.
package struct PortNews: Equatable, Sendable {
  /// How much of the port is left.
  package enum Weight: Sendable {
    /// All is well again.
    case good
    /// It was got over, or may be.
    case trouble
    /// Nothing goes or comes by this port any more.
    case loss
  }

  package let words: String
  package let advice: String
  package let weight: Weight

  package init(_ words: String, advice: String, _ weight: Weight) {
    self.words = words
    self.advice = advice
    self.weight = weight
  }

  /// Trains were given up.
  static func segmentation(_ error: SystemError) -> PortNews {
    PortNews(
      "trains are given up, each datagram goes by itself: \(error)",
      advice: "Nothing is lost but speed.", .trouble)
  }

  /// A socket that sends copies for legs without RDMA can't.
  static func copyFailed(_ error: SystemError) -> PortNews {
    PortNews(
      "a datagram could not be sent to the legs without RDMA: \(error)",
      advice: "What they lack goes over TCP. See whether the interface has a route to the group.",
      .trouble)
  }

  /// A queue pair was in error, and goes again.
  static func restarted(_ error: SystemError) -> PortNews {
    PortNews(
      "a queue pair was in error and started anew: \(error)",
      advice: "What was under way is repaired. See what `dmesg` says of the device.", .trouble)
  }

  /// A queue pair that is of no use any more.
  static func lost(_ error: SystemError) -> PortNews {
    PortNews(
      "no datagrams by RDMA any more: \(error)",
      advice: "\(RDMAFault(error).advice) \(untilAnew)", .loss)
  }

  static func removed(_ device: String) -> PortNews {
    PortNews(
      "the RDMA device \(device) was taken away",
      advice: "If that was not meant, add it again (`rdma link`). \(untilAnew)", .loss)
  }

  /// The fabric took a membership back.
  static func groupLost(_ group: Endpoint) -> PortNews {
    PortNews(
      "the fabric has taken back the membership of \(group.addressText)",
      advice: "See whether the subnet manager runs. A leg that hears nothing is served over TCP.",
      .trouble)
  }

  static func portDown(_ device: String, port: UInt32) -> PortNews {
    PortNews(
      "port \(port) of the RDMA device \(device) is down",
      advice: "Look at the cable, the switch and `rdma link`; datagrams are lost until it is up.",
      .trouble)
  }

  static func portUp(_ device: String, port: UInt32) -> PortNews {
    PortNews(
      "port \(port) of the RDMA device \(device) is up again",
      advice: "A leg that heard nothing meanwhile stays on TCP until the mirror is new.", .good)
  }

  private static let untilAnew = "Until the mirror is established anew, data goes over TCP."
}
