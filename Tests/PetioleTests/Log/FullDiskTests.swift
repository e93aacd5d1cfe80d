#if os(Linux)
    import Foundation
    import Testing

    @testable import Petiole

    private enum Bytes: RawJob {
        static func run(
            _ payload: RawSpan, result: inout ResultBytes, context: JobContext
        ) throws {}
    }

    /// A file system of 64 MiB in memory, for as long as a test.
    private struct SmallDisk {
        let path: String

        /// Nil where this user may not mount.
        init?(_ directory: TestDirectory) {
            path = directory.path + "/disk"
            guard mkdir(path, 0o700) == 0 else { return nil }
            guard mount("tmpfs", path, "tmpfs", 0, "size=64m,mode=700") == 0 else { return nil }
        }

        func unmount() { umount2(path, Int32(MNT_DETACH)) }

        static let isAllowed: Bool = {
            guard let directory = try? TestDirectory() else { return false }  // Nowhere to try.
            defer { directory.remove() }
            guard let disk = SmallDisk(directory) else { return false }
            disk.unmount()
            return true
        }()
    }

    @Suite(
        "LogWriter on a full disk", .timeLimit(.minutes(2)),
        .enabled(if: SmallDisk.isAllowed, "mounting a small file system takes root"))
    struct FullDiskTests {
        @Test(
            "a full disk refuses new jobs, records outcomes, and takes jobs again when there is room"
        )
        func full() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let disk = try #require(SmallDisk(directory))
            defer { disk.unmount() }
            var options = StoreOptions()
            options.durability = .scratch
            let store = try JobStore(at: disk.path + "/work.petiole", options: options)
            let small = try await store.numbers("echo", Array(0..<500))
            // Something else fills the disk.
            let filler = disk.path + "/filler"
            #expect(FileManager.default.createFile(atPath: filler, contents: nil))
            let file = try #require(FileHandle(forWritingAtPath: filler))
            let chunk = Data(repeating: 1, count: 64 << 10)
            while (try? file.write(contentsOf: chunk)) != nil {}  // Until it is full.
            try file.close()
            var refusal: EnqueueError?
            for _ in 0..<64 where refusal == nil {
                do throws(EnqueueError) {
                    try await store.enqueue(
                        Bytes.self, payload: [UInt8](repeating: 1, count: 1 << 20))
                } catch { refusal = error }
            }
            guard case .refused("Bytes", "default", .diskFull) = refusal else {
                Issue.record("\(String(describing: refusal)) is not a full disk")
                return store.close()
            }
            let echo = JobClosure("echo") { (number: Int, _) in number }
            try await makeRunner(store, [echo]).run {
                for (number, job) in small.enumerated() {
                    try await expectEqual(job.result, number)
                }
            }
            try FileManager.default.removeItem(atPath: filler)
            try await store.enqueue(Bytes.self, payload: [UInt8](repeating: 1, count: 1 << 20))
            expectSound(store)
            store.close()
        }
    }
#endif
