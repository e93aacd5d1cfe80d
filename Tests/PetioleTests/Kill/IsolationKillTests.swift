import Foundation
import Testing

@testable import Petiole

@Suite("Kills of runners with children", .timeLimit(.minutes(10))) struct IsolationKillTests {
    /// What jobs of the kind `work` have left in their log.
    private struct Log {
        let lines: [[Substring]]

        init(_ directory: TestDirectory) throws {
            let path = directory.path + "/log"
            let text =
                FileManager.default.fileExists(atPath: path)
                ? try String(contentsOfFile: path, encoding: .utf8) : ""
            lines = text.split(separator: "\n").map { $0.split(separator: " ") }
        }

        func ids(_ word: String) -> [UInt64] {
            lines.filter { $0[0] == word }.compactMap { UInt64($0[1]) }
        }
    }

    private func enqueueWork(_ count: Int, _ store: JobStore, _ directory: TestDirectory)
        async throws
    {
        for number in 1...count {
            try await store.enqueue(Isolated("work", number, path: directory.path))
        }
    }

    /// Starts a runner whose jobs hang, and gives the process of a job and of what that job has started.
    private func startHanging(
        _ directory: TestDirectory, environment: [String: String] = [:]
    ) async throws -> (runner: Child, child: pid_t, sleeper: pid_t) {
        let runner = try Child(
            ["isolated", directory.store, "1", "serve"],
            environment: environment.merging(["CRASH_CHILD_HANGS": "1"]) { $1 })
        while let line = try await runner.line() {
            let words = line.split(separator: " ")
            if words.count == 4, words[0] == "started", let child = pid_t(words[2]),
                let sleeper = pid_t(words[3])
            {
                return (runner, child, sleeper)
            }
        }
        throw Refusal()
    }

    private func checkWork(_ count: Int, _ directory: TestDirectory) throws {
        let log = try Log(directory)
        #expect(log.ids("overlap") == [])
        #expect(Set(log.ids("end")) == Set(1...UInt64(count)))
        let store = try directory.open()
        defer { store.close() }
        #expect(try Audit(store).problems == [])
        #expect(try store.counts().succeeded == 2 * count)
        #expect(try store.counts().accepted == 2 * count)
        let sum = try store.table("sums").value(for: "sum", as: Int.self)
        #expect(sum == count * (count + 1) / 2)
        // No crash was blamed on anybody. It was once, with all tests side by side, and not in 64 runs of these tests beside each
        // other; by what is not known yet, and what it failed with is said here.
        withKnownIssue("an attempt has failed", isIntermittent: true) {
            for id in 1...UInt64(count) {
                let history = try store.history(of: JobID(rawValue: id))
                #expect(history.isEmpty, "\(history.map { $0.failure })")
            }
        }
    }

    @Test(
        "when a runner is killed its children end by themselves, with what their jobs have started, and the job runs once more"
    )
    func killed() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        try await enqueueWork(1, store, directory)
        store.close()
        let (runner, child, sleeper) = try await startHanging(directory)
        #expect(lives(child) && lives(sleeper))
        runner.kill()
        // Nobody takes over: the end of the pipe is enough.
        try await awaitEnd(of: child)
        try await awaitEnd(of: sleeper)
        #expect(try await runner.end() == .signal(SIGKILL))
        let next = try Child(["isolated", directory.store, "1", "drain"])
        #expect(try await next.end() == .exit(0))
        #expect(try Log(directory).ids("start") == [1, 1])
        try checkWork(1, directory)
    }

    @Test(
        "what a job has started in a session of its own is ended by the next owner before the job runs again"
    )
    func session() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        try await enqueueWork(1, store, directory)
        store.close()
        let (runner, child, sleeper) = try await startHanging(
            directory, environment: ["CRASH_CHILD_SESSION": "1"])
        runner.kill()
        try await awaitEnd(of: child)
        #expect(lives(sleeper))
        let next = try Child(["isolated", directory.store, "1", "drain"])
        #expect(try await next.end() == .exit(0))
        #expect(!lives(sleeper))
        try await runner.end()
        try checkWork(1, directory)
    }

    @Test(
        "two attempts of an isolated job do not overlap, and effects happen once, however often its runner is killed",
        arguments: [UInt64(1), 2])
    func again(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        try await enqueueWork(12, store, directory)
        store.close()
        for _ in 0..<10 {
            let child = try Child(["isolated", directory.store, "2", "drain"])
            // Some 50 ms pass before the first job runs; a kill comes before, while children start, or while two jobs run.
            try await child.kill(after: .milliseconds(Int.random(in: 10...180, using: &random)))
            try await child.end()
        }
        #expect(try await Child(["isolated", directory.store, "2", "drain"]).end() == .exit(0))
        try checkWork(12, directory)
    }

    @Test(
        "a runner that starts leaves the children of one that lives alone, and idle ones end with theirs"
    )
    func neighbours() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        let owner = try Child(["isolated", directory.store, "1", "serve"])
        #expect(try await owner.line() == "serving")
        let pid = try await store.enqueue(Isolated("plain")).result
        let echo = JobClosure("echo", queue: "other") { (number: Int, _) in number }
        try await makeRunner(store, [echo]).run {
            try await #expect(store.enqueue(Isolated("plain")).result == pid)
        }
        #expect(lives(pid_t(pid)))
        owner.kill()
        try await awaitEnd(of: pid_t(pid))
        try await owner.end()
    }
}
