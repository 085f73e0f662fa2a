import Datagrams
import Lanes

extension Doctor {
  /// A line for each port of each RDMA device, and one for the memory that may be locked for them.
  /// That there is none is told, and is not bad: datagrams go by UDP then.
  static var devices: [DoctorLine] {
    let subject = "RDMA devices"
    if let fault = RDMADevices.fault {
      return [DoctorLine(subject: subject, finding: "none: \(fault)")]
    }
    return RDMADevices.names().flatMap(lines(device:)) + lockedMemory
  }

  private static func lines(device name: String) -> [DoctorLine] {
    let subject = "RDMA device \(name)"
    do throws(SystemError) {
      return try RDMADevices.ports(of: name).map { port in
        line(subject, port)
      }
    } catch {
      let fault = RDMAFault(error)
      return [
        DoctorLine(
          subject: subject, finding: fault.reason, isGood: false, advice: fault.advice)
      ]
    }
  }

  static func line(_ subject: String, _ port: RDMAPortState) -> DoctorLine {
    let fault = port.fault
    return DoctorLine(
      subject: subject, finding: port.description, isGood: fault == nil, advice: fault?.advice)
  }

  private static var lockedMemory: [DoctorLine] {
    guard let limit = LockedMemory.limit, limit < LockedMemory.wantedByteCount else { return [] }
    return [
      DoctorLine(
        subject: "locked memory", finding: "at most \(limit >> 10) KiB", isGood: false,
        advice: LockedMemory.advice)
    ]
  }
}
