#if os(Linux)
    import Foundation

    /// `Tests/DiskShim/disk.c`, built for one test: what stands between its children and the disk.
    struct DiskShim {
        private let library: String
        let log: String

        init(_ directory: TestDirectory) throws {
            library = directory.path + "/disk.so"
            log = directory.path + "/disk.log"
            let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .appendingPathComponent("../../DiskShim/disk.c").standardized.path
            let compiler = try SpawnedProcess(
                ["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"],
                environment: ProcessInfo.processInfo.environment, output: -1)
            guard compiler.waitForEnd() == .exit(0) else { throw NotBuilt() }
        }

        /// For a child whose calls are noted.
        var recording: [String: String] {
            ["LD_PRELOAD": library, "PETIOLE_DISK_LOG": log]
        }

        /// For a child one of whose calls fails with EIO.
        func failing(_ fault: String) -> [String: String] {
            ["LD_PRELOAD": library, "PETIOLE_DISK_FAIL": fault]
        }

        private struct NotBuilt: Error, CustomStringConvertible {
            var description: String { "Tests/DiskShim/disk.c could not be built: is there a `cc`?" }
        }
    }
#endif
