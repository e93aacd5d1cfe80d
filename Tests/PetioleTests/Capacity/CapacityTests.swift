import PetioleStorage
import Testing

@testable import Petiole

/// Bytes that a test gives.
enum Cargo: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {}
}

extension JobStore {
    /// Whether an enqueue found no room, and where.
    func expectNoRoom(
        _ queue: String?, _ measure: CapacityReached.Measure = .jobs, isTooLarge: Bool = false,
        _ body: () async throws -> Void
    ) async {
        let error = await #expect(throws: EnqueueError.self) { try await body() }
        guard case .refused(_, _, .noRoom(let reached))? = error else {
            Issue.record("\(String(describing: error)) is about something else")
            return
        }
        #expect(reached.queue == queue && reached.measure == measure)
        #expect(reached.isTooLarge == isTooLarge)
    }
}

@Suite("Capacity", .timeLimit(.minutes(10))) struct CapacityTests {
    private let echo = JobClosure("echo") { (number: Int, _) in number }

    @Test("a full queue refuses, and takes jobs again when some have ended")
    func refuses() async throws {
        try await withStore { store in
            try await store.setCapacity(Capacity(jobs: 3), queue: "default")
            let jobs = try await store.numbers("echo", [1, 2, 3])
            await store.expectNoRoom("default") { try await store.numbers("echo", [4]) }
            // Another queue is another matter.
            try await store.numbers("echo", [5], options: EnqueueOptions(queue: "other"))
            let error = try await onThread("test-enqueue") {
                #expect(throws: EnqueueError.self) {
                    let _: JobHandle<Int> = try store.enqueueBlocking(
                        name: "echo", payload: 4, output: Int.self)
                }
            }
            #expect("\(error!)".contains("3 of 3 jobs that have not ended, and 1 more come"))
            try await store.cancel(jobs[0].id)
            try await store.numbers("echo", [4])
            await store.expectNoRoom("default") { try await store.numbers("echo", [6]) }
            try await makeRunner(store, [echo]).run {}
            try await store.numbers("echo", [7, 8, 9])
            #expect(try store.capacity(queue: "default") == Capacity(jobs: 3))
            let status = try store.queues()
            #expect(status.map { $0.capacity } == [Capacity(jobs: 3), nil])
            try await store.setCapacity(nil, queue: "default")
            try await store.numbers("echo", [10])
        }
    }

    @Test("bytes are those of payloads and what lies beside them, in what has not ended")
    func bytes() async throws {
        try await withStore { store in
            try await store.setCapacity(Capacity(bytes: 1_000), queue: "default")
            let some = try await store.enqueue(Cargo.self, count: 4) { _, payload in
                payload.append(contentsOf: [UInt8](repeating: 1, count: 200))
            }
            #expect(try store.counts().unfinishedBytes == 800)
            await store.expectNoRoom("default", .bytes) {
                try await store.enqueue(Cargo.self, payload: [UInt8](repeating: 1, count: 201))
            }
            await store.expectNoRoom("default", .bytes, isTooLarge: true) {
                try await store.enqueue(Cargo.self, payload: [UInt8](repeating: 1, count: 1_001))
            }
            try await store.enqueue(Cargo.self, payload: [UInt8](repeating: 1, count: 200))
            // One without bytes needs no room.
            try await store.enqueue(Cargo.self, payload: [])
            await store.expectNoRoom("default", .bytes) {
                try await store.enqueue(
                    Cargo.self, payload: [],
                    options: EnqueueOptions(metadata: JobMetadata(tags: ["t"])))
            }
            try await store.cancel(some[0].id)
            #expect(try store.counts().unfinishedBytes == 800)
            try await makeRunner(store, jobs: [Cargo.self]).run {}
            #expect(try store.counts().unfinishedBytes == 0)
            try await store.requeue(some[1].id)
            #expect(try store.counts().unfinishedBytes == 200)
        }
    }

    @Test("the store's capacity holds over all queues, also when they were there before")
    func wholeStore() async throws {
        try await withStore { store in
            let a = EnqueueOptions(queue: "a")
            let b = EnqueueOptions(queue: "b")
            let first = try await store.numbers("echo", [1, 2], options: a)
            try await store.numbers("echo", [3], options: b)
            try await store.setCapacity(Capacity(jobs: 4))
            try await store.numbers("echo", [4], options: b)
            await store.expectNoRoom(nil) { try await store.numbers("echo", [5], options: a) }
            await store.expectNoRoom(nil) {
                try await store.numbers("echo", [5], options: EnqueueOptions(queue: "new"))
            }
            try await store.cancel(first[0].id)
            try await store.numbers("echo", [5], options: EnqueueOptions(queue: "new"))
            // Changed, it counts on.
            try await store.setCapacity(Capacity(jobs: 5))
            try await store.numbers("echo", [6], options: a)
            await store.expectNoRoom(nil) { try await store.numbers("echo", [7], options: a) }
            // A queue's own, which is stricter.
            try await store.setCapacity(Capacity(jobs: 2), queue: "b")
            try await store.cancel(first[1].id)
            await store.expectNoRoom("b") { try await store.numbers("echo", [7], options: b) }
            try await store.numbers("echo", [7], options: a)
            try await store.setCapacity(nil)
            try await store.numbers("echo", [8], options: a)
            #expect(try store.capacity() == nil)
        }
    }

    @Test(
        "many are accepted all or none, and more than ever fit are refused before they are written")
    func many() async throws {
        try await withStore { store in
            try await store.setCapacity(Capacity(jobs: 100), queue: "default")
            func enqueue(_ count: Int, bytes: Int) async throws {
                let content = [UInt8](repeating: 1, count: bytes)
                try await store.enqueue(Cargo.self, count: count) { _, payload in
                    payload.append(contentsOf: content)
                }
            }
            try await enqueue(60, bytes: 10)
            await store.expectNoRoom("default") { try await enqueue(41, bytes: 10) }
            await store.expectNoRoom("default", isTooLarge: true) {
                try await enqueue(101, bytes: 10)
            }
            try await enqueue(40, bytes: 10)
            #expect(try store.counts().accepted == 100)
            // The same for what is staged: 24 MiB.
            try await store.setCapacity(Capacity(jobs: 400), queue: "default")
            await store.expectNoRoom("default", isTooLarge: true) {
                try await enqueue(450, bytes: 64 << 10)
            }
            await store.expectNoRoom("default") { try await enqueue(350, bytes: 64 << 10) }
            try await enqueue(300, bytes: 64 << 10)
            #expect(try store.counts().accepted == 400)
            let tables = store.open.tables
            let stages = try store.open.read { (reader) throws(StorageError) in
                try reader.count(tables.stages)
            }
            #expect(stages == 0)
        }
    }

    @Test(
        "a change of the capacity and enqueues in one commit hold in the order in which they came")
    func changeAgainstEnqueue() async throws {
        try await withStore { store in
            try await store.numbers("echo", [0])
            let isIn = Gate()
            let goOn = Gate()
            let held = Task<Void, any Error> {
                try await store.open.perform { (_, _) throws(StorageError) in
                    isIn.open()
                    goOn.block()
                }
            }
            await isIn.wait()
            func buffered() throws -> PendingJob<[UInt8]> {
                try store.enqueue(Cargo.self, payload: [1], durability: .buffered)
            }
            func set(_ jobs: UInt64) async {
                await withCheckedContinuation { continuation in
                    store.open.writer.submit(
                        OperationSubmission { (transaction, state) throws(StorageError) in
                            let queue = try state.queue(named: "default", &transaction).id
                            try state.count(transaction, queue) { $0.capacity.jobs = jobs }
                        } completion: { _ in
                        })
                    continuation.resume()
                }
            }
            let before = try buffered()
            await set(2)
            let between = try buffered()
            await set(3)
            let behind = try buffered()
            goOn.open()
            try await held.value
            _ = try await before.accepted
            await store.expectNoRoom("default") { _ = try await between.accepted }
            _ = try await behind.accepted
            // Who was refused is told by the flush as well.
            let error = await #expect(throws: FlushError.self) { try await store.flush() }
            #expect(error?.count == 1)
        }
    }

    @Test("outcomes, retries, requeues and what a full queue's own jobs enqueue need no room")
    func nothingElseNeedsRoom() async throws {
        try await withStore { store in
            let again = JobClosure(
                "again",
                retryPolicy: RetryPolicy(maxAttempts: 2, backoff: .constant(.milliseconds(1)))
            ) { (number: Int, context) -> Int in
                if context.attempt == 1 { throw Refusal() }
                return number
            }
            // Its own end makes room for one.
            let chain = JobClosure("chain") { (number: Int, context) -> Int in
                if number > 0 { try context.enqueue(name: "chain", payload: number - 1) }
                return number
            }
            try await store.numbers("again", [1])
            try await store.setCapacity(Capacity(jobs: 1), queue: "default")
            let runner = try makeRunner(store, [again, chain])
            try await runner.run {}
            try await store.numbers("chain", [5])
            try await makeRunner(store, [again, chain]).run {}
            #expect(try store.counts().succeeded == 7)
            try await store.numbers("again", [2])
            #expect(try await store.requeue(JobID(rawValue: 1)) == .requeued)
            #expect(try store.counts().unfinished == 2)
            await store.expectNoRoom("default") { try await store.numbers("again", [3]) }
        }
    }

    @Test("a job whose new jobs find no room has failed with that, and is tried again")
    func effects() async throws {
        try await withStore { store in
            let full = EnqueueOptions(queue: "full")
            try await store.setCapacity(Capacity(jobs: 1), queue: "full")
            let blocking = try await store.numbers("echo", [1], options: full)[0]
            let spawn = JobClosure(
                "spawn",
                retryPolicy: RetryPolicy(maxAttempts: 2, backoff: .constant(.milliseconds(1)))
            ) { (number: Int, context) -> Int in
                if context.attempt == 2 {
                    let store = context.store
                    let done = Promise<Bool>()
                    Task {
                        let result = try? await store.cancel(blocking.id)
                        done.give(result == .cancelled)
                    }
                    guard done.wait() else { throw Refusal() }
                }
                try context.enqueue(name: "echo", payload: number, options: full)
                return number
            }
            let job = try await store.numbers("spawn", [1])[0]
            try await makeRunner(store, [spawn]).run {
                _ = try await job.result
            }
            let attempts = try store.history(of: job.id)
            #expect(attempts.count == 1)
            #expect(attempts.first?.failure.message.contains("the queue \"full\" is full") == true)
            #expect(try store.counts(queue: "full").unfinished == 1)
        }
    }

    @Test("one that takes another's place needs no room, and one that is given back none either")
    func unique() async throws {
        try await withStore { store in
            try await store.setCapacity(Capacity(jobs: 1), queue: "default")
            func options(_ conflict: Uniqueness.Conflict) -> EnqueueOptions {
                EnqueueOptions(unique: Uniqueness(key: "k", onConflict: conflict))
            }
            let first = try await store.numbers("echo", [1], options: options(.giveBack))[0]
            let same = try await store.numbers("echo", [2], options: options(.giveBack))[0]
            #expect(same.id == first.id)
            let second = try await store.numbers("echo", [3], options: options(.replace))[0]
            #expect(second.id != first.id)
            // A key that was not taken for want of room is free.
            let other = EnqueueOptions(unique: Uniqueness(key: "other"))
            await store.expectNoRoom("default") {
                try await store.numbers("echo", [4], options: other)
            }
            try await store.cancel(second.id)
            let third = try await store.numbers("echo", [4], options: other)[0]
            try await makeRunner(store, [echo]).run {}
            #expect(try await third.result == 4)
        }
    }

    @Test("settings that another process changes hold from this one's next commit on")
    func settings() async throws {
        try await withStore { store in
            #expect(store.open.settings.byteLimit == 64 << 30)
            var options = StoreOptions()
            options.byteLimit = 64 << 20
            options.payloadLimit = 60 << 20
            // As another process does it: this one's own values stay behind.
            let applied = options
            try await store.open.perform { (transaction, state) throws(StorageError) in
                try applied.apply(&transaction, &state)
            }
            let large = [UInt8](repeating: 1, count: 50 << 20)
            try await store.enqueue(Cargo.self, payload: large)
            #expect(store.open.settings.byteLimit == 64 << 20)
            let error = await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Cargo.self, payload: large)
            }
            guard case .refused(_, _, .full)? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            options.byteLimit = 256 << 20
            try await store.change(options)
            try await store.enqueue(Cargo.self, payload: large)
        }
    }

    @Test("a lowered limit of the file holds for the very commit that finds it")
    func settingsAtOnce() async throws {
        try await withStore { store in
            let large = [UInt8](repeating: 1, count: 50 << 20)
            try await store.enqueue(Cargo.self, payload: large)
            var options = StoreOptions()
            options.byteLimit = 64 << 20
            let applied = options
            try await store.open.perform { (transaction, state) throws(StorageError) in
                try applied.apply(&transaction, &state)
            }
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Cargo.self, payload: large)
            }
            #expect(try store.counts().accepted == 1)
        }
    }
}
