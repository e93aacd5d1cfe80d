// swift-tools-version: 6.2
import PackageDescription

/// What every target of ours is built with: a warning is an error.
let common: [SwiftSetting] = [
    .treatAllWarnings(as: .error)
]
/// The cores touch memory that the compiler cannot check; each such expression says `unsafe`.
let core: [SwiftSetting] = common + [.strictMemorySafety()]

let package = Package(
    name: "petiole",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Petiole", targets: ["Petiole"]),
        .library(name: "PetioleTesting", targets: ["PetioleTesting"]),
        .executable(name: "petiole", targets: ["PetioleCLI"]),
    ],
    traits: [
        .trait(
            name: "Encryption",
            description: "Payloads and results encrypted on the disk; needs swift-crypto.")
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        // Fetched and built with the trait alone.
        .package(url: "https://github.com/apple/swift-crypto", "3.12.0"..<"5.0.0"),
    ],
    targets: [
        .systemLibrary(
            name: "CLMDB", pkgConfig: "lmdb",
            providers: [.apt(["liblmdb-dev"]), .brew(["lmdb"])]),
        .target(name: "CPetiole", cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "PetioleStorage", dependencies: ["CLMDB", "CPetiole"], swiftSettings: core),
        .target(name: "PetioleDispatch", dependencies: ["CPetiole"], swiftSettings: core),
        .target(
            name: "Petiole",
            dependencies: [
                "CPetiole", "PetioleStorage", "PetioleDispatch",
                .product(name: "Logging", package: "swift-log"),
                .product(
                    name: "Crypto", package: "swift-crypto",
                    condition: .when(traits: ["Encryption"])),
            ],
            swiftSettings: common),
        .target(
            name: "PetioleTesting", dependencies: ["Petiole", "PetioleStorage"],
            swiftSettings: common),
        .executableTarget(
            name: "PetioleCLI",
            dependencies: [
                "CPetiole", "Petiole",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: common),

        .testTarget(
            name: "PetioleStorageTests", dependencies: ["CLMDB", "PetioleStorage"],
            swiftSettings: common),
        .testTarget(
            name: "PetioleDispatchTests", dependencies: ["PetioleDispatch"], swiftSettings: common),
        .testTarget(
            name: "PetioleTests",
            dependencies: [
                "Petiole", "PetioleTesting", "CPetiole", "CrashChild", "MinuteSearch",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: common),
        .testTarget(
            name: "PetioleTestingTests", dependencies: ["Petiole", "PetioleTesting"],
            swiftSettings: common),
        .testTarget(
            name: "PetioleCLITests", dependencies: ["PetioleCLI", "CPetiole", "TerminalShim"],
            swiftSettings: common),
        // Mechanical facts about the tree itself.
        .testTarget(name: "HabitsTests", swiftSettings: common),
        // What planned times are compared with.
        .target(name: "MinuteSearch", path: "Tests/MinuteSearch"),
        // Terminals in which programs are started.
        .target(
            name: "TerminalShim", path: "Tests/TerminalShim",
            cSettings: [.define("_GNU_SOURCE")]),
        // Programs that the tests start and kill.
        .executableTarget(
            name: "CrashChild", dependencies: ["Petiole"], path: "Tests/CrashChild",
            swiftSettings: common),
    ],
    swiftLanguageModes: [.v6]
)
