import PetioleStorage
import Synchronization
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What takes more than one transaction to drop, for who does not stand by and ask again.
@Suite("Large drops", .timeLimit(.minutes(10))) struct LargeDropTests {
    private let echo = JobClosure("echo") { (number: Int, _) in number }

    private func fill(_ store: JobStore, _ count: Int, priority: Int = 4) async throws {
        let options = EnqueueOptions(priority: priority)
        try await store.enqueue(Cargo.self, count: count, options: options) { _, payload in
            payload.append(contentsOf: [1, 2, 3, 4])
        }
    }

    @Test(
        "a flush waits for a buffered job that is dropped for in several transactions",
        arguments: [true, false])
    func flush(isBlocking: Bool) async throws {
        try await withStore { store in
            try await fill(store, 25_000)
            try await store.setCapacity(
                Capacity(jobs: 1_000, whenFull: .dropOldest), queue: "default")
            try store.enqueue(Cargo.self, payload: [1], durability: .buffered)
            if isBlocking {
                try await onThread("test-flush") { try store.flushBlocking() }
            } else {
                try await store.flush()
            }
            #expect(try store.counts().accepted == 25_001 && store.counts().unfinished == 1_000)
        }
    }

    @Test("a flush tells of a buffered job that was refused alone, when its commit was tried again")
    func flushInParts() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let meanwhile = Meanwhile()
        var options = StoreOptions()
        options.durability = .scratch
        let store = try JobStore(
            at: directory.store, options: options, clock: TestClock().storeClock,
            faults: meanwhile.faults)
        defer { store.close() }
        let writer = store.open.writer
        let commits = Atomic<Int>(0)
        let isFlushed = SharedFlag()
        let begun = Gate()
        meanwhile.set {
            // Relaxed: one thread at a time writes.
            switch commits.add(1, ordering: .relaxed).newValue {
            case 1:
                // Until the job and the flush lie there, for one commit.
                begun.open()
                while writer.inbox.count < 2 { sched_yield() }
                return nil
            case 2: return .mapFull
            case 4:
                // The job by itself, behind the flush's operation: it comes back, or it has told already.
                while writer.inbox.count == 0, !isFlushed.isSet { sched_yield() }
                return .mapFull
            default: return nil
            }
        }
        let first = Task { try await store.open.perform { (_, _) throws(StorageError) in } }
        await begun.wait()
        try store.enqueue(Cargo.self, payload: [1], durability: .buffered)
        let error = await #expect(throws: FlushError.self) {
            defer { isFlushed.set() }
            try await store.flush()
        }
        #expect(error?.count == 1)
        try await first.value
        meanwhile.set(nil)
    }

    @Test("what a job enqueues is dropped for in several transactions, and its one attempt stands")
    func effects() async throws {
        try await withStore { store in
            try await fill(store, 25_000)
            try await store.setCapacity(
                Capacity(jobs: 1_000, whenFull: .dropOldest), queue: "default")
            let runs = Trace<Int>()
            let spawn = JobClosure("spawn", queue: "work", retryPolicy: .never) {
                (number: Int, context) -> Int in
                runs.add(number)
                for number in 1...3 { try context.enqueue(name: "echo", payload: number) }
                return number
            }
            let job = try await store.numbers(
                "spawn", [7], options: EnqueueOptions(queue: "work"))[0]
            try await makeRunner(store, [spawn]).run {
                try await expectEqual(job.result, 7)
            }
            #expect(runs.items == [7])
            let counts = try store.counts(queue: "default")
            #expect(counts.dropped == 24_003 && counts.unfinished == 1_000)
        }
    }

    @Test("where there are not enough that may be dropped, none is")
    func notEnough() async throws {
        try await withStore { store in
            try await fill(store, 12_000, priority: 5)
            try await fill(store, 8_000, priority: 0)
            try await store.setCapacity(
                Capacity(jobs: 20_000, whenFull: .dropOldest), queue: "default")
            await store.expectNoRoom("default") { try await fill(store, 15_000, priority: 4) }
            #expect(try store.counts().dropped == 0 && store.counts().unfinished == 20_000)
            try await fill(store, 12_000, priority: 4)
            #expect(try store.counts().dropped == 12_000)
        }
    }
}
