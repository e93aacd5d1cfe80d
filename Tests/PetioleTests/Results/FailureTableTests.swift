import PetioleStorage
import Testing

@testable import Petiole

@Suite("Failures by kind", .timeLimit(.minutes(10))) struct FailureTableTests {
    private struct Broken: Error, CustomStringConvertible { var description: String }
    private static let text = String(repeating: "the pipe is broken; ", count: 100)

    /// Fails with the same text, or one with its number in it.
    private func closure(_ policy: RetryPolicy = .never) -> JobClosure {
        JobClosure("fail", retryPolicy: policy) { (number: Int, _) -> Int in
            if number < 0 { throw JobControl.discard("not wanted") }
            throw Broken(
                description: number % 2 == 0 ? Self.text : "number \(number) of \(Self.text)")
        }
    }

    private func sizes(_ store: JobStore, _ jobs: [JobHandle<Int>]) throws -> [Int] {
        let tables = store.open.tables
        return try jobs.map { job in
            try store.open.read { (reader) throws(StorageError) in
                guard let block = try Lookup.outcomes(job.id.rawValue, reader, tables) else {
                    return -1
                }
                return try formatted { () throws(FormatError) in
                    try block.entry(job.id.rawValue).result.count
                }
            }
        }
    }

    @Test("however many jobs fail the same way, the text is stored once, and each gives it back")
    func once() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("fail", Array(1...60))
            let discarded = try await store.numbers("fail", [-1])[0]
            try await makeRunner(store, [closure()]).run {}
            let kinds = try store.failureKinds()
            #expect(kinds.map { $0.count } == [30, 30, 1])
            #expect(Set(kinds.prefix(2).map { $0.failure.message.contains("number") }).count == 2)
            #expect(kinds[2].failure.message == "not wanted")
            #expect(kinds.allSatisfy { $0.firstAt <= $0.lastAt })
            for (index, job) in jobs.enumerated() {
                let failure = try store.outcome(of: job.id)?.failure
                let number = index + 1
                #expect(
                    failure?.message
                        == (number % 2 == 0 ? Self.text : "number \(number) of \(Self.text)"))
                let error = await #expect(throws: JobError.self) { try await job.result }
                guard case .failed(_, _, let told, _)? = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
                #expect(told == failure)
            }
            // Those with the same text refer to it; of the others the first does.
            let sizes = try sizes(store, jobs)
            #expect(sizes.count { $0 == 8 } == 31 && sizes.count { $0 > 2_000 } == 29)
            #expect(try store.outcome(of: discarded.id)?.failure?.type == "JobControl")
            var filter = JobFilter()
            filter.fingerprint = kinds[0].fingerprint
            var found = 0
            try store.forEachJob(filter) { _ in
                found += 1
                return true
            }
            #expect(found == 30)
            #expect(try store.details(of: jobs[1].id).result == [])
        }
    }

    @Test(
        "counts go down as outcomes go, by a requeue and by pruning, and the text goes with the last"
    )
    func forgotten() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let jobs = try await store.numbers("fail", [2, 4, 6, 8])
            try await makeRunner(store, [closure()]).run {}
            #expect(try store.failureKinds().map { $0.count } == [4])
            try await store.requeue(jobs[1].id)
            #expect(try store.failureKinds().map { $0.count } == [3])
            expectSound(store)
            // What it came to before is in its history.
            let mended = JobClosure("fail") { (number: Int, _) in number }
            try await makeRunner(store, [mended]).run {}
            #expect(try store.history(of: jobs[1].id).map { $0.failure.message } == [Self.text])
            clock.advance(.seconds(100))
            let late = try await store.numbers("fail", [10])[0]
            try await makeRunner(store, [closure()]).run {}
            #expect(try store.failureKinds().map { $0.count } == [4])
            try await store.prune(olderThan: .seconds(60))
            #expect(try store.failureKinds().map { $0.count } == [1])
            #expect(try store.outcome(of: late.id)?.failure?.message == Self.text)
            clock.advance(.seconds(100))
            try await store.prune(olderThan: .seconds(60))
            #expect(try store.failureKinds() == [])
        }
    }

    @Test(
        "dead letters outlive their block with their failure, and the crash of a runner counts too")
    func deadLetters() async throws {
        let clock = TestClock()
        try await withStore(clock: clock) { store in
            let policy = RetryPolicy(maxAttempts: 3, backoff: .constant(.milliseconds(1)))
            let jobs = try await store.numbers("fail", [2, 4])
            try await store.numbers("echo", [1])
            let echo = JobClosure("echo") { (number: Int, _) in number }
            try await makeRunner(store, [closure(policy), echo]).run {}
            #expect(try store.failureKinds().map { $0.count } == [2])
            clock.advance(.seconds(100))
            try await store.prune(olderThan: .seconds(60))
            #expect(try store.failureKinds().map { $0.count } == [2])
            #expect(try store.outcome(of: jobs[0].id)?.failure?.message == Self.text)
            expectSound(store)
            try await store.requeue(jobs[0].id)
            #expect(try store.failureKinds().map { $0.count } == [1])
            #expect(try store.details(of: jobs[0].id).failedAttempts.count == 3)
            expectSound(store)
            try await makeRunner(store, [closure(policy)]).run {}
            #expect(try store.failureKinds().map { $0.count } == [2])
        }
    }

    @Test("commands that ended badly are counted by how, and keep what they wrote")
    func commands() async throws {
        try await withStore { store in
            for line in ["exit 3", "exit 4", "kill -9 $$", "true"] {
                _ = try await store.enqueue(
                    commands: [JobStore.CommandRequest(command: try Command("sh", "-c", line))],
                    options: EnqueueOptions(maxAttempts: 1))
            }
            try await JobRunner(
                commandsOf: "default", in: store, retryPolicy: .standard,
                options: JobRunner.Options()
            ).run {}
            #expect(try store.failureKinds().map { $0.count } == [2, 1])
            #expect(try store.commandOutcome(of: JobID(rawValue: 1))?.end != nil)
            try await store.requeue(JobID(rawValue: 1))
            #expect(try store.failureKinds().map { $0.count } == [1, 1])
        }
    }

    @Test("attempts that failed with the same text hold it once, and come back as they were")
    func history() throws {
        var bytes: [UInt8] = []
        var expected: [AttemptHistory.Item] = []
        for attempt in 1...40 {
            let item = AttemptHistory.Item(
                attempt: attempt, startedAt: Int64(attempt), runMicroseconds: 1,
                failure: FailureRecord(type: "E", message: attempt < 30 ? Self.text : "\(attempt)"))
            bytes = AttemptHistory.appending(item, to: bytes)
            expected.append(item)
            let items = try AttemptHistory.read(bytes)
            #expect(items == Array(expected.suffix(16)))
            if attempt < 30 { #expect(bytes.count < Self.text.utf8.count + 16 * 24) }
        }
        // It cannot begin with "as before".
        #expect(throws: FormatError.self) {
            try AttemptHistory.read([UInt8](repeating: 0xFF, count: 20))
        }
    }

    @Test("of outcomes that are written anew each keeps its start, whichever began first")
    func starts() async throws {
        try await withStore { store in
            let starts = try await store.open.perform { (transaction, state) throws(StorageError) in
                var all = OutcomeBlockBuilder()
                for (id, startedAt) in [(1, 100), (2, 300), (3, 200)] as [(UInt64, Int64)] {
                    let outcome = OutcomeEntry(
                        state: .succeeded, codec: 0, attempt: 1, startedAt: startedAt,
                        runMicroseconds: 0)
                    all.append(id, outcome, result: UnsafeRawBufferPointer(start: nil, count: 0))
                }
                // The second begins the new block, and the third began before it.
                let some = all.part(from: 2, to: 4)
                let anew = try FailureTable.counted(some, &transaction, state)
                var bytes = [UInt8](repeating: 0, count: anew.size)
                bytes.withUnsafeMutableBytes { anew.write(to: $0.baseAddress!, queue: 1) }
                return try withBytes(bytes) { (bytes) throws(StorageError) in
                    try formatted { () throws(FormatError) -> [Int64] in
                        let view = try OutcomeBlockView(first: 2, value: bytes)
                        return [try view.entry(2).startedAt, try view.entry(3).startedAt]
                    }
                }
            }
            #expect(starts == [300, 200])
        }
    }
}
