import Petiole

/// What millions of waiting jobs cost those who open the store, run it, or add to it.
extension Family {
    static let backlog = Family(name: "backlog") { setup in
        let small = setup.count(1_000_000, quick: 100_000)
        let large = setup.count(10_000_000, quick: 500_000)
        let opening = try await setup.withPath("waiting") { path in
            try await fill(path, small)
            return [try openRow(path, "\(small.formatted()) waiting jobs")]
        }
        return try await setup.withPath("many-waiting") { path in
            try await fill(path, large)
            var rows = opening + [try openRow(path, "\(large.formatted()) waiting jobs")]
            rows += try await enqueueRows(setup, path, large)
            // Last: it leaves attempts behind that did not end.
            rows.append(try await memoryRow(setup, path, large))
            return rows
        }
    }

    private static func fill(_ path: String, _ jobs: Int) async throws {
        let store = try JobStore(at: path)
        defer { store.close() }
        _ = try await Noop.enqueue(jobs, in: store)
    }

    /// Each time in a fresh process, timed there.
    static func openRow(_ path: String, _ what: String) throws -> Row {
        let samples = try (0..<9).map { _ in
            let child = try ChildProcess(.open, store: path)
            let nanoseconds = UInt64(try child.line())
            try child.end()
            return nanoseconds ?? 0
        }
        let median = Latencies(nanoseconds: samples).percentile(50).value
        return Row(
            name: "opening a store, \(what), p50",
            figure: Figure(median / 1_000, .milliseconds),
            target: .atMost(Figure(20, .milliseconds)))
    }

    /// The same enqueues into the full store and into an empty one, in turn.
    private static func enqueueRows(
        _ setup: Setup, _ path: String, _ jobs: Int
    ) async throws -> [Row] {
        let count = setup.count(1_000, quick: 200)
        let many = setup.count(500_000, quick: 100_000)
        var empty: [Latencies] = []
        var full: [Latencies] = []
        var emptyBulk: [Yardsticks.Loop] = []
        var fullBulk: [Yardsticks.Loop] = []
        func measure(
            _ path: String, _ lone: inout [Latencies], _ bulk: inout [Yardsticks.Loop]
        ) async throws {
            let store = try JobStore(at: path)
            defer { store.close() }
            lone.append(try await loneEnqueues(count, in: store))
            let (loop, _) = try await Yardsticks.Loop.measure(jobs: many) {
                try await Noop.enqueue(many, in: store)
            }
            bulk.append(loop)
        }
        for _ in 0..<setup.rounds {
            try await setup.withPath("empty") { path in
                try await measure(path, &empty, &emptyBulk)
            }
            try await measure(path, &full, &fullBulk)
        }
        return [
            Row(
                name: "one durable enqueue, \(jobs.formatted()) waiting jobs, p50",
                figure: full.least(50), yardstick: Yardstick("empty store", empty.least(50)),
                target: .timesYardstickAtMost(1.3)),
            Row(
                name: "bulk enqueue, \(jobs.formatted()) waiting jobs, CPU a job",
                figure: fullBulk.fastest.cpuPerJob,
                yardstick: Yardstick("empty store", emptyBulk.fastest.cpuPerJob),
                target: .timesYardstickAtMost(1.3)),
        ]
    }

    /// A runner whose two workers have just begun: on the full store, and on one with two jobs.
    private static func memoryRow(_ setup: Setup, _ path: String, _ jobs: Int) async throws -> Row {
        func memory(_ path: String) throws -> Figure {
            let child = try ChildProcess(.hold, store: path)
            defer { child.kill() }
            _ = try child.line()
            return try child.privateMemory()
        }
        let few = try await setup.withPath("two-waiting") { path in
            try await fill(path, 2)
            return try memory(path)
        }
        return Row(
            name: "a runner's private memory, \(jobs.formatted()) waiting jobs",
            figure: try memory(path), yardstick: Yardstick("2 jobs", few), target: .yardstickPlus(8)
        )
    }
}
