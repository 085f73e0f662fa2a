// What is in the way of RDMA, in the same words wherever it is told: by a mirror that was to go so,
// by a leg that refuses, and by the doctor.

internal import Glibc
package import Lanes

/// Why datagrams can't go by RDMA here, and what to do.
package struct RDMAFault: Error, Equatable, Sendable, CustomStringConvertible {
  package let reason: String
  /// A sentence.
  package let advice: String

  package init(_ reason: String, advice: String) {
    self.reason = reason
    self.advice = advice
  }

  /// A system's error, where a device is used.
  package init(_ error: SystemError) {
    let advice =
      switch error.number {
      case ENOMEM: LockedMemory.advice
      case EMLINK: "Other mirrors' groups, or fewer mirrors there: another group has its own room."
      case EMFILE, ENFILE: "Raise the limit of open files (`ulimit -n`)."
      default: "See what `rdma link` and `dmesg` say."
      }
    self.init("\(error)", advice: advice)
  }

  package var description: String { "\(reason). \(advice)" }

  package static let notBuilt = RDMAFault(
    "this program was built without RDMA",
    advice: "Build it with the trait RDMA, or take the transport udp.")

  package static let noDevice = RDMAFault(
    "this machine has no RDMA device",
    advice: "Add one (`rdma link add rxe0 type rxe netdev eth0` makes one in software at eth0),"
      + " or take the transport udp.")

  /// No port is up that has the address.
  static func noPlace(
    _ address: Endpoint, at interface: String, of ports: [RDMAPortState]
  ) -> RDMAFault {
    let gid = Endpoint(gid: address.gid, queuePair: 0)
    if let port = ports.first(where: { port in port.gids.contains { $0.address == gid } }),
      let fault = port.fault
    {
      return fault
    }
    let names = ports.map(\.device).reduce(into: [String]()) { names, name in
      if !names.contains(name) { names.append(name) }
    }
    return RDMAFault(
      "no RDMA device (\(names.joined(separator: ", "))) has a usable GID of"
        + " \(address.addressText) at \(interface)",
      advice: "Name the interface of a device that is up, or take the transport udp.")
  }
}

extension RDMAPortState {
  /// Why no datagrams go by this port; nil where they do.
  package var fault: RDMAFault? {
    guard isActive else {
      return RDMAFault(
        "port \(number) of the RDMA device \(device) is \(stateText)",
        advice: layer == .ethernet
          ? "Raise its interface (`ip link set NAME up`), and look at the cable."
          : "Look at the cable, and whether a subnet manager runs.")
    }
    guard usable.isEmpty else { return nil }
    let isInfiniBand = gids.contains { $0.kind == .infiniBand }
    return RDMAFault(
      "port \(number) of the RDMA device \(device) has no GID that can be used",
      advice: isInfiniBand
        ? "InfiniBand wants a build with the trait InfiniBand."
        : "Give its interface an address (`ip addr add`): RoCE v2 has a GID for each.")
  }
}

/// How much memory this process may lock, which whatever a device reads or writes is.
package enum LockedMemory {
  /// A registration at a target and a mirror's lane, some of them.
  package static let wantedByteCount = 64 << 20

  /// The limit in bytes; nil where there is none, for this process at least.
  package static var limit: Int? {
    var found = rlimit()
    // Safe: one limit to fill.
    guard unsafe getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &found) == 0,
      found.rlim_cur != UInt(bitPattern: -1), !isPrivileged
    else { return nil }
    return Int(clamping: found.rlim_cur)
  }

  /// CAP_IPC_LOCK, number 14, is among the effective ones.
  private static var isPrivileged: Bool {
    guard let status = TextFile.read("/proc/self/status") else { return geteuid() == 0 }
    for line in status.split(separator: "\n") where line.hasPrefix("CapEff:") {
      let digits = line.dropFirst("CapEff:".count).drop { $0 == "\t" || $0 == " " }
      return UInt64(digits, radix: 16).map { $0 >> 14 & 1 == 1 } ?? false
    }
    return geteuid() == 0
  }

  package static var advice: String {
    let told = limit.map { " (it is \($0 >> 10) KiB)" } ?? ""
    return "Raise the limit of locked memory\(told): `ulimit -l unlimited`, or"
      + " LimitMEMLOCK=infinity in the unit."
  }
}
