import PetioleStorage
import Testing

@testable import Petiole

@Suite("Pause of a job type", .timeLimit(.minutes(10))) struct PauseJobTypeTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    /// Notes its number; 0 waits at the gate.
    private func note(_ name: String = "note", queue: String = "default") -> JobClosure {
        JobClosure(name, queue: queue) { [ran, begun, gate] (number: Int, _) -> Int in
            ran.add(number)
            if number == 0 {
                begun.open()
                gate.block()
            }
            return number
        }
    }
    private var aside: JobClosure { JobClosure("aside") { (number: Int, _) in number } }

    @Test("what runs finishes, what was claimed does not start, and other names in the lane go on")
    func claimed() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, [note(), aside], workers: 1)
            try await runner.run {
                // Measured, so that they are handed out in one ticket.
                for job in try await store.numbers("note", Array(101...120)) {
                    _ = try await job.result
                }
                let jobs = try await store.numbers("note", [0, 1, 2, 3])
                await begun.wait()
                try await expectEqual(store.pause(jobType: "note"), true)
                try await expectEqual(store.pause(jobType: "note"), false)
                gate.open()
                try await expectEqual(jobs[0].result, 0)
                // Behind them in the same lane.
                let others = try await store.numbers("aside", [50, 51])
                try await expectEqual(others[1].result, 51)
                expectEqual(ran.items.filter { (1...10).contains($0) }, [])
                expectEqual(
                    try jobs[1...].map { try $0.state },
                    [.paused(name: "note"), .paused(name: "note"), .paused(name: "note")])
                expectEqual(try store.counts().parked, 3)
                expectEqual(
                    try store.pausedJobTypes().map { [$0.name, $0.queue] }, [["note", nil]])
                try await expectEqual(store.resume(jobType: "note"), true)
                try await expectEqual(store.resume(jobType: "note"), false)
                for (index, job) in jobs.enumerated() {
                    try await expectEqual(job.result, index)
                }
            }
            #expect(ran.items.filter { (1...10).contains($0) } == [1, 2, 3])
            #expect(try store.pausedJobTypes() == [])
        }
    }

    @Test("a pause holds over owners, in one queue or everywhere, and a drain does not wait for it")
    func overOwners() async throws {
        try await withStore { store in
            let other = EnqueueOptions(queue: "other")
            try await store.pause(jobType: "note", queue: "other")
            try await store.numbers("note", [1, 2])
            try await store.numbers("note", [3, 4], options: other)
            for _ in 0..<2 {
                try await makeRunner(store, [note()]) { $0.queues = ["other"] }.run {}
            }
            #expect(ran.items == [1, 2])
            try await store.pause(jobType: "note")
            // In one queue alone it does not go on while it is paused everywhere.
            try await expectEqual(store.resume(jobType: "note", queue: "other"), true)
            try await store.numbers("note", [5])
            try await makeRunner(store, [note()]) { $0.queues = ["other"] }.run {}
            #expect(ran.items == [1, 2])
            expectEqual(try store.counts(queue: "other").parked, 2)
            try await store.pause(jobType: "note", queue: "other")
            // Everywhere: in single queues too.
            try await store.resume(jobType: "note")
            expectEqual(try store.pausedJobTypes(), [])
            expectEqual(try store.counts().parked, 0)
            try await makeRunner(store, [note()]) { $0.queues = ["other"] }.run {}
            #expect(ran.items.sorted() == [1, 2, 3, 4, 5])
        }
    }

    @Test("a job that is put aside while its type goes on is put back, and runs")
    func resumedMeanwhile() async throws {
        try await withStore { store in
            let job = try await store.numbers("note", [1])[0]
            let runner = try makeRunner(store, [aside])
            try await runner.run {
                let queue = try #require(runner.core.claims.ownedQueues.first)
                let name = try #require(try number(of: "note", store))
                // A worker has seen the pause, and its word comes behind the end of it.
                let late = OutcomeSubmission(queue, OutcomeBlockBuilder())
                late.transitions = [
                    Transition(id: job.id.rawValue, priority: 4, step: .pause(name: name))
                ]
                store.open.writer.submit(late)
                try await store.open.perform { (_, _) throws(StorageError) in }
                // Its own row, in which the runner finds a name that it does not know.
                while try job.state != .parked(name: "note") { try await turn() }
            }
            try await makeRunner(store, [note()]).run {}
            #expect(ran.items == [1])
        }
    }

    private func number(of name: String, _ store: JobStore) throws -> UInt32? {
        let open = store.open
        return try open.read { (reader) throws(StorageError) in
            try withBytes(RecordKey.bytes("n" + name)) { (key) throws(StorageError) in
                try reader.value(open.tables.names, key)?.littleEndian(at: 0)
            }
        }
    }

    @Test(
        "what somebody who died over it has not moved back is moved by the owner, and by the next")
    func leftOvers() async throws {
        try await withStore { store in
            let jobs = try await store.numbers("note", [1, 2, 3])
            try await store.pause(jobType: "note")
            try await makeRunner(store, [note()]).run {}
            expectEqual(try store.counts().parked, 3)
            let key = PausedTypes.key(queue: 0, name: try #require(try number(of: "note", store)))
            let tables = store.open.tables
            @Sendable func goOn(_ moved: Bool) async throws {
                try await store.open.perform { (transaction, state) throws(StorageError) in
                    try transaction.delete(tables.meta, key)
                    state.controlMoved = moved
                }
            }
            // The next owner finds them.
            try await goOn(false)
            expectEqual(try jobs[0].state, .paused(name: "note"))
            try await makeRunner(store, [note()]).run {}
            #expect(ran.items == [1, 2, 3])
            // And an owner who is there, when control moves.
            let runner = try makeRunner(store, [note()])
            try await store.pause(jobType: "note")
            try await runner.run {
                let more = try await store.numbers("note", [4, 5])
                while try store.counts().parked < 2 { try await turn() }
                try await goOn(true)
                try await expectEqual(more[1].result, 5)
            }
            #expect(ran.items == [1, 2, 3, 4, 5])
        }
    }

    @Test("a job that is put aside is cancelled, edited, expired and requeued like any other")
    func lives() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let soon = EnqueueOptions(expiry: .after(.seconds(60)))
            let jobs = try await store.numbers("note", [1, 2, 3])
            let expiring = try await store.numbers("note", [4], options: soon)[0]
            try await store.pause(jobType: "note")
            try await makeRunner(store, [note()]).run {}
            expectEqual(try store.counts().parked, 4)
            try await expectEqual(store.cancel(jobs[0].id), .cancelled)
            try await expectEqual(store.edit(jobs[2].id, priority: 0), .edited)
            clock.advance(.seconds(61))
            try await makeRunner(store, [note()]).run {
                _ = await #expect(throws: JobError.expired(expiring.id)) {
                    try await expiring.result
                }
            }
            expectEqual(try store.counts().parked, 2)
            expectSound(store)
            var paused = JobFilter()
            paused.states = [.paused]
            expectEqual(try store.jobs(paused).map { $0.id }, [jobs[1].id, jobs[2].id])
            try await store.requeue(jobs[0].id)
            try await store.resume(jobType: "note")
            try await makeRunner(store, [note()]).run {}
            #expect(ran.items == [3, 1, 2])
        }
    }

    @Test("20,000 jobs of a paused type let what lies behind them run, and run themselves later")
    func many() async throws {
        struct Bulk: Job {
            static let jobName = "bulk"
            var number: Int
            func run(_ context: JobContext) -> Int { number }
        }
        try await withStore { store in
            let count = 20_000
            try await store.enqueue(contentsOf: (0..<count).map { Bulk(number: $0) })
            let behind = try await store.numbers("aside", [7])[0]
            try await store.pause(jobType: "bulk")
            let runner = try makeRunner(store, [aside], jobs: [Bulk.self], workers: 2)
            try await runner.run {
                try await expectEqual(behind.result, 7)
                // The other worker may have the last of them in its hands.
                while try store.counts().parked < count {
                    try Task.checkCancellation()
                    try await turn()
                }
                try await store.resume(jobType: "bulk")
            }
            #expect(try store.counts().succeeded == count + 1)
        }
    }

    @Test("paused and let go on again and again while jobs run, every job runs once")
    func manyTimes() async throws {
        try await withStore { store in
            let count = 3_000
            let runner = try makeRunner(store, [note()], workers: 3)
            try await runner.run {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await store.numbers("note", Array(1...count)) }
                    for queue in [nil, "default"] {
                        group.addTask {
                            for _ in 0..<40 {
                                try await store.pause(jobType: "note", queue: queue)
                                try await store.resume(jobType: "note", queue: queue)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try await store.resume(jobType: "note")
            }
            #expect(ran.items.sorted() == Array(1...count))
        }
    }

    @Test("a job type of a wrong name is refused, with what is allowed")
    func names() async throws {
        try await withStore { store in
            for (name, queue) in [("a b", nil), ("a", "b c")] as [(String, String?)] {
                let error = await #expect(throws: StoreError.self) {
                    try await store.pause(jobType: name, queue: queue)
                }
                guard case .invalidOption? = error else {
                    Issue.record("\(error!) is another error")
                    continue
                }
            }
        }
    }
}
