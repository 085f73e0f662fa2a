import Testing

@testable import Mirrorcast

@Suite struct `Addresses of people` {
  @Test func `a URL has a host, a port, a target and a LUN`() throws {
    let url = try LogicalUnitURL(parsing: "iscsi://10.0.0.1:3261/iqn.2025-01.org.example:a/7")
    #expect(url.host == "10.0.0.1")
    #expect(url.port == 3261)
    #expect(url.targetName == "iqn.2025-01.org.example:a")
    #expect(url.lun == 7)
    #expect(url.description == "iscsi://10.0.0.1:3261/iqn.2025-01.org.example:a/7")
  }

  @Test(arguments: [
    ("iscsi://h/iqn.x:a/0", "h", 3260), ("iscsi://[::1]/iqn.x:a/0", "::1", 3260),
    ("iscsi://[fe80::1%eth0]:1/iqn.x:a/0", "fe80::1%eth0", 1),
    ("iscsi://disk-1.example.org:65535/eui.02004567A425678D/16383", "disk-1.example.org", 65535),
  ])
  func `a URL is read and written`(text: String, host: String, port: Int) throws {
    let url = try LogicalUnitURL(parsing: text)
    #expect(url.host == host)
    #expect(url.port == port)
    #expect(try LogicalUnitURL(parsing: url.description) == url)
  }

  @Test(arguments: [
    ("http://h/iqn.x:a/0", "no iSCSI URL"), ("iscsi://h/iqn.x:a", "lacks the LUN"),
    ("iscsi://h/iqn.x:a/", "lacks the LUN"), ("iscsi://h", "names no target"),
    ("iscsi://h/", "names no target"), ("iscsi:///iqn.x:a/0", "names no host"),
    ("iscsi://h:0/iqn.x:a/0", "is no port"), ("iscsi://h:65536/iqn.x:a/0", "is no port"),
    ("iscsi://h:+1/iqn.x:a/0", "is no port"), ("iscsi://h:/iqn.x:a/0", "is no port"),
    ("iscsi://h/iqn.x:a/16384", "is no LUN"), ("iscsi://h/iqn.x:a/-1", "is no LUN"),
    ("iscsi://h/iqn.x:a/0/1", "is no LUN"), ("iscsi://h/iqn.x:a/0x1", "is no LUN"),
    ("iscsi://h/iqn.x:a/99999999999999999999", "is no LUN"), ("iscsi://h/disk/0", "iSCSI name"),
    ("iscsi://::1/iqn.x:a/0", "more than one colon"), ("iscsi://[::1/iqn.x:a/0", "without its ]"),
    ("iscsi://[h]/iqn.x:a/0", "no IPv6 address"), ("iscsi://[::1]3/iqn.x:a/0", "no IPv6 address"),
    ("iscsi://10.0.0.300/iqn.x:a/0", "neither"), ("iscsi://a b/iqn.x:a/0", "neither"),
    ("iscsi://-o/iqn.x:a/0", "neither"), ("iscsi://u%p@h/iqn.x:a/0", "password"),
  ])
  func `a wrong URL is refused with words`(text: String, words: String) {
    let error = #expect(throws: MirrorcastError.self) { try LogicalUnitURL(parsing: text) }
    #expect(error?.what.contains(words) == true, "\(error?.what ?? "")")
    #expect(error?.advice?.isEmpty == false)
  }

  @Test(arguments: [
    ("239.1.2.3", "239.1.2.3", 5000), ("239.1.2.3:6000", "239.1.2.3", 6000),
    ("[ff15::1]:5001", "ff15::1", 5001), ("[FF15:0::1]", "ff15::1", 5000),
  ])
  func `a group is read and written`(text: String, address: String, port: Int) throws {
    let group = try GroupAddress(parsing: text)
    #expect(group.address == address)
    #expect(group.port == port)
    #expect(try GroupAddress(parsing: group.description) == group)
  }

  @Test(arguments: [
    ("128.12.15.3", "128.12.15.3 is not a multicast address"),
    ("[fd00::1]:5000", "fd00::1 is not a multicast address"), ("ff15::1", "more than one colon"),
    ("239.1.2", "no numeric address"), ("group.example.org", "no numeric address"),
    ("239.1.2.3:", "no port"), ("239.1.2.3:70000", "no port"), ("239.1.2.3:0", "port 0"),
    ("[ff12::1%eth0]:5000", "scope"), ("", "no numeric address"),
  ])
  func `a wrong group is refused with words`(text: String, words: String) {
    let error = #expect(throws: MirrorcastError.self) { try GroupAddress(parsing: text) }
    #expect(error?.what.contains(words) == true, "\(error?.what ?? "")")
    #expect(error?.advice?.isEmpty == false)
  }

  @Test func `a portal may leave the port to the daemon`() throws {
    #expect(try PortalAddress(parsing: "[::1]:0").port == 0)
    #expect(try PortalAddress(parsing: "localhost").description == "localhost:3260")
    #expect(throws: MirrorcastError.self) { try PortalAddress(parsing: "localhost:x") }
    #expect(throws: MirrorcastError.self) { try PortalAddress(parsing: ":3260") }
  }

  @Test func `the doctor finds the loopback interface and changes its mind about nothing`() {
    let lines = Doctor.report()
    #expect(lines.contains { $0.subject == "interface lo" && $0.finding.contains("127.0.0.1") })
    #expect(lines.allSatisfy { $0.isGood == ($0.advice == nil) })
    // What was measured is another each time.
    let lasting = lines.filter { $0.bytesPerSecond == nil }
    #expect(Doctor.report().filter { $0.bytesPerSecond == nil } == lasting)
  }

  @Test func `the doctor measures what sealing costs, and has advice for want of hardware`() {
    let measured = Doctor.sealing
    #expect(measured.map(\.subject) == ["AES-128-GCM", "AES-256-GCM"])
    for line in measured {
      #expect(line.bytesPerSecond.map { $0 > 1e6 && $0 < 1e12 } == true, "\(line)")
      #expect(line.finding.contains("MB/s on one core"))
    }
    let poor = Doctor.line("AES-128-GCM", isInHardware: false, bytesPerSecond: 95_400_000)
    #expect(poor.finding == "not in hardware, seals 95 MB/s on one core" && !poor.isGood)
    #expect(poor.advice?.contains("-cpu host") == true)
    let good = Doctor.line("AES-128-GCM", isInHardware: true, bytesPerSecond: 5e9)
    #expect(good.isGood && good.advice == nil)
  }

  @Test func `both rooms know the same recovery modes`() {
    for mode in RecoveryMode.allCases { #expect(mode.machine.rawValue == mode.rawValue) }
  }
}
