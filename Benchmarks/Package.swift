// swift-tools-version: 6.2
// A package of its own, so that whoever uses Mirrorcast doesn't resolve its dependencies.
//
// The rooms have `package` access, which ends at a package's edge. So this package does not depend
// on Mirrorcast: it holds the rooms below SwiftNIO as targets of its own, through the links Sources
// and CShims. The price is this list of them, in step with the one in ../Package.swift; the gain is
// that nothing is public for a benchmark's sake, and that SwiftNIO isn't built.
import PackageDescription

let room: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
  name: "mirrorcast-benchmarks",
  dependencies: [
    // Without its default traits: its counts of allocations can't be trusted, so none is asked.
    .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.0", traits: [])
  ],
  targets: [
    .target(name: "CDatagram", path: "CShims/CDatagram", cSettings: [.define("_GNU_SOURCE")]),
    .target(name: "CDigest", path: "CShims/CDigest"),
    .target(name: "Bytes", swiftSettings: room),
    .target(name: "SCSI", dependencies: ["Bytes"], swiftSettings: room),
    .target(name: "ISCSI", dependencies: ["Bytes", "CDigest"], swiftSettings: room),
    .target(
      name: "Replication", dependencies: ["ISCSI", "SCSI", "Bytes", "CDigest"],
      swiftSettings: room),
    .target(name: "Lanes", dependencies: ["Bytes", "CDatagram"], swiftSettings: room),
    .executableTarget(
      name: "Micro",
      dependencies: [
        "Replication", "ISCSI", "SCSI", "Bytes", "Lanes", "CDigest",
        .product(name: "Benchmark", package: "benchmark"),
      ],
      path: "Micro", swiftSettings: [.swiftLanguageMode(.v6)],
      plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
  ]
)
