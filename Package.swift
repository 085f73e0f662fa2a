// swift-tools-version: 6.2
// The rooms of the house, from the ground up: a target imports only rooms of lower rows.
// Scripts/tidy checks the arrows; the reasons stand in Sources/Mirrorcast/Mirrorcast.docc.
import PackageDescription

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .treatAllWarnings(as: .error),
]

let relaxed: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
]

func nio(_ product: String) -> Target.Dependency {
  .product(name: product, package: "swift-nio")
}

let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let lifecycle = Target.Dependency.product(
  name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals = Target.Dependency.product(
  name: "UnixSignals", package: "swift-service-lifecycle")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let arguments = Target.Dependency.product(
  name: "ArgumentParser", package: "swift-argument-parser")

let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
  name: "mirrorcast",
  products: [
    .library(name: "Mirrorcast", targets: ["Mirrorcast"]),
    .executable(name: "mirrorcast", targets: ["mirrorcast"]),
  ],
  traits: [
    .trait(name: "NUMA", description: "Pin lanes and place slabs by NUMA node (libnuma)."),
    .trait(name: "RDMA", description: "Datagrams by RDMA, too (libibverbs)."),
    .trait(
      name: "InfiniBand",
      description: "Find RDMA ports, groups and paths by librdmacm, which InfiniBand wants.",
      enabledTraits: ["RDMA"]),
    .default(enabledTraits: ["NUMA", "RDMA"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // Row 0: what Swift can't see.
    .target(
      name: "CDatagram", path: "CShims/CDatagram",
      cSettings: [.define("_GNU_SOURCE")]),
    .target(
      name: "CStorage", path: "CShims/CStorage", cSettings: [.define("_GNU_SOURCE")]),
    .target(name: "CDigest", path: "CShims/CDigest"),
    .target(name: "CSeal", dependencies: [crypto], path: "CShims/CSeal"),
    .systemLibrary(
      name: "CNUMA", path: "CShims/CNUMA", pkgConfig: "numa",
      providers: [.apt(["libnuma-dev"])]),
    .systemLibrary(
      name: "CVerbs", path: "CShims/CVerbs", pkgConfig: "libibverbs",
      providers: [.apt(["libibverbs-dev"])]),
    .systemLibrary(
      name: "CRDMACM", path: "CShims/CRDMACM", pkgConfig: "librdmacm",
      providers: [.apt(["librdmacm-dev"])]),

    // Row 1.
    .target(name: "Bytes", swiftSettings: strict),

    // Row 2.
    .target(name: "SCSI", dependencies: ["Bytes"], swiftSettings: strict),
    .target(name: "ISCSI", dependencies: ["Bytes", "CDigest"], swiftSettings: strict),

    // Row 3.
    .target(
      name: "Replication", dependencies: ["ISCSI", "SCSI", "Bytes", "CDigest"],
      swiftSettings: strict),

    // Row 4.
    .target(
      name: "Lanes",
      dependencies: [
        "Bytes", "CDatagram", .target(name: "CNUMA", condition: .when(traits: ["NUMA"])),
      ],
      swiftSettings: strict),

    // Row 5.
    .target(
      name: "Datagrams",
      dependencies: [
        "Bytes", "Lanes", "CDatagram", "CDigest",
        .target(name: "CVerbs", condition: .when(traits: ["RDMA"])),
        .target(name: "CRDMACM", condition: .when(traits: ["InfiniBand"])),
      ],
      swiftSettings: strict),
    .target(
      name: "Storage", dependencies: ["SCSI", "CDigest", "CStorage"], swiftSettings: strict),
    .target(name: "Sealing", dependencies: ["CSeal"], swiftSettings: strict),

    // Row 6.
    .target(
      name: "Mirrorcast",
      dependencies: [
        "Bytes", "SCSI", "ISCSI", "Replication", "Lanes", "Datagrams", "Storage", "Sealing",
        nio("NIOCore"), nio("NIOPosix"), nio("NIOConcurrencyHelpers"), log, lifecycle,
        crypto, yams,
      ],
      swiftSettings: strict),

    // Row 7.
    .executableTarget(
      name: "mirrorcast",
      dependencies: ["Mirrorcast", arguments, log, lifecycle, signals],
      path: "Sources/CommandLineTool", swiftSettings: strict),

    // Tests mirror sources.
    .testTarget(name: "BytesTests", dependencies: ["Bytes"], swiftSettings: relaxed),
    .testTarget(name: "SCSITests", dependencies: ["SCSI", "Bytes"], swiftSettings: relaxed),
    .testTarget(name: "ISCSITests", dependencies: ["ISCSI", "Bytes"], swiftSettings: relaxed),
    .testTarget(
      name: "ReplicationTests", dependencies: ["Replication", "ISCSI", "SCSI", "Bytes"],
      swiftSettings: relaxed),
    // A network, disks and crashes in one process, from one seed: a library, so that it can be run
    // as a program, too, which Scripts/simulate does.
    .target(
      name: "Simulator", dependencies: ["Replication", "ISCSI", "SCSI", "Bytes"],
      path: "Tests/Simulation/Simulator", swiftSettings: relaxed),
    .executableTarget(
      name: "simulate", dependencies: ["Simulator"], path: "Tests/Simulation/Command",
      swiftSettings: relaxed),
    .testTarget(
      name: "SimulationTests", dependencies: ["Simulator"], path: "Tests/Simulation/Tests",
      swiftSettings: relaxed),
    .testTarget(
      name: "LanesTests", dependencies: ["Lanes", "Bytes"], swiftSettings: relaxed),
    .testTarget(
      name: "DatagramsTests", dependencies: ["Datagrams", "Lanes", "Bytes", "CDigest"],
      swiftSettings: relaxed),
    .testTarget(
      name: "SealingTests", dependencies: ["Sealing"], swiftSettings: relaxed),
    .testTarget(
      name: "StorageTests", dependencies: ["Storage", "SCSI", "Bytes"], swiftSettings: relaxed),
    .testTarget(
      name: "CommandLineToolTests", dependencies: ["mirrorcast", "Mirrorcast"],
      swiftSettings: relaxed),
    .testTarget(
      name: "MirrorcastTests",
      dependencies: [
        "Mirrorcast", "Replication", "ISCSI", "SCSI", "Storage", "Datagrams", "Lanes", "Bytes", log,
        nio("NIOCore"), nio("NIOEmbedded"),
      ],
      swiftSettings: relaxed),
  ]
)
