// swift-tools-version: 6.2
import PackageDescription

/// The name by which the compiler knows the package above: its folder's, made an identifier. A
/// target that carries it sees what is `package` there.
let petiole = String(
    Context.packageDirectory.split(separator: "/").dropLast().last!.lowercased()
        .map { $0.isLetter || $0.isNumber ? $0 : "_" })

// A package of its own, so that what measures Petiole burdens nobody who uses it.
let package = Package(
    name: "petiole-benchmarks",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "petiole-bench", targets: ["Report"])
    ],
    dependencies: [
        .package(name: "petiole", path: ".."),
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.0", traits: []),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    ],
    targets: [
        .systemLibrary(
            name: "CLMDBYardstick", pkgConfig: "lmdb",
            providers: [.apt(["liblmdb-dev"]), .brew(["lmdb"])]),
        .target(
            name: "CYardsticks", dependencies: ["CLMDBYardstick"],
            cSettings: [.define("_GNU_SOURCE")]),
        // Ring and pool by themselves: what they measure has no public API.
        .target(
            name: "DispatchLoops",
            dependencies: [.product(name: "Petiole", package: "petiole")],
            packageAccess: false,
            swiftSettings: [.unsafeFlags(["-package-name", petiole])]),
        .executableTarget(
            name: "Report",
            dependencies: [
                "DispatchLoops",
                "CYardsticks",
                .product(name: "Petiole", package: "petiole"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(
            name: "Micro",
            dependencies: [
                "DispatchLoops",
                "CYardsticks",
                .product(name: "Petiole", package: "petiole"),
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/Micro",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    ],
    swiftLanguageModes: [.v6]
)
