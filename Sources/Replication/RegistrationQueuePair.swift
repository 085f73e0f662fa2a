// What a registration says of RDMA: the datagrams are the same, and so is all that the machines do;
// only where they come from and go to is told in other words.
import ISCSI

extension RegistrationKey {
  package static let gid = prefix + "rdma_gid"
  package static let queuePair = prefix + "rdma_qpn"
  package static let queueKey = prefix + "rdma_qkey"
  package static let activeMTU = prefix + "rdma_mtu"
}

/// One side's queue pair, as it stands in a text.
package struct QueuePairText: Sendable, Equatable {
  /// As an IPv6 address; RoCE v2 writes one of IPv4 as `::ffff:10.0.0.1`.
  package var gid: String
  package var number: UInt32
  /// The initiator's choice for the registration, with the top bit clear.
  package var key: UInt32
  /// Bytes of the largest datagram.
  package var mtu: Int

  package init(gid: String, number: UInt32, key: UInt32, mtu: Int) {
    self.gid = gid
    self.number = number
    self.key = key
    self.mtu = mtu
  }

  func append(to keys: inout TextKeys) {
    keys.append(RegistrationKey.gid, gid)
    keys.append(RegistrationKey.queuePair, hexadecimal(number))
    keys.append(RegistrationKey.queueKey, hexadecimal(key))
    keys.append(RegistrationKey.activeMTU, "\(mtu)")
  }

  init(_ keys: TextKeys) throws(RegistrationFault) {
    gid = try required(keys, RegistrationKey.gid)
    number = try Replication.number(keys, RegistrationKey.queuePair, 2...0xff_fffe)
    key = try Replication.number(keys, RegistrationKey.queueKey, 1...0x7fff_ffff)
    mtu = try Replication.number(keys, RegistrationKey.activeMTU, 256...4096)
    guard mtu.nonzeroBitCount == 1 else {
      throw RegistrationFault(.badRequest, "rdma_mtu is a power of two")
    }
  }
}

/// What carries the datagrams of a registration, in the words of the key.
package enum TransportText: String, Sendable {
  case udp, rdma
}
