import PetioleStorage
import Testing

@testable import Petiole

@Suite("Effects with the outcome") struct EffectsTests {
    /// Moves an amount and leaves a receipt, in each of its attempts; the first ones fail behind that.
    private static func transfer(failing: Int) -> JobClosure {
        JobClosure(
            "transfer",
            retryPolicy: RetryPolicy(maxAttempts: 5, backoff: .constant(.milliseconds(1)))
        ) { (amount: Int, context) -> Int in
            let accounts = try context.table("accounts")
            let before = try accounts.value(for: "balance", as: Int.self) ?? 0
            try accounts.put(value: before + amount, for: "balance")
            // What it has written it sees.
            expectEqual(try accounts.value(for: "balance", as: Int.self), before + amount)
            try context.enqueue(name: "receipt", payload: amount)
            if context.attempt <= failing { throw Refusal() }
            return before + amount
        }
    }

    private static func receipt(_ trace: Trace<Int>) -> JobClosure {
        JobClosure("receipt") { (amount: Int, context) -> Int in
            trace.add(amount)
            return amount
        }
    }

    @Test(
        "rows and new jobs take effect once with the success, and not with an attempt that fails",
        arguments: [0, 1, 3])
    func once(failing: Int) async throws {
        try await withStore { store in
            let receipts = Trace<Int>()
            let jobs = try await store.numbers("transfer", [5, 7])
            let runner = try makeRunner(
                store, [Self.transfer(failing: failing), Self.receipt(receipts)])
            try await runner.run {}
            #expect(try store.table("accounts").value(for: "balance", as: Int.self) == 12)
            #expect(receipts.items.sorted() == [5, 7])
            #expect(try store.counts().accepted == 4)
            #expect(try store.counts().retries == 2 * failing)
            for (index, id) in [UInt64(3), 4].enumerated() {
                let details = try store.details(of: JobID(rawValue: id))
                #expect(details.parent != nil && details.parent == details.root)
                #expect(jobs.map { $0.id }.contains(details.parent!), "\(index)")
            }
        }
    }

    @Test("jobs that read a row and write it anew, side by side, lose none of each other's writes")
    func readAndWrite() async throws {
        try await withStore { store in
            let add = JobClosure("add") { (amount: Int, context) -> Int in
                let table = try context.table("sums")
                let before = try table.value(for: "sum", as: Int.self) ?? 0
                try table.put(value: before + amount, for: "sum")
                return before + amount
            }
            try await store.numbers("add", Array(1...100))
            try await makeRunner(store, [add], workers: 4).run {}
            #expect(try store.table("sums").value(for: "sum", as: Int.self) == 5_050)
            // Running again is no failure.
            #expect(try store.counts().succeeded == 100)
            #expect(try store.counts().retries == 0)
        }
    }

    @Test("the lineage is kept over generations of jobs, asynchronous ones too")
    func lineage() async throws {
        struct Grow: AsyncJob {
            var depth: Int
            func run(_ context: JobContext) async throws -> Int {
                if depth > 0 { try context.enqueue(Grow(depth: depth - 1)) }
                return depth
            }
        }
        try await withStore { store in
            let first = try await store.enqueue(Grow(depth: 3))
            try await makeRunner(store, jobs: [Grow.self]).run {}
            #expect(try store.counts().succeeded == 4)
            var parents: [JobID?] = []
            var roots: [JobID?] = []
            try store.forEachJob { summary in
                do {
                    let details = try store.details(of: summary.id)
                    parents.append(details.parent)
                    roots.append(details.root)
                } catch { Issue.record(error) }
                return true
            }
            let ids = (1...4).map { JobID(rawValue: $0) }
            #expect(parents == [nil, ids[0], ids[1], ids[2]])
            #expect(roots == [nil, first.id, first.id, first.id])
        }
    }

    @Test("an attempt that snoozes or discards its job leaves nothing behind")
    func dropped() async throws {
        try await withStore { store in
            let times = Trace<Int>()
            let job = JobClosure("job") { (what: Int, context) -> Int in
                times.add(what)
                try context.table("t").put([UInt8(times.items.count)], for: "k\(what)")
                if what == 0, times.items.count == 1 { throw JobControl.snooze(for: .zero) }
                if what == 1 { throw JobControl.discard("no") }
                return try context.table("t").bytes(for: Array("k0".utf8)).map { Int($0[0]) } ?? 0
            }
            let jobs = try await store.numbers("job", [0])
            try await makeRunner(store, [job]).run {}
            // The snoozed attempt's write is not seen by the next.
            try await expectEqual(jobs[0].result, 2)
            try await store.numbers("job", [1])
            try await makeRunner(store, [job]).run {}
            let table = try store.table("t")
            #expect(try table.bytes(for: "k0") == [2])
            #expect(try table.bytes(for: "k1") == nil)
        }
    }

