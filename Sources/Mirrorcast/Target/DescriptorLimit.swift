import Glibc
import Storage

/// How many files and connections the process may have open, and what follows for a daemon.
enum DescriptorLimit {
  /// For portals, lanes, streams of mirrors, logs, and connections that are just being closed.
  static let others = 512

  /// Lets the process open `wanted` descriptors, or as many as it may; how many those are.
  static func raise(to wanted: Int) -> Int {
    var limit = rlimit()
    let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    // Safe: the call fills the structure that it is given.
    guard unsafe getrlimit(kind, &limit) == 0 else { return wanted }
    guard limit.rlim_cur < rlim_t(wanted) else { return Int(clamping: limit.rlim_cur) }
    var raised = limit
    raised.rlim_cur = min(limit.rlim_max, rlim_t(wanted))
    // Safe: the call reads the structure that it is given.
    let isRaised = unsafe setrlimit(kind, &raised) == 0
    return Int(clamping: isRaised ? raised.rlim_cur : limit.rlim_cur)
  }
}

extension TargetConfiguration {
  /// Files and devices that stay open: for each LUN that is not in memory itself and its journal.
  var diskDescriptors: Int {
    targets.reduce(0) { $0 + 2 * $1.logicalUnits.count { $0.path != nil } }
  }
}

extension TargetLimits {
  /// Descriptors for all connections that may be there, and for that many disks.
  func descriptorsWanted(disks: Int) -> Int {
    sessionsMax + loginsMax + disks + DescriptorLimit.others
  }

  /// The same, with as many connections as so many descriptors allow beside the disks; a quarter
  /// of them, at most, for those without a session.
  func fitting(descriptors: Int, disks: Int) -> TargetLimits {
    guard descriptors < descriptorsWanted(disks: disks) else { return self }
    var fitting = self
    let left = max(descriptors - disks, 0)
    let connections = max(left - min(DescriptorLimit.others, left / 2), 2)
    fitting.loginsMax = min(loginsMax, max(connections / 4, 1))
    fitting.sessionsMax = min(sessionsMax, max(connections - fitting.loginsMax, 1))
    return fitting
  }
}
