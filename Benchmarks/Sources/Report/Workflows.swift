import CYardsticks
import Foundation
import Petiole
import Synchronization

/// What it costs that jobs follow from each other: a chord of a million members beside as many jobs that do not, and the way
/// from one step of a chain to the next beside a commit.
extension Family {
    static let workflows = Family(name: "workflows") { setup in
        try await [chord(setup), memory(setup), chain(setup)]
    }

    private static func chord(_ setup: Setup) async throws -> Row {
        let members = setup.count(1_000_000, quick: 100_000)
        var plain: [Yardsticks.Loop] = []
        var ours: [Yardsticks.Loop] = []
        for _ in 0..<setup.rounds {
            plain.append(
                try await setup.withPath("plain") { path in
                    let store = try JobStore(at: path)
                    defer { store.close() }
                    let runner = try JobRunner(store, jobs: [Noop.self])
                    return try await Yardsticks.Loop.measure(jobs: members) {
                        try await runner.run { _ = try await Noop.enqueue(members, in: store) }
                    }.0
                })
            ours.append(
                try await setup.withPath("chord") { path in
                    let store = try JobStore(at: path)
                    defer { store.close() }
                    return try await Yardsticks.Loop.measure(jobs: members) {
                        try await Chord.run(members, in: store)
                    }.0
                })
        }
        return Row(
            name: "a chord of \(members.formatted()) no-op members, all results read in order",
            figure: ours.fastest.jobsPerSecond,
            yardstick: Yardstick("as many jobs, end to end", plain.fastest.jobsPerSecond),
            target: .timesYardstickAtLeast(0.5))
    }

    /// Of a process that does nothing else, the most that was seen every 10 ms.
    private static func memory(_ setup: Setup) async throws -> Row {
        let members = setup.count(1_000_000, quick: 100_000)
        return try await setup.withPath("chord-memory") { path in
            try JobStore(at: path).close()
            let child = try ChildProcess(.chord, store: path, count: members)
            let most = Double(try child.line()) ?? .infinity
            try child.end()
            return Row(
                name: "private memory of a process that runs such a chord, at most",
                figure: Figure(most, .mebibytes),
                target: .atMost(Figure(64, .mebibytes)))
        }
    }

    private static func chain(_ setup: Setup) async throws -> Row {
        let steps = setup.count(10_000, quick: 1_000)
        var commits: [Latencies] = []
        var ours: [Double] = []
        for _ in 0..<setup.rounds {
            commits.append(
                try Yardsticks.commitLatency(setup, count: 2_000, payload: Noop.payloadBytes))
            ours.append(
                try await setup.withPath("chain") { path in
                    let store = try JobStore(at: path)
                    defer { store.close() }
                    var chain = Workflow(First())
                    for _ in 1..<steps { chain = chain.then(Next()) }
                    let whole = chain
                    let handle = try await store.enqueue(whole)
                    let runner = try JobRunner(store, jobs: [First.self, Next.self])
                    return try await runner.run {
                        let start = now_nanoseconds()
                        guard try await handle.result == steps else { throw WrongResult(job: 0) }
                        return Double(now_nanoseconds() - start) / Double(steps)
                    }
                })
        }
        return Row(
            name: "a chain of \(steps.formatted()) steps, from one to the next, mean",
            figure: Figure(ours.min()! / 1_000, .microseconds),
            yardstick: Yardstick(
                "one LMDB commit with fsync, mean",
                commits.map { $0.mean }.min { $0.value < $1.value }!),
            target: .timesYardstickAtMost(2))
    }
}

/// A group of no-op jobs, and a job that looks at all their results.
enum Chord {
    struct End: CollectingJob {
        var members: Int

        func run(_ results: MemberResults<[UInt8]>, _ context: JobContext) throws -> Int {
            var next = 0
            for result in results {
                let bytes = try result.get()
                let number = bytes.withUnsafeBytes {
                    $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                }
                guard number == UInt64(next) else { throw WrongResult(job: number) }
                next += 1
            }
            return next
        }
    }

    static func run(_ members: Int, in store: JobStore) async throws {
        let runner = try JobRunner(store, jobs: [Noop.self, End.self])
        try await runner.run {
            let group = Group(Noop.self, count: members) { Noop.write($0, to: &$1) }
            let chord = try await store.enqueue(group.then(End(members: members)))
            guard try await chord.result == members else { throw WrongResult(job: 0) }
        }
    }
}

private struct First: Job {
    func run(_ context: JobContext) throws -> Int { 1 }
}

private struct Next: FollowingJob {
    func run(_ input: Int, _ context: JobContext) throws -> Int { input + 1 }
}

/// The most private memory that this process has had since, looked at every 5 ms by a thread of its own.
final class OwnMemory: Sendable {
    private let kibibytes = Atomic(0)

    init() {
        let thread = Thread { [kibibytes = Weak(self)] in
            while let memory = kibibytes.object {
                let now = Self.now()
                // Relaxed: nothing else depends on it.
                if now > memory.kibibytes.load(ordering: .relaxed) {
                    memory.kibibytes.store(now, ordering: .relaxed)
                }
                Thread.sleep(forTimeInterval: 0.005)
            }
        }
        thread.start()
    }

    /// In MiB.
    var most: Double { Double(kibibytes.load(ordering: .relaxed)) / 1_024 }

    private static func now() -> Int {
        guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("RssAnon:") }),
            let number = line.split(whereSeparator: { $0 == "\t" || $0 == " " }).dropFirst().first
        else { return 0 }
        return Int(number) ?? 0
    }

    private struct Weak: Sendable {
        weak let object: OwnMemory?
        init(_ object: OwnMemory) { self.object = object }
    }
}
