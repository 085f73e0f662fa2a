import Foundation
import Testing

@testable import Mirrorcast

@Suite struct `A configuration file` {
  /// A target, for files that are about something else.
  static let rest = """
    portals: [127.0.0.1:0]
    targets: [{name: iqn.2026-01.test:a, luns: {0: "memory:1M"}}]
    """

  private func complaints(_ text: String) -> [String] {
    do throws(ConfigurationError) {
      _ = try ConfigurationFile(parsing: text, path: "f")
      return []
    } catch {
      return error.complaints.map(\.description)
    }
  }

  /// The complaints, each as far as `wanted` says it.
  private func expect(
    _ text: String, _ wanted: [String], _ location: SourceLocation = #_sourceLocation
  ) {
    let found = complaints(text)
    #expect(found.count == wanted.count, "\(found)", sourceLocation: location)
    for (complaint, start) in zip(found, wanted) {
      #expect(complaint.hasPrefix(start), "\(complaint)", sourceLocation: location)
      #expect(complaint.hasSuffix(".") || complaint.hasSuffix("?") || complaint.contains(". "))
    }
  }

  private static func whole(_ secrets: String) -> String {
    """
    ---
    # All of it.
    portals:
    - 10.0.0.1:3260
    - "[fd00::1]:3260"  # in quotes
    - '[fe80::1%eth0]'
    interface: eth1
    state: /var/lib/mirrorcast
    secrets: \(secrets)
    secure: required
    logLevel: debug
    lanes:
      places: [
        any,
        node:0
      ]
      spinMicroseconds: 50
      offload: [no-gso, no-hugepages]
    faults: {drop: 0.05, reorder: 0.01, seed: 7}
    limits:
      sessionsMax: 100
      transferBytesMax: 64M
    targets:
      - name: iqn.2026-01.test:store
        luns:
          0: file:/srv/disk0.img,size=20G
          7: "memory:512M,removable"
        allow:
          initiators:
            - iqn.2026-01.test:one
            - iqn.2026-01.test:two
          addresses: [10.0.0.0/24, fd00::/64]
      - {name: eui.0123456789abcdef, luns: {0: "device:/dev/sdb"}, secrets: \(secrets)}
    """
  }

