#if InfiniBand
  internal import CRDMACM
  internal import CVerbs
  internal import Glibc
  internal import Lanes

  /// A membership of a group that the fabric's management has granted, kept as long as the object.
  /// On InfiniBand the group has a LID and a Q_Key of its own, told by no other way.
  final class InfiniBandJoin: RDMAMembership {
    let route: mirrorcast_verbs_route
    /// The Q_Key that the fabric has for the group.
    let key: UInt32
    private let id: FabricID
    private let group: Endpoint

    init(_ group: Endpoint, at place: RDMAPlace, local: Endpoint) throws(SystemError) {
      guard let id = try FabricID(at: local) else {
        throw SystemError(doing: "join the group at \(place.device)", number: ENODEV)
      }
      let found = try id.join(group)
      self.id = id
      self.group = group
      key = found.key
      route = mirrorcast_verbs_route(found, gidIndex: place.gidIndex, layer: place.layer)
    }

    deinit { id.leave(group) }

    var descriptor: Int32 { id.descriptor }

    func next(of device: String) -> PortNews? {
      switch id.next() {
      case mirrorcast_cm_removed: .removed(device)
      case mirrorcast_cm_group_lost: .groupLost(group)
      default: nil
      }
    }
  }
#endif