    @Test("a context that is kept beyond its attempt adds nothing to another job's success")
    func keptContext() async throws {
        try await withStore { store in
            let kept = Trace<JobContext>()
            let job = JobClosure("job") { (number: Int, context) -> Int in
                kept.add(context)
                // What it has of its own stays.
                try context.table("t").put([7], for: "own-\(number)")
                if number == 2 {
                    #expect(throws: EffectError.attemptIsOver(kept.items[0].id)) {
                        try kept.items[0].table("t").put([1], for: "stray")
                    }
                }
                return number
            }
            try await store.numbers("job", [1, 2])
            try await makeRunner(store, [job]).run {}
            #expect(try store.table("t").bytes(for: "stray") == nil)
            #expect(try store.table("t").bytes(for: "own-2") == [7])
            #expect(try store.counts().succeeded == 2)
        }
    }

    @Test("rows are read in the order of their keys, however many, and deleted with a success")
    func rows() async throws {
        try await withStore { store in
            let fill = JobClosure("fill") { (count: Int, context) -> Int in
                let table = try context.table("numbers")
                for number in 0..<count {
                    try table.put(value: number, for: [UInt8(number >> 8), UInt8(number & 0xFF)])
                }
                try context.table("other").put([], for: "a")
                return count
            }
            let thin = JobClosure("thin") { (step: Int, context) -> Int in
                let table = try context.table("numbers")
                for number in stride(from: 0, to: 1_000, by: step) {
                    try table.delete([UInt8(number >> 8), UInt8(number & 0xFF)])
                }
                return step
            }
            try await store.numbers("fill", [1_000])
            try await makeRunner(store, [fill, thin]).run {}
            func keys(from start: [UInt8]? = nil) throws -> [Int] {
                var keys: [Int] = []
                try store.table("numbers").forEach(from: start) { key, _ in
                    keys.append(Int(key[0]) << 8 | Int(key[1]))
                    return keys.count < 900
                }
                return keys
            }
            #expect(try keys() == Array(0..<900))
            #expect(try keys(from: [3, 0]) == Array(768..<1_000))
            try await store.numbers("thin", [2])
            try await makeRunner(store, [fill, thin]).run {}
            #expect(try keys() == Array(stride(from: 1, to: 1_000, by: 2)))
            #expect(try store.table("numbers").value(for: "\u{0}\u{5}", as: Int.self) == 5)
        }
    }

    @Test("bad names and keys are refused with what is allowed")
    func bounds() async throws {
        try await withStore { store in
            #expect(throws: EffectError.invalidTable("a b")) { try store.table("a b") }
            let table = try store.table("t")
            #expect(throws: EffectError.invalidKey(table: "t", bytes: 0)) {
                try table.bytes(for: "")
            }
            #expect(throws: EffectError.invalidKey(table: "t", bytes: 447)) {
                try table.bytes(for: [UInt8](repeating: 1, count: 447))
            }
            let job = JobClosure("job", retryPolicy: .never) { (_: Int, context) -> Int in
                let longest = String(repeating: "x", count: 64)
                try context.table(longest).put([1], for: [UInt8](repeating: 255, count: 446))
                return 1
            }
            let much = JobClosure("much", retryPolicy: .never) { (_: Int, context) -> Int in
                for number in 0..<3 {
                    try context.table("t").put(
                        [UInt8](repeating: 1, count: 30 << 20), for: "\(number)")
                }
                return 1
            }
            let fits = try await store.numbers("job", [1])[0]
            let fails = try await store.numbers("much", [1])[0]
            try await makeRunner(store, [job, much]).run {}
            #expect(try store.outcome(of: fits.id)?.kind == .succeeded)
            #expect(
                try store.outcome(of: fails.id)?.failure?.message.contains("several jobs") == true)
            #expect(try store.table("t").bytes(for: "0") == nil)
        }
    }

    @Test("effects for which a full store has no room fail their attempt, and only theirs")
    func full() async throws {
        try await withStore(configure: { $0.byteLimit = 64 << 20 }) { store in
            let fill = JobClosure("fill", retryPolicy: .never) { (megabytes: Int, context) -> Int in
                if megabytes > 0 {
                    try context.table("t").put(
                        [UInt8](repeating: 1, count: megabytes << 20), for: "\(context.id)")
                }
                return megabytes
            }
            let jobs = try await store.numbers("fill", [30, 0, 40, 0])
            try await makeRunner(store, [fill]).run {}
            let kinds = try jobs.map { try store.outcome(of: $0.id)?.kind }
            #expect(kinds == [.succeeded, .succeeded, .failed, .succeeded])
            let failure = try #require(try store.outcome(of: jobs[2].id)?.failure)
            #expect(failure.message.contains("full"))
        }
    }
}
