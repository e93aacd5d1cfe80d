import Synchronization
import Testing

@testable import Petiole

/// Jobs that say when they begin, and go on when they are let.
private struct Held: Sendable {
    let begun = Trace<Int>()
    let gate = Gate()

    func closure(_ name: String, limits: JobLimits) -> JobClosure {
        JobClosure(name, limits: limits) { [begun, gate] (number: Int, _) -> Int in
            begun.add(number)
            gate.block()
            return number
        }
    }
}

@Suite("Concurrency limits") struct ConcurrencyTests {
    private let plain = JobClosure("plain") { (number: Int, _) in number }

    @Test(
        "no more of a type run at once than its limit says, and what is behind them goes on",
        arguments: [1, 2])
    func perType(limit: Int) async throws {
        try await withStore { store in
            let held = Held()
            let runner = try makeRunner(
                store, [held.closure("held", limits: JobLimits(concurrency: limit)), plain],
                workers: 4)
            try await runner.run {
                let jobs = try await store.numbers("held", Array(0..<10))
                // It lies behind all of them in the lane: when it has run, all that may start have been claimed.
                let last = try await store.numbers("plain", [99])[0]
                try await expectEqual(last.result, 99)
                #expect(held.begun.items.count <= limit)
                held.gate.open()
                for job in jobs { _ = try await job.result }
                #expect(held.begun.items.sorted() == Array(0..<10))
            }
        }
    }

    @Test("ten thousand jobs of a full key keep one of another key waiting no longer than none")
    func perKey() async throws {
        try await withStore { store in
            let held = Held()
            let limits = JobLimits(concurrencyPerKey: 1)
            let other = JobClosure("held", limits: limits) { [held] (number: Int, _) -> Int in
                if number >= 0 {
                    held.begun.add(number)
                    held.gate.block()
                }
                return number
            }
            let runner = try makeRunner(store, [other], workers: 2)
            let many = try await store.enqueue(
                contentsOf: (0..<10_000).map { Keyed(number: $0, key: "full") })
            let one = try await store.numbers(
                "held", [-1], options: EnqueueOptions(limitKey: "free"))[0]
            try await runner.run {
                try await expectEqual(one.result, -1)
                #expect(held.begun.items.count <= 1)
                held.gate.open()
                for job in many { _ = try await job.result }
            }
            // One at a time, they came in their order.
            #expect(held.begun.items == Array(0..<10_000))
            #expect(try store.counts().succeeded == 10_001)
        }
    }

