import PetioleStorage
import Testing

@testable import Petiole

@Suite("Unique keys of many at once") struct UniqueManyTests {
    /// A row of a table: its key, if it has one.
    private struct Row: Job {
        var key: String?
        var number = 0
        var refuses = false
        var hold = "untilFinished"
        var uniqueness: Uniqueness? {
            key.map {
                Uniqueness(
                    key: $0, hold: hold == "untilStarted" ? .untilStarted : .untilFinished,
                    onConflict: refuses ? .refuse : .giveBack)
            }
        }
        func run(_ context: JobContext) -> Int { number }
    }

    private enum Line: RawJob {
        static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) {}
    }

    @Test("those whose key is held are given back in their places, the others are accepted")
    func givenBack() async throws {
        try await withStore { store in
            let held = try await store.enqueue(
                contentsOf: ["b", "d"].map { Row(key: $0, number: 100) })
            #expect(held.acceptedCount == 2)
            let keys = ["a", "b", nil, "c", "d", nil, "e"]
            let jobs = try await store.enqueue(
                contentsOf: keys.enumerated().map { Row(key: $1, number: $0) })
            #expect(jobs.count == 7 && jobs.acceptedCount == 5)
            #expect(jobs[1].id == held[0].id && jobs[4].id == held[1].id)
            #expect(Set(jobs.map(\.id)).count == 7)
            #expect(try store.uniqueRows() == 5)
            try await makeRunner(store, jobs: [Row.self]).run {}
            var numbers: [Int] = []
            for job in jobs { numbers.append(try await job.result) }
            #expect(numbers == [0, 100, 2, 3, 100, 5, 6])
            #expect(try store.counts().succeeded == 7)
            #expect(try store.uniqueRows() == 0)
        }
    }

    @Test("enqueued again whole, all are given back and nothing is accepted")
    func again() async throws {
        try await withStore { store in
            let lines = (0..<9_000).map { Row(key: "row \($0)", number: $0) }
            let first = try await store.enqueue(contentsOf: lines)
            let second = try await store.enqueue(contentsOf: lines)
            #expect(first.acceptedCount == 9_000 && second.acceptedCount == 0)
            #expect(second.idRanges == first.idRanges)
            #expect(try store.counts().accepted == 9_000)
        }
    }

    @Test("one key twice among them is one job")
    func repeated() async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(
                contentsOf: ["a", "b", "a", "c", "b"].enumerated().map { Row(key: $1, number: $0) })
            #expect(jobs.acceptedCount == 3)
            #expect(jobs[2].id == jobs[0].id && jobs[4].id == jobs[1].id)
            try await makeRunner(store, jobs: [Row.self]).run {}
            try await expectEqual(jobs[3].result, 3)
        }
    }

    @Test("where one refuses, none is accepted, and no key is taken")
    func refused() async throws {
        try await withStore { store in
            let held = try await store.enqueue(Row(key: "c"))
            await #expect(throws: EnqueueError.notUnique(job: "Row", existing: held.id)) {
                try await store.enqueue(
                    contentsOf: ["a", "b", "c", "d"].map { Row(key: $0, refuses: true) })
            }
            await #expect {
                try await store.enqueue(
                    contentsOf: ["a", "b", "a"].map { Row(key: $0, refuses: true) })
            } throws: { error in
                "\(error)".contains("two of them have the same unique key")
            }
            #expect(try store.uniqueRows() == 1)
            #expect(try store.counts().accepted == 1)
            let jobs = try await store.enqueue(
                contentsOf: ["a", "b", "d"].map { Row(key: $0, refuses: true) })
            #expect(jobs.acceptedCount == 3)
        }
    }

    @Test("a commit that fails and is tried again alone decides anew, with all its jobs")
    func triedAgain() async throws {
        try await withStore { store in
            let held = try await store.enqueue(Row(key: "b", number: 100))
            let gate = Gate()
            let begun = Gate()
            // The writer stands still while the others come, and takes what has come into one commit.
            let standing = Task<Void, any Error> {
                try await store.open.perform { (_, _) throws(StorageError) in
                    begun.open()
                    gate.block()
                }
            }
            await begun.wait()
            let rows = ["a", "b", "c"].enumerated().map { Row(key: $1, number: $0) }
            let enqueue = Task { try await store.enqueue(contentsOf: rows) }
            let failing = Task<Void, any Error> {
                try await store.open.perform { (_, _) throws(StorageError) -> Void in
                    throw StorageError.transactionTooLarge
                }
            }
            for _ in 0..<1_000 { await Task.yield() }
            gate.open()
            try await standing.value
            let accepted = try await enqueue.value
            await #expect(throws: StoreError.self) { try await failing.value }
            #expect(accepted.acceptedCount == 2 && accepted[1].id == held.id)
            try await makeRunner(store, jobs: [Row.self]).run {}
            try await expectEqual(accepted[2].result, 2)
            try expectEqual(store.uniqueRows(), 0)
        }
    }

    @Test("without room for those that are new none is accepted, and their keys stay free")
    func noRoom() async throws {
        try await withStore { store in
            try await store.enqueue(contentsOf: ["a", "b"].map { Row(key: $0) })
            try await store.setCapacity(Capacity(jobs: 4))
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(contentsOf: "abcde".map { Row(key: String($0)) })
            }
            #expect(try store.uniqueRows() == 2)
            // Those that are there need none.
            let jobs = try await store.enqueue(contentsOf: "abcd".map { Row(key: String($0)) })
            #expect(jobs.acceptedCount == 2)
            #expect(try store.counts().accepted == 4)
        }
    }

    @Test("a key that is held until the start is free for many as soon as its job has run")
    func freeWhenItHasRun() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, jobs: [Row.self])
            try await runner.run {
                for number in 0..<100 {
                    let row = Row(key: "k", number: number, hold: "untilStarted")
                    let jobs = try await store.enqueue(contentsOf: [row])
                    #expect(jobs.acceptedCount == 1)
                    try await expectEqual(jobs[0].result, number)
                }
            }
        }
    }

    @Test("raw jobs have the keys that a closure gives, and delayed ones theirs while they wait")
    func raw() async throws {
        try await withStore { store in
            func enqueue(_ keys: Range<Int>) async throws -> EnqueuedJobs<[UInt8]> {
                try await store.enqueue(
                    Line.self, count: keys.count,
                    options: EnqueueOptions(due: .after(.seconds(3_600))),
                    uniqueness: { Uniqueness(key: "line \(keys.lowerBound + $0)") }
                ) { index, bytes in bytes.append(littleEndian: UInt32(index)) }
            }
            let first = try await enqueue(0..<100)
            let second = try await enqueue(50..<150)
            #expect(second.acceptedCount == 50)
            #expect((0..<50).allSatisfy { second[$0].id == first[50 + $0].id })
            try expectEqual(store.counts().waiting, 150)
            try await store.cancel(first[7].id)
            #expect(try store.uniqueRows() == 149)
        }
    }

    @Test("more of them than one transaction decides about, or one that would replace, are refused")
    func refusedAtOnce() async throws {
        try await withStore { store in
            await #expect {
                try await store.enqueue(
                    contentsOf: (0..<100_000).lazy.map { Row(key: "row \($0)") })
            } throws: { error in
                "\(error)".contains("enqueue them in parts")
            }
            await #expect {
                // The first key comes when the others are staged already.
                try await store.enqueue(
                    contentsOf: (0...200_000).lazy.map { Row(key: $0 == 200_000 ? "last" : nil) })
            } throws: { error in
                "\(error)".contains("enqueue them in parts")
            }
            await #expect {
                try await store.enqueue(
                    Line.self, count: 1,
                    uniqueness: { _ in Uniqueness(key: "k", onConflict: .replace) }
                ) { _, _ in }
            } throws: { error in
                "\(error)".contains("none of many at once replaces another")
            }
            await #expect {
                try await store.enqueue(
                    contentsOf: [Row(), Row()],
                    options: EnqueueOptions(unique: Uniqueness(key: "k")))
            } throws: { error in
                "\(error)".contains("that of all of them")
            }
            try expectEqual(store.counts().accepted, 0)
            try expectEqual(store.uniqueRows(), 0)
        }
    }
}
