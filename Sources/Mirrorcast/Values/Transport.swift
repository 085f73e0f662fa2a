/// What carries a mirror's datagrams.
public enum Transport: String, Sendable, CaseIterable {
  case udp
  /// RDMA, unreliable datagrams; a leg that has none can't be in the mirror.
  case rdma
  /// RDMA; a leg of ours that has none is served over its connection.
  case rdmaOrTCP = "rdma,tcp"
  /// RDMA, and UDP besides for legs of ours that have none: the group's datagrams leave twice then.
  case rdmaOrUDP = "rdma,udp"

  /// Whether a leg without RDMA may be in the mirror.
  var admitsOthers: Bool { self == .rdmaOrTCP || self == .rdmaOrUDP }

  /// How it is told that data gets to a leg by it.
  var word: String { self == .udp ? "udp" : "rdma" }
}