  @Test func `says all that options can say`() throws {
    let secrets = try secretsFile("initiator iqn.2026-01.test:one twelve-bytes-12\n")
    defer { unlink(secrets) }
    let file = try ConfigurationFile(
      parsing: Self.whole(secrets), path: "f")
    let configuration = file.configuration
    #expect(
      configuration.portals.map(\.description) == [
        "10.0.0.1:3260", "[fd00::1]:3260", "[fe80::1%eth0]:3260",
      ])
    #expect(configuration.interface == "eth1")
    #expect(configuration.stateFolder == "/var/lib/mirrorcast")
    #expect(configuration.secrets != nil && configuration.requiresSecurity)
    #expect(file.logLevel == .debug)
    #expect(configuration.lanes.placements == ["any", "node:0"])
    #expect(configuration.lanes.spinMicroseconds == 50)
    #expect(!configuration.lanes.segmentation && !configuration.lanes.hugePages)
    #expect(configuration.lanes.coalescing)
    #expect(configuration.faults == Faults(drop: 0.05, duplicate: 0, reorder: 0.01, seed: 7))
    #expect(configuration.limits.sessionsMax == 100)
    #expect(configuration.limits.transferBytesMax == 64 << 20)
    let store = configuration.targets[0]
    #expect(
      store.logicalUnits.map(\.description) == [
        "file:/srv/disk0.img,size=21474836480", "memory:536870912,removable",
      ])
    #expect(store.logicalUnits.map(\.number.value) == [0, 7])
    #expect(store.access.initiators == ["iqn.2026-01.test:one", "iqn.2026-01.test:two"])
    #expect(store.access.addresses?.map(\.description) == ["10.0.0.0/24", "fd00::/64"])
    #expect(configuration.targets[1].secrets != nil && store.secrets == nil)
  }

  @Test func `tells all that is wrong at once, each by its place`() {
    expect(
      """
      portal: [127.0.0.1:0]
      targets:
        - nmae: iqn.2026-01.test:a
          luns:
            0: memory:1M
            300: memory:1M
            1: memory:100
            x: memory:1M
            2: [memory, 1M]
        - name: store one
          luns: []
          allow: {initiators: iqn.2026-01.test:a, adresses: []}
        - plain
      limits: {sessionsMax: many, loginMilliseconds: 1}
      logLevel: loud
      interfaces:
      """,
      [
        "f:1:1: the file has no key 'portal'. Did you mean 'portals'?",
        "f:1:1: the key 'portals' is missing. Add portals:",
        "f:3:5: a target has no key 'nmae'. Did you mean 'name'?",
        "f:3:5: a target lacks its name.",
        "f:6:7: '300' is no LUN. Give a number from 0 to 255.",
        "f:7:10: LUN 1: size 100 is 100 bytes",
        "f:8:7: 'x' is no LUN.",
        "f:9:10: LUN 2 is a list, not a text.",
        "f:10:11: 'store one' is no iSCSI name. Write it as",
        "f:11:11: luns is a list, not a table of numbers.",
        "f:12:25: initiators is 'iqn.2026-01.test:a', not a list.",
        "f:12:45: allow has no key 'adresses'. Did you mean 'addresses'?",
        "f:13:5: a target is 'plain', not a table of keys.",
        "f:14:23: sessionsMax is 'many'. Write a number, from 1 to 32768.",
        "f:14:48: loginMilliseconds is '1'. Write a number of milliseconds",
        "f:15:11: logLevel is 'loud'. Write one of trace, debug",
        "f:16:1: the file has no key 'interfaces'. Did you mean 'interface'?",
      ])
  }

  @Test func `tells what is there twice`() {
    expect(
      """
      portals: [127.0.0.1:1, 0.0.0.0:2, "[::]:2", 127.0.0.1:1, 10.0.0.1:2]
      targets:
        - name: iqn.2026-01.test:a
          luns:
            0: file:/srv/a
            0: memory:1M
            00: memory:1M
          name: iqn.2026-01.test:b
        - name: iqn.2026-01.test:a
          luns: {1: "memory:1M", 2: "file:/srv/a", 1: "memory:2M"}
      interface: lo
      portals: []
      'interface': lo
      """,
      [
        "f:1:45: portal 127.0.0.1:1 is covered by 127.0.0.1:1 on line 1.",
        "f:1:58: portal 10.0.0.1:2 is covered by 0.0.0.0:2 on line 1.",
        "f:6:7: the key '0' is there twice. Keep one of them: the other is on line 5.",
        "f:7:7: LUN 0 is there twice.",
        "f:8:5: the key 'name' is there twice. Keep one of them: the other is on line 3.",
        "f:9:11: target iqn.2026-01.test:a is there twice.",
        "f:10:31: /srv/a is served on line 5 already. Serve it once.",
        "f:10:46: the key '1' is there twice. Keep one of them: the other is on line 10.",
        "f:12:1: the key 'portals' is there twice.",
        "f:13:1: the key 'interface' is there twice.",
      ])
  }

  @Test(arguments: [
    ("portals: 127.0.0.1:0", "f:1:10: portals is '127.0.0.1:0', not a list."),
    ("portals: [[::1]:3260]", "f:1:"),
    ("portals: [127.0.0.1:99999]", "f:1:11: '99999' in '127.0.0.1:99999' is no port."),
    ("portals: [10.0.0.300]", "f:1:11: '10.0.0.300'"),
    ("portals: []", "f:1:10: no portal is there."),
    ("portals: [{host: a}]", "f:1:11: a portal is a table of keys, not a text."),
    ("portals:", "f:1:9: portals is nothing, not a list."),
    ("faults: {drop: 2}", "f:1:16: drop is '2'."),
    ("faults: {drop: 0.6, reorder: 0.6}", "f:1:9: faults of 0.6, 0.0 and 0.6 are no prob"),
    ("faults: {seed: x}", "f:1:16: seed is 'x'."),
    ("lanes: {places: [core:x]}", "f:1:17: 'core:x' is no place for a lane."),
    ("lanes: {spinMicroseconds: fast}", "f:1:8: a lane can't spin"),
    ("lanes: {offload: [gso]}", "f:1:19: lanes can't go without 'gso'."),
    ("limits: {transferBytesMax: 3X}", "f:1:28: transferBytesMax is '3X'. Write a number of b"),
    ("limits: {sesionsMax: 3}", "f:1:10: limits has no key 'sesionsMax'. Did you mean 'ses"),
    ("limits: 3", "f:1:9: limits is '3', not a table of keys."),
    ("secrets: /var/no/such/file", "f:1:10: can't read '/var/no/such/file': No such file"),
    ("secure: yes", "f:1:9: secure is 'yes'. Write required or optional."),
    ("interface: [a]", "f:1:12: interface is a list, not a text."),
    ("zzz: 1", "f:1:1: the file has no key 'zzz'. It has portals, targets,"),
    ("state: ''", "f:1:8: state is '', not a text."),
  ])
  func `complains of a value by its place`(line: String, wanted: String) {
    let others = Self.rest.split(separator: "\n").map(String.init).filter {
      !$0.hasPrefix(line.prefix { $0 != ":" })
    }
    expect(([line] + others).joined(separator: "\n"), [wanted])
  }

  @Test(arguments: [
    ("allow: {addresses: [10.0.0.1/24]}", "f:4:25: '10.0.0.1/24' has bits behind its prefix"),
    ("allow: {addresses: []}", "f:4:24: an empty list admits nobody."),
    ("allow: {initiators: [me]}", "f:4:26: 'me' is no iSCSI name."),
    ("allow: all", "f:4:12: allow is 'all', not a table of keys."),
    ("secrets: /tmp", "f:4:14: '/tmp' is no file."),
    ("luns: {0: 'file:a,size=1M,huge'}", "f:4:15: LUN 0: unknown option 'huge' of file:"),
    ("luns: {0: 'disk:a'}", "f:4:15: LUN 0: 'disk:' is unknown"),
    ("luns: {0: a}", "f:4:15: LUN 0: 'a' names no disk"),
  ])
  func `complains of a target's value`(line: String, wanted: String) {
    let luns = line.hasPrefix("luns") ? "" : "\n    luns: {0: 'memory:1M'}"
    expect(
      "portals: [127.0.0.1:0]\ntargets:\n  - name: iqn.2026-01.test:a\n    \(line)\(luns)", [wanted]
    )
  }

  @Test(arguments: [
    ("", "f:1:1: the file is nothing"), ("# nothing\n", "f:1:1: the file is nothing"),
    ("- a", "f:1:1: the file is a list"), ("a: b: c", "f:1:5: no YAML: mapping values"),
    ("a: [b", "f:2:1: no YAML: "), ("a: {b: c\n  d: e}", "f:1:8: an item in brackets that goes on"),
    ("a: 'b\n  c'", "f:1:4: a quote that does not end on its line"),
    ("a:\tb", "f:1:3: a tab. Use blanks."), ("a: b\u{0}", "f:1:5: a character that is no text"),
    ("a: \u{7f}", "f:1:4: a character"), ("a: \u{2028}b", "f:1:4: a character"),
    ("a: &b c", "f:1:4: an anchor"), ("a: *b", "f:1:4: an anchor or alias"),
    ("a: [b, *c]", "f:1:8: an anchor"), ("? a\n: b", "f:1:1: a key by '?'"),
    ("a: !!binary b", "f:1:4: a tag"), ("a: |\n  b", "f:1:4: a block text"),
    ("%YAML 1.2\n---\na: b", "f:1:1: a directive"), ("a: b\n---\nc: d", "f:2:1: a second document"),
    ("a: [b,\n 'c, *d']", "f:1:1:"), ("[a]: b", "f:1:1: a key that is no text"),
    ("a: x\n y: *z", "f:2:5: an anchor or alias"), ("<<: {a: b}", "f:1:1: "),
    ("a: " + String(repeating: "[", count: 9), "f:1:12: more than 8 brackets"),
    (String(repeating: "- ", count: 40) + "a", "f:1:81: more than 64 columns in"),
    ("a: @b", "f:1:4: no YAML: "), ("a: b\n c: d", "f:2:3: no YAML: mapping values"),
  ])
  func `is refused where it is hostile, or no YAML`(text: String, wanted: String) {
    let found = complaints(text)
    #expect(found.first?.hasPrefix(wanted) == true, "\(found)")
  }

  @Test(arguments: [
    // What only looks like an alias.
    "state: '/srv/ *a'", "state: \"a \\\" *b\"", "state: a*b &c", "# *a &b\nstate: c # *d",
    "state: it's *here", "state: a#b", "state: [c] # x".replacingOccurrences(of: "[c]", with: "c"),
    "limits: {\n  sessionsMax: 5\n  ,\n}", "state: 'it''s'", "state: a:b", "state: ::1",
    "\u{feff}state: a", "state: a\r", "state: a # d\u{e9}j\u{e0}",
  ])
  func `is read where it only looks odd`(text: String) {
    #expect(complaints(text + "\n" + Self.rest) == [])
  }

  /// Words of YAML put together at random: a text is read or refused, whatever it is.
  @Test func `ends in words whatever it says`() {
    let words = [
      "a", "b: ", ": ", "- ", "[", "]", "{", "}", ",", "'", "\"", "#", " # ", "\n", "\n  ",
      "\n    ",
      "&x ", "*x", "!", "|", "?", "? ", "%", "---", "...", "\t", "\\", "portals", "targets: ",
      "luns: ", "0: ", "name: ", "é", "~", "<<: ",
    ]
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<4000 {
      let count = Int.random(in: 1...24, using: &generator)
      let text = (0..<count).map { _ in words.randomElement(using: &generator) ?? "" }.joined()
      #expect(!complaints(text).isEmpty, "\(text.debugDescription)")
    }
  }

  @Test func `is bounded`() throws {
    let path = "/tmp/mirrorcast-test-\(UUID().uuidString)"
    defer { unlink(path) }
    func expect(_ bytes: [UInt8], _ words: String) throws {
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let error = #expect(throws: ConfigurationError.self) { try ConfigurationFile(path: path) }
      #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
    try expect(
      [UInt8](repeating: 0x23, count: ConfigurationFile.byteCountMax + 1), "longer than 262144")
    try expect(
      Array("a: b\nc: ".utf8) + [0xff, 0x0a], "\(path):2:1: this line is no text in UTF-8")
    #expect(throws: ConfigurationError.self) { try ConfigurationFile(path: "/tmp") }
    #expect(throws: ConfigurationError.self) { try ConfigurationFile(path: "/var/no/such") }
    mkfifo(path + "-pipe", 0o600)
    defer { unlink(path + "-pipe") }
    #expect(throws: ConfigurationError.self) { try ConfigurationFile(path: path + "-pipe") }
    // Nothing takes long for being wrong often.
    let many = (0..<10_000).map { "key\($0): 1" }.joined(separator: "\n")
    #expect(complaints(many).count == ConfigurationError.complaintsMax)
  }

  private func secretsFile(_ text: String) throws -> String {
    let path = "/tmp/mirrorcast-test-\(UUID().uuidString)"
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    chmod(path, 0o600)
    return path
  }
}
