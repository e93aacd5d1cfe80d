import Petiole
import PetioleTesting
import Testing

@Suite("TestRunner", .timeLimit(.minutes(10))) struct StepTests {
    @Test("each step runs one job, in the order of acceptance, and none runs without")
    func oneByOne() async throws {
        let notes = Notes()
        try await withTestStore(closures: [notes.job]) { store, runner in
            for number in 1...5 { try await store.enqueue(name: "note", payload: number) }
            #expect(notes.all == [])
            for number in 1...5 {
                let job = try await runner.step()
                #expect(job?.id == JobID(rawValue: UInt64(number)))
                #expect(notes.all == Array(1...number))
                guard case .ended(let outcome)? = job?.state else {
                    Issue.record("job \(number) has not ended")
                    continue
                }
                #expect(outcome.kind == .succeeded && outcome.attempt == 1)
            }
            #expect(try await runner.step() == nil)
            #expect(try store.counts().succeeded == 5)
        }
    }

    @Test(
        "a job that is measured as fast is still one step, and a higher priority goes before the next"
    )
    func priorities() async throws {
        let notes = Notes()
        try await withTestStore(closures: [notes.job]) { store, runner in
            for number in 1...50 { try await store.enqueue(name: "note", payload: number) }
            for _ in 1...20 { try await runner.step() }
            try await store.enqueue(
                name: "note", payload: 0, options: EnqueueOptions(priority: 0))
            try await runner.step()
            #expect(notes.all == Array(1...20) + [0])
            let drained = try await runner.drain()
            #expect(drained.steps.count == 30 && drained.isAll)
            #expect(notes.all == Array(1...20) + [0] + Array(21...50))
        }
    }

    @Test("jobs that wait for jobs end within their step, on threads and as tasks")
    func nested() async throws {
        try await withTestStore(jobs: [Sum.self, AsyncSum.self]) { store, runner in
            for _ in 0..<20 {
                let sum = try await store.enqueue(Sum(depth: 3))
                let after = try await store.enqueue(Sum(depth: 0))
                #expect(try await runner.step()?.id == sum.id)
                #expect(try await sum.result == 15)
                // It lay before those that the first one has waited for.
                #expect(try after.state.isEnded)
                let tasks = try await store.enqueue(AsyncSum(depth: 3))
                #expect(try await runner.step()?.id == tasks.id)
                #expect(try await tasks.result == 15)
                #expect(try await runner.drain().steps == [])
            }
        }
    }

    @Test(
        "while those that a job waits for run, no other begins than those before them in their lane"
    )
    func nothingElse() async throws {
        let notes = Notes()
        let waits = JobClosure("waits", queue: "other") { (_: Int, context: JobContext) -> Int in
            let job: JobHandle<Int> = try context.store.enqueueBlocking(
                name: "note", payload: 7, output: Int.self)
            let value = try context.result(of: job)
            notes.add(100)
            return value
        }
        try await withTestStore(closures: [notes.job, waits]) { store, runner in
            for _ in 0..<50 {
                let before = notes.all.count
                try await store.enqueue(
                    name: "waits", payload: 0, options: EnqueueOptions(queue: "other", priority: 0))
                try await runner.step()
                #expect(Array(notes.all[before...]) == [7, 100])
                for number in 1...3 { try await store.enqueue(name: "note", payload: number) }
                try await runner.drain()
                #expect(Array(notes.all[before...]) == [7, 100, 1, 2, 3])
            }
        }
    }

    @Test("a failure is tried again when the clock says so, and drains say what is left")
    func retries() async throws {
        try await withTestStore(jobs: [Resize.self]) { store, runner in
            let job = try await store.enqueue(Resize(path: "cover.txt"))
            let first = try await runner.step()
            guard case .waiting(let due, attempts: 1)? = first?.state else {
                Issue.record("\(String(describing: first)) does not wait")
                return
            }
            let drained = try await runner.drain()
            #expect(drained.steps == [] && drained.left.map(\.id) == [job.id])
            #expect(drained.description.contains("0 attempts were made; left:\njob 1 \"images"))
            #expect(drained.description.contains("due in 0."))
            let wait = Duration.microseconds(due.microseconds - runner.clock.now.microseconds)
            runner.clock.advance(wait - .microseconds(1))
            #expect(try await runner.step() == nil)
            runner.clock.advance(.microseconds(1))
            #expect(try await runner.step()?.id == job.id)
            let rest = try await runner.drain(advancing: true)
            #expect(rest.steps.count == 2 && rest.isAll)
            #expect(rest.description == "2 attempts were made, and every job has ended")
            let failures = try store.failures()
            #expect(failures.map(\.id) == [job.id])
            #expect(failures[0].outcome.kind == .deadLetter && failures[0].outcome.attempt == 4)
            #expect(
                "\(failures[0])"
                    == "job 1 \"images.resize\": a dead letter at attempt 4: Unreadable: it cannot be read"
            )
            let error = #expect(throws: TestFailure.self) { try store.checkNoFailures() }
            #expect(error?.description == "1 jobs have not succeeded:\n\(failures[0])")
        }
    }

    @Test(
        "a drain that moves the clock ends when nobody waits, and at its limit when somebody does for ever"
    )
    func advancing() async throws {
        let snoozes = JobClosure("snooze") { (_: Int, _) -> Int in
            throw JobControl.snooze(for: .seconds(60))
        }
        let notes = Notes()
        try await withTestStore(closures: [notes.job, snoozes]) { store, runner in
            let begin = runner.clock.now
            for number in 1...3 {
                try await store.enqueue(
                    name: "note", payload: number,
                    options: EnqueueOptions(due: .after(.seconds(3_600 * (4 - number)))))
            }
            // Of no runner here, and parked.
            try await store.enqueue(
                name: "note", payload: 9,
                options: EnqueueOptions(queue: "elsewhere", due: .after(.seconds(60))))
            let unknown: JobHandle<NoResult> = try await store.enqueue(name: "unknown", payload: 1)
            let drained = try await runner.drain(advancing: true)
            #expect(notes.all == [3, 2, 1])
            #expect(runner.clock.now.microseconds - begin.microseconds == 3 * 3_600_000_000)
            #expect(drained.left.map(\.id.rawValue) == [4, unknown.id.rawValue])
            #expect(try unknown.state == .parked(name: "unknown"))
            #expect("\(drained)".contains("parked, since no runner of its queue knows its name"))
            try await store.enqueue(name: "snooze", payload: 1)
            let error = await #expect(throws: TestFailure.self) {
                try await runner.drain(advancing: true, limit: 25)
            }
            #expect("\(error!)".hasPrefix("25 attempts were made and there are more"))
        }
    }

    @Test("rates go by the clock of the test, as delays do")
    func limits() async throws {
        struct Slow: Job {
            static var limits: JobLimits? { JobLimits(rate: RateLimit(2, per: .seconds(60))) }
            var number: Int
            func run(_ context: JobContext) -> Int { number }
        }
        try await withTestStore(jobs: [Slow.self]) { store, runner in
            for number in 1...5 { try await store.enqueue(Slow(number: number)) }
            let begin = runner.clock.now.microseconds
            // A bucket begins empty.
            #expect(try await runner.drain().steps == [])
            runner.clock.advance(.seconds(60))
            #expect(try await runner.drain().steps.map(\.id.rawValue) == [1, 2])
            let rest = try await runner.drain(advancing: true)
            #expect(rest.steps.map(\.id.rawValue) == [3, 4, 5])
            #expect(runner.clock.now.microseconds - begin == 150_000_000)
        }
    }

    @Test("expiries, cancels and pauses are as with any runner")
    func states() async throws {
        let notes = Notes()
        try await withTestStore(closures: [notes.job]) { store, runner in
            let soon = EnqueueOptions(expiry: .after(.seconds(10)))
            let expires = try await store.enqueue(
                name: "note", payload: 1, output: Int.self, options: soon)
            let cancelled = try await store.enqueue(name: "note", payload: 2, output: Int.self)
            let last = try await store.enqueue(name: "note", payload: 3, output: Int.self)
            #expect(try await store.cancel(cancelled.id) == .cancelled)
            runner.clock.advance(.seconds(11))
            try await store.pause(queue: "default")
            #expect(try await runner.step() == nil)
            try await store.resume(queue: "default")
            try await runner.drain()
            #expect(notes.all == [3])
            #expect(try await last.result == 3)
            await #expect(throws: JobError.expired(expires.id)) { try await expires.result }
        }
    }

    @Test("another version of the program goes on where the first one was ended")
    func restarts() async throws {
        let notes = Notes()
        try await withTestStore(closures: [notes.job]) { store, runner in
            let job = try await store.enqueue(Resize(path: "a.png"))
            let bytes = try await store.enqueue(Bytes.self, payload: [1, 2])
            #expect(try await runner.drain().left.map(\.id) == [job.id, bytes.id])
            // Another runner may have its queue now, and cannot while ours has it.
            let other = try JobRunner(store, jobs: [Bytes.self])
            await #expect(throws: RunnerError.self) { try await other.run {} }
            try await runner.restart(jobs: [Resize.self, Publish.self, Bytes.self])
            let drained = try await runner.drain()
            #expect(drained.isAll && drained.steps.count == 3)
            try await runner.stop()
            try await JobRunner(store, jobs: [Bytes.self]).run {
                try await #expect(store.enqueue(Bytes.self, payload: [3]).result == [3])
            }
        }
    }
}
