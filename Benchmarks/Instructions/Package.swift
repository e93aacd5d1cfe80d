// swift-tools-version: 6.2
import PackageDescription

/// What valgrind cannot stand is replaced when the program is linked, by what `CUnderValgrind` has.
let replaced = ["petiole_steady_time", "petiole_wait_for", "mdb_env_set_mapsize"]

// A package of its own: it is built by every run of CI, and needs nothing that the other benchmarks
// are built with. For Linux: only its linkers know `--wrap`.
let package = Package(
    name: "petiole-instructions",
    dependencies: [
        .package(name: "petiole", path: "../..")
    ],
    targets: [
        .target(name: "CUnderValgrind"),
        .executableTarget(
            name: "CountedJobs",
            dependencies: [
                "CUnderValgrind",
                .product(name: "Petiole", package: "petiole"),
            ],
            linkerSettings: [
                // Valgrind 3.19 gives up when it reads the debug information of Swift 6.3.
                .unsafeFlags(["-Xlinker", "--strip-debug"]),
                .unsafeFlags(replaced.flatMap { ["-Xlinker", "--wrap=\($0)"] }),
            ]),
    ],
    swiftLanguageModes: [.v6]
)