    private struct Keyed: Job {
        static let jobName = "held"
        var number: Int
        var key: String
        var limitKey: String? { key }
        init(number: Int, key: String) {
            self.number = number
            self.key = key
        }
        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(number)
        }
        init(from decoder: any Decoder) throws {
            number = try decoder.singleValueContainer().decode(Int.self)
            key = ""
        }
        func run(_ context: JobContext) -> Int { number }
    }

    private struct Awaiting: AsyncJob {
        static let limits: JobLimits? = JobLimits(concurrency: 3)
        static let running = Atomic<Int>(0)
        static let most = Atomic<Int>(0)
        var number: Int
        func run(_ context: JobContext) async -> Int {
            // Sequentially consistent, all: not worth an argument.
            let now = Self.running.add(1, ordering: .sequentiallyConsistent).newValue
            Self.most.max(now, ordering: .sequentiallyConsistent)
            for _ in 0..<5 { await Task.yield() }
            Self.running.subtract(1, ordering: .sequentiallyConsistent)
            return number
        }
    }

    @Test("asynchronous jobs hold their place until they have ended")
    func asynchronous() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [Awaiting.self], workers: 2)
            try await runner.run {
                let jobs = try await store.enqueue(
                    contentsOf: (0..<500).map { Awaiting(number: $0) })
                for job in jobs { _ = try await job.result }
            }
            #expect(Awaiting.most.load(ordering: .sequentiallyConsistent) <= 3)
        }
    }

    @Test("a queue's own limit binds all its types, and no other queue")
    func perQueue() async throws {
        try await withStore { store in
            let held = Held()
            let free = JobClosure("free", queue: "other") { (number: Int, _) in number }
            let runner = try makeRunner(
                store, [held.closure("held", limits: JobLimits()), plain, free], workers: 3
            ) {
                $0.queueOptions["default"] = JobRunner.QueueOptions(concurrency: 1)
            }
            try await runner.run {
                let jobs = try await store.numbers("held", [1, 2])
                let behind = try await store.numbers("plain", [3])[0]
                let beside = try await store.numbers(
                    "free", [4], options: EnqueueOptions(queue: "other"))[0]
                try await expectEqual(beside.result, 4)
                #expect(held.begun.items.count <= 1)
                #expect(try behind.state == .ready)
                held.gate.open()
                for job in jobs { _ = try await job.result }
                try await expectEqual(behind.result, 3)
            }
        }
    }

    @Test("a limit is changed while jobs wait for it, and they go on")
    func changed() async throws {
        try await withStore { store in
            let held = Held()
            let runner = try makeRunner(
                store, [held.closure("held", limits: JobLimits(concurrency: 1)), plain], workers: 4)
            try await runner.run {
                let jobs = try await store.numbers("held", Array(0..<3))
                try await expectEqual(store.numbers("plain", [99])[0].result, 99)
                #expect(held.begun.items.count <= 1)
                try await store.setLimits(JobLimits(concurrency: 3), ofJob: "held")
                #expect(try store.limits(inQueue: "default").map { $0.job } == ["held"])
                while held.begun.items.count < 3 { try await turn() }
                held.gate.open()
                for job in jobs { _ = try await job.result }
                try await store.setLimits(nil, ofJob: "held")
                #expect(try store.limits(inQueue: "default").isEmpty)
            }
        }
    }

    @Test("what was claimed before a limit was lowered runs on, and what comes after keeps to it")
    func lowered() async throws {
        try await withStore { store in
            let held = Held()
            let runner = try makeRunner(
                store, [held.closure("held", limits: JobLimits(concurrency: 3)), plain], workers: 4)
            try await runner.run {
                let first = try await store.numbers("held", [1, 2])
                while held.begun.items.count < 2 { try await turn() }
                try await store.setLimits(JobLimits(concurrency: 1), ofJob: "held")
                let late = try await store.numbers("held", [3, 4])
                try await expectEqual(store.numbers("plain", [99])[0].result, 99)
                #expect(held.begun.items.sorted() == [1, 2])
                held.gate.open()
                for job in first + late { _ = try await job.result }
            }
        }
    }

    @Test("what waits at a gate is found by the next runner, and runs once")
    func nextRunner() async throws {
        try await withStore { store in
            let held = Held()
            let ran = Trace<Int>()
            let first = try makeRunner(
                store, [held.closure("held", limits: JobLimits(concurrency: 1)), plain], workers: 2)
            let jobs = try await store.numbers("held", Array(0..<50))
            async let running: Void = first.run()
            try await expectEqual(store.numbers("plain", [99])[0].result, 99)
            first.stop()
            held.gate.open()
            try await running
            // Without limits: what another runner has moved aside is none the less run.
            let free = JobClosure("held") { (number: Int, _) -> Int in
                ran.add(number)
                return number
            }
            try await makeRunner(store, [free, plain], workers: 2).run {
                for job in jobs { _ = try await job.result }
            }
            let all = held.begun.items + ran.items
            #expect(all.sorted() == Array(0..<50))
        }
    }

    @Test("a job that waits at a gate is cancelled, and never starts")
    func cancelled() async throws {
        try await withStore { store in
            let held = Held()
            let runner = try makeRunner(
                store, [held.closure("held", limits: JobLimits(concurrency: 1)), plain], workers: 2)
            try await runner.run {
                let jobs = try await store.numbers("held", Array(0..<4))
                try await expectEqual(store.numbers("plain", [99])[0].result, 99)
                try await expectEqual(store.cancel(jobs[2].id), .cancelled)
                held.gate.open()
                await #expect(throws: JobError.cancelled(jobs[2].id)) { try await jobs[2].result }
                for job in [jobs[0], jobs[1], jobs[3]] { _ = try await job.result }
            }
            #expect(held.begun.items == [0, 1, 3])
        }
    }

    @Test(
        "limits out of their bounds or against each other are refused",
        arguments: [
            JobLimits(concurrency: 0), JobLimits(concurrencyPerKey: 100_001),
            JobLimits(rate: RateLimit(0, per: .seconds(1))),
            JobLimits(ratePerKey: RateLimit(1, per: .zero)),
            JobLimits(rate: RateLimit(1, per: .seconds(1), burst: -1)),
            JobLimits(concurrency: 2, concurrencyPerKey: 3),
            JobLimits(concurrencyPerKey: 2, isOrderedPerKey: true),
        ])
    func refused(limits: JobLimits) async throws {
        try await withStore { store in
            let error = #expect(throws: RunnerError.self) {
                try makeRunner(
                    store, [JobClosure("bound", limits: limits) { (number: Int, _) in number }])
            }
            #expect("\(error!)".contains("bound"))
            await #expect(throws: StoreError.self) {
                try await store.setLimits(limits, ofJob: "bound")
            }
        }
    }
}
