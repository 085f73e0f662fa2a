// What a mirror needs of a machine, looked at without changing anything; what is sent stays on the
// loopback. A finding is
// only called bad when something can be done about it.

import Datagrams
import Glibc
import Lanes
import NIOCore
import NIOPosix

/// One finding about this machine.
public struct DoctorLine: Sendable, Equatable {
  public var subject: String
  public var finding: String
  public var isGood: Bool
  /// What to do about it, where it isn't good.
  public var advice: String?
  /// How fast it went here and now, where that was measured.
  public var bytesPerSecond: Double?

  public init(
    subject: String, finding: String, isGood: Bool = true, advice: String? = nil,
    bytesPerSecond: Double? = nil
  ) {
    self.subject = subject
    self.finding = finding
    self.isGood = isGood
    self.advice = advice
    self.bytesPerSecond = bytesPerSecond
  }
}

/// Looks at what this machine has for mirroring.
public enum Doctor {
  /// The findings, in the order in which they are to be read.
  public static func report() -> [DoctorLine] {
    [processors, memoryNodes] + interfaces + [receiveBuffers] + offloads + [digest] + sealing
      + devices
  }

  private static var processors: DoctorLine {
    DoctorLine(subject: "processors", finding: "\(System.coreCount)")
  }

  private static var memoryNodes: DoctorLine {
    let count = NUMANodes.count
    return DoctorLine(
      subject: "NUMA nodes",
      finding: count > 0 ? "\(count)" : "not visible: lanes are not placed by node")
  }

  private static var interfaces: [DoctorLine] {
    let names: [String]
    do {
      names = try System.enumerateDevices().map(\.name)
    } catch {
      return [
        DoctorLine(
          subject: "interfaces", finding: "can't be listed: \(error)", isGood: false,
          advice: "See what `ip link` says.")
      ]
    }
    var found = Set<String>()
    let lines = names.filter { found.insert($0).inserted }.compactMap(line(interface:))
    guard lines.isEmpty else { return lines }
    return [
      DoctorLine(
        subject: "interfaces", finding: "none is up", isGood: false,
        advice: "Raise one with `ip link set NAME up`.")
    ]
  }

  private static func line(interface name: String) -> DoctorLine? {
    guard let interface = try? NetworkInterface(named: name) else { return nil }
    let addresses = [Endpoint.Family.v4, .v6]
      .compactMap { try? interface.address($0).addressText }
    var finding = "MTU \(interface.mtu)"
    if !addresses.isEmpty { finding += ", \(addresses.joined(separator: ", "))" }
    guard interface.canMulticast else {
      return DoctorLine(
        subject: "interface \(name)", finding: "\(finding), no multicast", isGood: false,
        advice: "`ip link set \(name) multicast on`, or take another for mirrors.")
    }
    return DoctorLine(subject: "interface \(name)", finding: "\(finding), multicast")
  }

  /// A burst that finds no room in the kernel is lost and has to be repaired. Root may exceed the
  /// limit, others may not.
  private static var receiveBuffers: DoctorLine {
    let wanted = 4 << 20
    guard let limit = number(in: "/proc/sys/net/core/rmem_max") else {
      return DoctorLine(subject: "receive buffers", finding: "their limit can't be read")
    }
    let isGood = limit >= wanted || geteuid() == 0
    return DoctorLine(
      subject: "receive buffers",
      finding: "at most \(limit) bytes" + (limit < wanted && isGood ? ", more for root" : ""),
      isGood: isGood,
      advice: isGood ? nil : "`sysctl -w net.core.rmem_max=\(wanted)`, or run as root.")
  }

  /// Without them a mirror works, at a fraction of the speed. Nothing is bad about a kernel that
  /// can't: it is told, and that is all.
  private static var offloads: [DoctorLine] {
    let probe = OffloadProbe.run()
    var pages = probe.hasTransparentHugePages ? "transparent ones" : "no transparent ones"
    pages += ", \(probe.freeHugePageCount) free in the pool"
    return [
      DoctorLine(subject: "UDP_SEGMENT", finding: "\(probe.segmentation)"),
      DoctorLine(subject: "UDP_GRO", finding: "\(probe.coalescing)"),
      DoctorLine(subject: "huge pages", finding: pages),
    ]
  }

  private static var digest: DoctorLine {
    DoctorLine(subject: "CRC32C", finding: DigestKind.name)
  }

  private static func number(in path: String) -> Int? {
    TextFile.read(path).flatMap { Int($0.prefix { $0.isNumber }) }
  }
}
