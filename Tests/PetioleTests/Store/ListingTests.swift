import PetioleStorage
import Testing

@testable import Petiole

@Suite("Listing", .timeLimit(.minutes(10))) struct ListingTests {
    private struct Broken: Error, CustomStringConvertible {
        var description: String
    }
    private static let job = JobClosure("job", retryPolicy: .never) { (number: Int, _) -> Int in
        if number % 3 == 0 { throw Broken(description: "no room for \(number)") }
        return number
    }

    private func ids(_ store: JobStore, _ change: (inout JobFilter) -> Void) throws -> [UInt64] {
        var filter = JobFilter()
        change(&filter)
        return try store.jobs(filter, limit: 1_000).map { $0.id.rawValue }
    }

    @Test(
        "a listing is asked for by state, queue, name, tag, time and error, and any of them together"
    )
    func filters() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let tagged = EnqueueOptions(metadata: JobMetadata(tags: ["a", "b"]))
            try await store.numbers("job", [1, 2, 3])
            try await store.numbers("job", [4, 5, 6], options: tagged)
            clock.advance(.seconds(60))
            let half = WallTime(microseconds: clock.storeClock.now)
            try await makeRunner(store, [Self.job]).run {}
            clock.advance(.seconds(60))
            let now = WallTime(microseconds: clock.storeClock.now)
            try await store.numbers("job", [7, 8], options: tagged)
            try await store.numbers("else", [9], options: EnqueueOptions(queue: "q"))
            try await store.numbers("job", [10], options: EnqueueOptions(due: .after(.seconds(9))))
            expectEqual(try ids(store) { _ in }, Array(1...10))
            expectEqual(try ids(store) { $0.states = [.failed] }, [3, 6])
            expectEqual(try ids(store) { $0.states = [.failed, .waiting] }, [3, 6, 10])
            expectEqual(try ids(store) { $0.states = [.ready] }, [7, 8, 9])
            expectEqual(try ids(store) { $0.queue = "q" }, [9])
            expectEqual(try ids(store) { $0.queue = "none" }, [])
            expectEqual(try ids(store) { $0.name = "else" }, [9])
            expectEqual(try ids(store) { $0.name = "none" }, [])
            expectEqual(try ids(store) { $0.tag = "b" }, [4, 5, 6, 7, 8])
            expectEqual(try ids(store) { $0.acceptedSince = half }, [7, 8, 9, 10])
            expectEqual(try ids(store) { $0.acceptedBefore = half }, Array(1...6))
            expectEqual(try ids(store) { $0.endedSince = half }, Array(1...6))
            expectEqual(try ids(store) { $0.endedSince = now }, [])
            expectEqual(try ids(store) { $0.endedBefore = half }, [])
            expectEqual(try ids(store) { $0.error = "room" }, [3, 6])
            expectEqual(try ids(store) { $0.error = "for 6" }, [6])
            expectEqual(try ids(store) { $0.error = "Broken" }, [3, 6])
            expectEqual(
                try ids(store) {
                    $0.error = "room"
                    $0.tag = "a"
                    $0.states = [.failed, .ready]
                }, [6])
            expectEqual(
                try ids(store) {
                    $0.tag = "a"
                    $0.after = JobID(rawValue: 5)
                }, [6, 7, 8])
            for id in [7, 8, 9, 10] { try await store.cancel(JobID(rawValue: UInt64(id))) }
        }
    }

    @Test(
        "pages that go on behind the last id give each job once, also those that pruning kept apart"
    )
    func pages() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let poison = JobClosure("poison", retryPolicy: .never) { (_: Int, _) -> Int in
                throw JobControl.deadLetter("never")
            }
            for number in 1...20 {
                try await store.numbers(number % 5 == 0 ? "poison" : "job", [number * 3 + 1])
            }
            try await makeRunner(store, [Self.job, poison]).run {}
            clock.advance(.seconds(86_400))
            try await store.prune(olderThan: .seconds(60))
            try await store.numbers("job", Array(1...10))
            for size in [1, 2, 3, 100] {
                var seen: [UInt64] = []
                var filter = JobFilter()
                while true {
                    let page = try store.jobs(filter, limit: size)
                    seen += page.map { $0.id.rawValue }
                    guard let last = page.last else { break }
                    filter.after = last.id
                }
                expectEqual(seen, [5, 10, 15, 20] + Array(21...30))
            }
            expectEqual(try store.jobs(limit: 0).count, 0)
            try await makeRunner(store, [Self.job]).run {}
        }
    }

    @Test("a listing reads nothing behind the last id that it is asked for")
    func upTo() async throws {
        try await withStore { store in
            for number in 1...3 { try await store.numbers("job", [number * 2, number * 2 + 1]) }
            var filter = JobFilter()
            filter.after = JobID(rawValue: 1)
            filter.upTo = JobID(rawValue: 3)
            #expect(try store.jobs(filter).map { $0.id.rawValue } == [2, 3])
            // What is behind it cannot be read: nobody sees that.
            let open = store.open
            try await open.perform { (transaction, _) throws(StorageError) -> Void in
                try transaction.put(open.tables.jobs, Key(UInt64(1_000)), count: 4) {
                    $0.storeBytes(of: 0, as: UInt32.self)
                }
            }
            filter.name = "none"
            #expect(try store.jobs(filter).isEmpty)
            filter.upTo = JobID(rawValue: 999)
            #expect(try store.jobs(filter).isEmpty)
            filter.upTo = nil
            #expect(throws: StoreError.self) { try store.jobs(filter) }
            try await open.perform { (transaction, _) throws(StorageError) -> Void in
                try transaction.delete(open.tables.jobs, Key(UInt64(1_000)))
            }
            try await makeRunner(store, [Self.job]).run {}
        }
    }

    @Test("a job that pruning keeps apart between two pages is neither passed over nor given twice")
    func prunedMeanwhile() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let poison = JobClosure("poison", retryPolicy: .never) { (_: Int, _) -> Int in
                throw JobControl.deadLetter("never")
            }
            for number in 1...6 { try await store.numbers("poison", [number]) }
            try await makeRunner(store, [poison]).run {}
            clock.advance(.seconds(86_400))
            var filter = JobFilter()
            let first = try store.jobs(filter, limit: 2).map { $0.id.rawValue }
            try await store.prune(olderThan: .seconds(60))
            filter.after = JobID(rawValue: 2)
            #expect(first + (try store.jobs(filter).map { $0.id.rawValue }) == Array(1...6))
        }
    }

    @Test("a listing of many blocks in many views is whole, whatever was done to single jobs")
    func whole() async throws {
        struct Long: Job {
            var number: Int
            var filler = [UInt8](repeating: 1, count: 400)
            func run(_ context: JobContext) -> Int { number }
        }
        try await withStore(clock: TestClock(isFrozen: true)) { store in
            let count = 20_000
            let jobs = try await store.enqueue(contentsOf: (0..<count).map { Long(number: $0) })
            for index in stride(from: 0, to: count, by: 997) {
                try await store.cancel(jobs[index].id)
            }
            for index in stride(from: 1, to: count, by: 997) {
                try await store.edit(jobs[index].id, due: .after(.seconds(60)))
            }
            expectEqual(try ids(store) { $0.states = [.cancelled] }.count, 21)
            expectEqual(try ids(store) { $0.states = [.waiting] }.count, 21)
            var sum = 0
            var last: UInt64 = 0
            try store.forEachJob { summary in
                sum += 1
                if summary.id.rawValue != last + 1 { return false }
                last = summary.id.rawValue
                return true
            }
            expectEqual(sum, count)
        }
    }

    @Test("behind the greatest id there is nothing, and nobody stops")
    func behindAll() async throws {
        try await withStore { store in
            let job = try await store.numbers("echo", [1])[0]
            var filter = JobFilter()
            filter.after = JobID(rawValue: .max)
            expectEqual(try store.jobs(filter).count, 0)
            expectEqual(try store.children(of: job.id, after: JobID(rawValue: .max)), [])
        }
    }
}
