#if RDMA
  internal import CVerbs
  internal import Glibc
  internal import Lanes

  /// What a device tells of itself while it is used. Owned by one thread.
  ///
  /// A driver that can be parted from its users (disassociation) tells a fatal event and is gone.
  /// Others wait for the last user when their device is to go, and tell nothing: the node in /dev
  /// goes first, so that is watched. Whoever hears of it must close the device, or `rdma link
  /// delete` never ends.
  @safe
  final class RDMAWatch {
    private let device: RDMADevice
    private let port: UInt32
    private var watch = mirrorcast_verbs_watch()

    init(_ device: RDMADevice, port: UInt32) throws(SystemError) {
      self.device = device
      self.port = port
      // Safe: the device stays open as long as this object.
      try SystemError.check(
        unsafe mirrorcast_verbs_watch(device.context, &watch), "watch an RDMA device")
    }

    // Safe: the descriptors are this object's own.
    deinit { unsafe mirrorcast_verbs_unwatch(&watch) }

    /// Readable when there is news.
    var descriptor: Int32 { watch.any }

    /// Has another descriptor wake whoever waits for this one.
    func watch(also descriptor: Int32) throws(SystemError) {
      // Safe: one watch to read.
      try SystemError.check(
        unsafe mirrorcast_verbs_watch_also(&watch, descriptor), "watch an RDMA device")
    }

    /// The next of it; nil for none.
    func next() -> PortNews? {
      // Safe: the device stays open as long as this object.
      switch unsafe mirrorcast_verbs_take_news(device.context, &watch, port) {
      case mirrorcast_verbs_removed: .removed(device.name)
      case mirrorcast_verbs_port_down: .portDown(device.name, port: port)
      case mirrorcast_verbs_port_up: .portUp(device.name, port: port)
      case mirrorcast_verbs_fault:
        .lost(SystemError(doing: "use the RDMA device \(device.name)", number: EIO))
      default: nil
      }
    }
  }
#endif
