import Testing

@testable import mirrorcast

/// Commands written wrongly end with 64 and words, before any network.
struct ArgumentsTests {
  static let leg = "iscsi://127.0.0.1/iqn.2026-01.org.example:a/0"
  static let mirror = ["mirror", "disk.img", "--to", leg, "--group", "239.1.2.3"]
  static let bench = ["bench", "--to", leg, "--group", "239.1.2.3", "--size", "1M"]
  static let kept = ["--to", leg, "--group", "239.1.2.3"]
  static let target = [
    "target", "--portal", "127.0.0.1:0", "--iqn", "iqn.2026-01.org.example:a", "--lun",
    "0=memory:1M",
  ]

  @Test(arguments: [
    mirror + ["--verify", "--json", "--depth", "4", "--write-size", "64K", "--vlun", "7"],
    mirror + ["--drop", "0.05", "--seed", "3", "--status", "none", "--recovery", "group"],
    bench + ["--pattern", "random", "--write-size", "4K"],
    bench + ["--attribute", "ordered"], bench + ["--attribute", "head-of-queue"],
    bench + ["--lane", "core:0", "--lane", "any", "--lane", "any", "--spin", "50"],
    mirror + ["--rate", "64K"], bench + ["--rate", "1T"], bench + ["--rate", "125000000"],
    mirror + ["--offload", "no-gso", "--offload", "no-gro", "--offload", "no-hugepages"],
    mirror + ["--transport", "rdma"], bench + ["--transport", "rdma,tcp"],
    mirror + ["--transport", "udp"], mirror + ["--transport", "rdma,udp"],
    target + ["--lane", "node:0", "--offload", "fail-gso"],
    target + ["--portal", "[::1]:0", "--portal", "127.0.0.2:0", "--allow", "iqn.2026-01.org:b"],
    ["target", "--config", "target.yaml"], ["check", "target.yaml", "--json"],
    ["target", "--config", "target.yaml", "--log-level", "debug"],
    ["verify", "--to", leg, "--to", leg + "1"],
    ["ls", "127.0.0.1:3260"],
    mirror + ["--name", "disk", "--require", "all", "--assume-equal"],
    bench + ["--name", "disk", "--require", "2", "--silence", "0.5", "--patience", "0"],
    mirror + ["--name", "disk", "--require", leg + "," + leg + "1"],
    ["add", leg + "2", "--name", "disk"] + kept,
    ["resync", "--name", "disk", "--wait", "0"] + kept,
    ["resolve", "--keep", leg, "--yes", "--name", "disk"] + kept,
    ["status", leg, leg + "1", "--json"], ["release", leg],
    ["detach", leg], ["detach", leg, "--through", leg + "1", "--json"],
    ["attach", leg, "--no-wait", "--quiet"], ["forget", leg, "--through", leg + "1"],
    [
      "exercise", "--name", "disk", "--seconds", "5", "--size", "64M", "--state", "f", "--fua",
      "0.1",
    ] + kept,
  ])
  func `right ones are taken`(arguments: [String]) throws {
    _ = try MirrorcastCommand.parseAsRoot(arguments)
  }

  @Test(arguments: [
    ["mirror", "disk.img", "--group", "239.1.2.3"],
    ["mirror", "--to", leg, "--group", "239.1.2.3"],
    ["mirror", "disk.img", "--to", leg],
    ["mirror", "disk.img", "--to", "http://x", "--group", "239.1.2.3"],
    ["mirror", "disk.img", "--to", leg, "--group", "128.12.15.3"],
    mirror + ["--require", "all"], mirror + ["--assume-equal"], mirror + ["--name", ""],
    mirror + ["--name", "disk", "--require", "0"], mirror + ["--name", "disk", "--require", "x"],
    mirror + ["--name", "disk", "--silence", "0"], ["add", leg + "2"] + kept, ["status"],
    ["add", leg, "--name", "disk"] + kept, ["resync"] + kept, ["release"],
    ["detach"], ["attach"], ["forget", leg, leg + "1"], ["detach", "x"],
    ["forget", leg, "--no-wait"],
    ["resolve", "--keep", leg + "1", "--name", "disk"] + kept, ["exercise"] + kept,
    ["exercise", "--name", "disk", "--size", "1K"] + kept,
    ["exercise", "--name", "disk", "--fua", "2"] + kept,
    mirror + ["--to", leg], mirror + ["--drop", "1"], mirror + ["--drop", "-0.1"],
    mirror + ["--reorder", "nan"], mirror + ["--seed", "1"], mirror + ["--recovery", "magic"],
    mirror + ["--vlun", "16384"], mirror + ["--deadline", "0"], mirror + ["--depth", "0"],
    mirror + ["--write-size", "1000"], mirror + ["--depth", "1024"],
    mirror + ["--interface", "no-such-one"], mirror + ["--transport", "token-ring"],
    bench + ["--write-size", "2M"], bench + ["--verify"], bench + ["--attribute", "aca"],
    mirror + ["--rate", "0"], mirror + ["--rate", "1000"], mirror + ["--rate", "1e30"],
    mirror + ["--rate", "-1"], mirror + ["--rate", "inf"], mirror + ["--rate", "2T"],
    bench + ["--rate", "9223372036854775807"], bench + ["--rate", "18446744073709551616"],
    ["verify", "--to", leg], ["verify", "--to", leg, "--to", leg],
    ["target", "--portal", "127.0.0.1:0", "--iqn", "iqn.2026-01.org.example:a"],
    ["target", "--portal", "127.0.0.1:0", "--iqn", "iqn.2026-01.org.example:a", "--lun", "zero"],
    mirror + ["--lane", "core:-1"], mirror + ["--lane", "core"], target + ["--lane", "core:x"],
    bench + ["--lane", "any:0"], target + ["--lane", ""], target + ["--spin", "-1"],
    target + ["--lane", "core:0", "--lane", "core:0"], target + ["--spin", "1000001"],
    bench + (0..<17).flatMap { _ in ["--lane", "any"] },
    target + ["--offload", "gso"], mirror + ["--offload", "no-gso", "--offload", "fail-gso"],
    ["target", "--iqn", "iqn.2026-01.org.example:a", "--lun", "0=memory:1M"],
    ["target", "--portal", "127.0.0.1:0", "--lun", "0=memory:1M"], ["target"], ["check"],
    target + ["--config", "target.yaml"], ["target", "--config", "f", "--portal", "127.0.0.1"],
    ["target", "--config", "f", "--interface", "lo"], ["target", "--config", "f", "--spin", "1"],
    ["target", "--config", "f", "--drop", "0.1"], ["target", "--config", "f", "--allow", "a"],
    target + ["--portal", "127.0.0.1:1", "--portal", "0.0.0.0:1"],
    ["frobnicate"],
  ])
  func `wrong ones are usage errors`(arguments: [String]) {
    let error = #expect(throws: (any Error).self) {
      try MirrorcastCommand.parseAsRoot(arguments)
    }
    guard let error else { return }
    #expect(MirrorcastCommand.exitCode(for: error).rawValue == 64)
    #expect(!MirrorcastCommand.message(for: error).isEmpty)
  }
}
