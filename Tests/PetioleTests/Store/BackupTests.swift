import Foundation
import PetioleStorage
import Testing

@testable import Petiole

@Suite("Backup and compaction", .timeLimit(.minutes(10))) struct BackupTests {
    private static let echo = JobClosure("echo") { (number: Int, _) in number }

    private struct Long: Job {
        var number: Int
        var filler = [UInt8](repeating: 1, count: 2_000)
        func run(_ context: JobContext) -> Int { number }
    }

    private func copy(of directory: TestDirectory, _ name: String = "copy") -> String {
        directory.path + "/" + name
    }

    private func open(_ path: String) throws -> JobStore {
        var options = StoreOptions()
        options.createsStore = false
        return try JobStore(at: path, options: options)
    }

    @Test(
        "a copy is a store of its own with the jobs of one instant, while others go on",
        arguments: [true, false])
    func copies(compacting: Bool) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        let ended = try await store.numbers("echo", Array(1...50))
        try await makeRunner(store, [Self.echo]).run {}
        try await store.numbers("echo", Array(51...60))
        let path = copy(of: directory)
        let more = Task { try await store.numbers("echo", Array(61...300)) }
        let report = try await store.backup(to: path, compacting: compacting)
        _ = try await more.value
        let jobs = try #require(report.jobs)
        #expect((60...300).contains(jobs))
        let backup = try open(path)
        defer { backup.close() }
        expectSound(backup)
        #expect(try backup.counts().accepted == jobs)
        #expect(backup.open.format.storeID != store.open.format.storeID)
        // Both go on, each by itself.
        try await makeRunner(backup, [Self.echo]).run {}
        expectEqual(try backup.counts().succeeded, jobs)
        expectEqual(try store.counts().succeeded, 50)
        let handle = backup.handle(of: ended[49].id, output: Int.self)
        try await expectEqual(handle.result, 50)
        let next = try await backup.numbers("echo", [7])[0]
        #expect(next.id.rawValue == UInt64(jobs) + 1)
        expectEqual(
            try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted(),
            ["copy", "work.petiole"])
    }

    @Test("what commands wrote is in the copy, and no file is deleted while a backup copies them")
    func outputs() async throws {
        let clock = TestClock(isFrozen: true)
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open(clock: clock)
        defer { store.close() }
        let command = try Command("head", "-c", "3000000", "/dev/zero")
        let ids = try await store.enqueue(
            commands: [JobStore.CommandRequest(command: command)], options: EnqueueOptions())
        let id = JobID(rawValue: ids[0].lowerBound)
        try await JobRunner(
            commandsOf: "default", in: store, retryPolicy: .never, options: JobRunner.Options()
        ).run {}
        let path = copy(of: directory)
        let report = try await store.backup(to: path)
        #expect(report.outputs == 1 && report.outputBytes == 3_000_000)
        let backup = try open(path)
        let end = try #require(try backup.commandOutcome(of: id)?.end)
        guard case .spilled(let name, 3_000_000) = end.output else {
            Issue.record("the output is not in a file")
            return
        }
        #expect(FileManager.default.fileExists(atPath: backup.spillPath(name)))
        backup.close()
        // A backup is under way: what is pruned leaves its file for the next sweep.
        let lock = StoreFormat.backupLock
        try #expect(store.open.locks.tryLock(lock) == .taken)
        clock.advance(.seconds(60))
        try await expectEqual(store.prune(olderThan: .seconds(1)), 1)
        #expect(FileManager.default.fileExists(atPath: store.spillPath(name)))
        let second = await #expect(throws: StoreError.self) {
            try await store.backup(to: copy(of: directory, "second"))
        }
        #expect("\(second!)".contains("another backup"))
        store.open.locks.unlock(lock)
        SpilledOutputs.sweep(store.open)
        #expect(!FileManager.default.fileExists(atPath: store.spillPath(name)))
    }

    @Test("where something is already, or no directory, nothing is copied and nothing left behind")
    func refused() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        for path in [directory.path, store.path, directory.path + "/no/where"] {
            let error = await #expect(throws: StoreError.self) {
                try await store.backup(to: path)
            }
            guard case .copyFailed? = error else {
                Issue.record("\(error!) is another error")
                continue
            }
        }
        expectEqual(
            try FileManager.default.contentsOfDirectory(atPath: directory.path), ["work.petiole"])
    }

    @Test("a compacted store has the same jobs in a shorter file, and goes on")
    func compact() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        var store = try directory.open()
        try await store.enqueue(contentsOf: (0..<10_000).map { Long(number: $0) })
        let last = try await store.numbers("echo", [1])[0]
        var long = JobFilter()
        long.name = Long.jobName
        try await expectEqual(store.purge(long).deleted, 10_000)
        store.close()
        let report = try await JobStore.compact(at: directory.store)
        #expect(report.bytesBefore > 20_000_000 && report.bytesAfter < 1_000_000)
        #expect(try StoreCheck.run(directory: directory.store).verdict == .whole)
        store = try directory.open()
        expectSound(store)
        let next = try await store.numbers("echo", [2])[0]
        #expect(next.id.rawValue == last.id.rawValue + 1)
        try await makeRunner(store, [Self.echo]).run {}
        let handle = store.handle(of: last.id, output: Int.self)
        try await expectEqual(handle.result, 1)
        store.close()
        // Once more, with nothing to gain.
        let again = try await JobStore.compact(at: directory.store)
        #expect(again.bytesAfter <= again.bytesBefore + 65_536)
    }

    @Test(
        "a store that somebody has open is not compacted, and he is named; one who opens it then waits"
    )
    func inUse() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        try await store.numbers("echo", [1])
        await #expect(throws: StoreError.inUse(path: store.path, pids: [Int(getpid())])) {
            try await JobStore.compact(at: directory.store)
        }
        store.close()
        let child = try Child(["serve", directory.store, directory.path + "/effects", "1"])
        try await expectEqual(child.line(), "serving")
        await #expect(throws: StoreError.inUse(path: store.path, pids: [Int(child.pid)])) {
            try await JobStore.compact(at: directory.store)
        }
        child.kill()
        try await child.end()
        try await JobStore.compact(at: directory.store)
        // The gate is closed: this process is told, another one waits.
        let locks = try ByteLocks.shared(path: directory.store + "/locks")
        try #expect(locks.tryLock(StoreFormat.gateLock) == .taken)
        let waiting = try Child(["produce", directory.store, "1", "1"])
        #expect(throws: StoreError.inUse(path: directory.store, pids: [Int(getpid())])) {
            try directory.open()
        }
        locks.unlock(StoreFormat.gateLock)
        try await expectEqual(waiting.acceptedIDs(), [2...2])
        await #expect(throws: StoreError.noStore(path: directory.path + "/none")) {
            try await JobStore.compact(at: directory.path + "/none")
        }
    }

    // MARK: Kills

    @Test(
        "a backup that dies at any step leaves nothing of its name, or a whole store",
        arguments: ["backupCopied:1", "backupFilled:1", "backupRenamed:1"])
    func killedBackup(point: String) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        try await store.numbers("echo", Array(1...20))
        let path = copy(of: directory)
        let child = try Child(["backup", directory.store, path], crashAt: point)
        try await expectEqual(child.end(), .exit(9))
        if point == "backupRenamed:1" {
            #expect(try StoreCheck.run(directory: path).verdict == .whole)
            let backup = try open(path)
            expectSound(backup)
            backup.close()
        } else {
            #expect(!FileManager.default.fileExists(atPath: path))
            try await store.backup(to: path)
        }
        store.close()
    }

    @Test(
        "a compaction that dies at any step leaves the old file or the new one, whole",
        arguments: ["compactCopied:1", "compactRenamed:1"])
    func killedCompaction(point: String) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        var store = try directory.open()
        try await store.enqueue(contentsOf: (0..<2_000).map { Long(number: $0) })
        try await store.purge(JobFilter())
        let job = try await store.numbers("echo", [5])[0]
        store.close()
        let child = try Child(["compact", directory.store], crashAt: point)
        try await expectEqual(child.end(), .exit(9))
        #expect(try StoreCheck.run(directory: directory.store).verdict == .whole)
        store = try directory.open()
        expectSound(store)
        try await makeRunner(store, [Self.echo]).run {}
        let handle = store.handle(of: job.id, output: Int.self)
        try await expectEqual(handle.result, 5)
        store.close()
        try await JobStore.compact(at: directory.store)
        #expect(!FileManager.default.fileExists(atPath: directory.store + "/data.mdb.compact"))
    }
}
