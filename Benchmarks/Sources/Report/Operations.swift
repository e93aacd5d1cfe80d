import CYardsticks
import Foundation
import Petiole
import Synchronization

/// What is done to many jobs at once: how long it takes, and what it takes from the others.
extension Family {
    static let operations = Family(name: "operations") { setup in
        try await [cancelByTag(setup)] + besideOthers(setup) + [fileSize(setup)]
    }

    private static func cancelByTag(_ setup: Setup) async throws -> Row {
        let jobs = setup.count(1_000_000, quick: 100_000)
        var seconds: [Double] = []
        for _ in 0..<setup.rounds {
            try await setup.withPath("cancel") { path in
                let store = try JobStore(at: path)
                defer { store.close() }
                try await enqueue(jobs, tags: ["import"], in: store)
                try await enqueue(jobs, tags: ["export"], in: store)
                let start = now_nanoseconds()
                let counts = try await store.cancel(matching: tagged("import"))
                seconds.append(Double(now_nanoseconds() - start) * 1e-9)
                guard counts.cancelled == jobs else { throw WrongResult(job: 0) }
            }
        }
        return Row(
            name: "cancel of \(jobs.formatted()) waiting jobs by tag, beside as many others",
            figure: Figure(seconds.min()!, .seconds), target: .atMost(Figure(20, .seconds)))
    }

    /// Jobs that do nothing are enqueued and run all the while; how many of them end a second, while nothing else goes on and
    /// while a million others are pruned, and while a million are purged.
    private static func besideOthers(_ setup: Setup) async throws -> [Row] {
        let jobs = setup.count(1_000_000, quick: 100_000)
        var rates: [[Double]] = []
        for _ in 0..<setup.rounds {
            rates.append(
                try await setup.withPath("others") { path in
                    let store = try JobStore(at: path)
                    defer { store.close() }
                    return try await ratesOfOthers(jobs, in: store)
                })
        }
        func best(_ place: Int) -> Figure {
            Figure(rates.map { $0[place] }.max()!, .perSecond)
        }
        let alone = Yardstick("nothing else goes on", best(0))
        return [
            Row(
                name: "jobs that end while \(jobs.formatted()) others are pruned", figure: best(1),
                yardstick: alone, target: .timesYardstickAtLeast(0.5)),
            Row(
                name: "jobs that end while \(jobs.formatted()) waiting ones are purged",
                figure: best(2), yardstick: alone, target: .timesYardstickAtLeast(0.5)),
        ]
    }

    private static func ratesOfOthers(_ jobs: Int, in store: JobStore) async throws -> [Double] {
        try await enqueue(jobs, tags: ["done"], in: store)
        try await JobRunner(store, jobs: [Noop.self]).run {}
        try await enqueue(jobs, tags: ["waiting"], in: store, queue: "waiting")
        let others = Others()
        return try await JobRunner(store, jobs: [Noop.self]).run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<Enqueuers.tasks {
                    group.addTask { try await others.goOn(in: store) }
                }
                defer { others.stop() }
                return [
                    try await others.rate { try await Task.sleep(for: .seconds(1)) },
                    try await others.rate {
                        let pruned = try await store.prune(olderThan: .zero)
                        guard pruned >= jobs else { throw WrongResult(job: 0) }
                    },
                    try await others.rate {
                        let purged = try await store.purge(tagged("waiting"))
                        guard purged.deleted == jobs else { throw WrongResult(job: 0) }
                    },
                ]
            }
        }
    }

    private static func fileSize(_ setup: Setup) async throws -> Row {
        let jobs = setup.count(1_000_000, quick: 50_000)
        return try await setup.withPath("cycles") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            var sizes: [Double] = []
            for _ in 0..<10 {
                try await enqueue(jobs, tags: [], in: store)
                try await JobRunner(store, jobs: [Noop.self]).run {}
                guard try await store.prune(olderThan: .zero) == jobs else {
                    throw WrongResult(job: 0)
                }
                let attributes = try FileManager.default.attributesOfItem(
                    atPath: path + "/data.mdb")
                sizes.append((attributes[.size] as! NSNumber).doubleValue / 1_048_576)
            }
            return Row(
                name: "the store's file after 10 times \(jobs.formatted()) jobs, run and pruned",
                figure: Figure(sizes[9], .mebibytes),
                yardstick: Yardstick("after 2 times", Figure(sizes[1], .mebibytes)),
                target: .timesYardstickAtMost(1.2))
        }
    }

    private static func tagged(_ tag: String) -> JobFilter {
        var filter = JobFilter()
        filter.tag = tag
        return filter
    }

    private static func enqueue(
        _ jobs: Int, tags: [String], in store: JobStore, queue: String? = nil
    ) async throws {
        let options = EnqueueOptions(
            queue: queue, metadata: tags.isEmpty ? nil : JobMetadata(tags: tags))
        _ = try await Enqueuers.run(jobs) { numbers in
            try await store.enqueue(
                Noop.self, count: numbers.count, options: options
            ) { index, bytes in Noop.write(numbers.lowerBound + index, to: &bytes) }
        }
    }
}

/// Jobs that others enqueue and wait for, 10,000 at a time, from several tasks.
private final class Others: Sendable {
    private let isStopped = Atomic(false)
    private let ended = Atomic(0)

    func goOn(in store: JobStore) async throws {
        while !isStopped.load(ordering: .relaxed) {
            let batch = try await store.enqueue(Noop.self, count: Yardsticks.batch) {
                index, bytes in Noop.write(index, to: &bytes)
            }
            _ = try await batch[batch.count - 1].result
            ended.wrappingAdd(batch.count, ordering: .relaxed)
        }
    }

    func stop() { isStopped.store(true, ordering: .relaxed) }

    /// How many have ended a second while `body` runs.
    func rate(_ body: () async throws -> Void) async throws -> Double {
        let before = ended.load(ordering: .relaxed)
        let start = now_nanoseconds()
        try await body()
        let seconds = Double(now_nanoseconds() - start) * 1e-9
        return Double(ended.load(ordering: .relaxed) - before) / seconds
    }
}
