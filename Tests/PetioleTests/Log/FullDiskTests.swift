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

        /// Lets something else take all that is left.
        func fill() throws -> String {
            let filler = path + "/filler"
            #expect(FileManager.default.createFile(atPath: filler, contents: nil))
            let file = try #require(FileHandle(forWritingAtPath: filler))
            let chunk = Data(repeating: 1, count: 64 << 10)
            while (try? file.write(contentsOf: chunk)) != nil {}  // Until it is full.
            // What is left is less than that.
            while (try? file.write(contentsOf: chunk.prefix(4096))) != nil {}
            try file.close()
            return filler
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
        "LogWriter on a full disk", .timeLimit(.minutes(10)),
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
            let filler = try disk.fill()
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
            // Its room is free at once, whoever has it open.
            #expect(truncate(filler, 0) == 0)
            try await store.enqueue(Bytes.self, payload: [UInt8](repeating: 1, count: 1 << 20))
            expectSound(store)
            store.close()
        }

        /// Enqueues payloads of 60,000 bytes, 16 pages each, until one is refused.
        private func enqueueUntilFull(_ store: JobStore) async throws -> Int {
            let payload = [UInt8](repeating: 1, count: 60_000)
            for count in 0..<1_000 {
                do throws(EnqueueError) {
                    try await store.enqueue(Bytes.self, payload: payload)
                } catch {
                    guard case .refused("Bytes", "default", .diskFull) = error else { throw error }
                    return count
                }
            }
            Issue.record("a disk of 64 MiB took 60 MB and is not full")
            return 1_000
        }

        @Test(
            "on a disk that stays full, jobs are taken into what pruning has freed, and the reserve stands"
        )
        func freedInside() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let disk = try #require(SmallDisk(directory))
            defer { disk.unmount() }
            let clock = TestClock()
            var options = StoreOptions()
            options.durability = .scratch
            options.retention = .seconds(60)
            let store = try JobStore(
                at: disk.path + "/work.petiole", options: options, clock: clock.storeClock)
            let payload = [UInt8](repeating: 1, count: 60_000)
            // 24 MB of the 64 MiB are jobs, 24 MiB behind them the reserve and its step.
            for _ in 0..<400 { try await store.enqueue(Bytes.self, payload: payload) }
            _ = try disk.fill()
            let more = try await enqueueUntilFull(store)
            // The step ahead of the reserve is used up, the reserve is not.
            #expect(more < 200)
            let used = store.open.environment.usage.usedBytes
            try await makeRunner(store, jobs: [Bytes.self]).run {}
            // Lanes that shrank may have left room for some.
            let few = try await enqueueUntilFull(store)
            #expect(few < 50)
            clock.advance(.seconds(3_600))
            try await onThread("test-prune") { while Pruning.step(store.open).hasMore {} }
            let freed = try await enqueueUntilFull(store)
            // Not all of the 400 and some: what else a commit writes breaks runs of free pages in two.
            #expect(freed > 200)
            // The file has not grown into the reserve.
            #expect(store.open.environment.usage.usedBytes < used + (1 << 20))
            try await makeRunner(store, jobs: [Bytes.self]).run {}
            #expect(try store.counts().succeeded == 400 + more + few + freed)
            expectSound(store)
            store.close()
            // A fresh process knows nothing of what is allocated, and finds out: here, a store opened anew.
            let again = try JobStore(
                at: disk.path + "/work.petiole", options: options, clock: clock.storeClock)
            #expect(try await enqueueUntilFull(again) < 50)
            clock.advance(.seconds(3_600))
            try await onThread("test-prune") { while Pruning.step(again.open).hasMore {} }
            let last = try await enqueueUntilFull(again)
            #expect(last > 200)
            expectSound(again)
            again.close()
        }
    }
#endif
