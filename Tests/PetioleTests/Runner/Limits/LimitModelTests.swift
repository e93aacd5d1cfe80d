import Synchronization
import Testing

@testable import Petiole

/// Draws limits, keys and failures, runs all of it on several threads, and keeps count of what runs.
@Suite("Limits, drawn at random") struct LimitModelTests {
    private final class Watch: Sendable {
        struct State {
            var perType: [String: Int] = [:]
            var perKey: [String: Int] = [:]
            var total = 0
            var problems: [String] = []
            var runs: [String: [Int]] = [:]
        }
        let state = Mutex(State())

        func enter(_ name: String, _ key: String?, _ number: Int, _ limits: JobLimits) {
            state.withLock { state in
                state.total += 1
                state.perType[name, default: 0] += 1
                if let bound = limits.concurrency, state.perType[name]! > bound {
                    state.problems.append("\(state.perType[name]!) of \(name) at once")
                }
                guard let key else { return }
                let name = "\(name)/\(key)"
                state.perKey[name, default: 0] += 1
                let bound = limits.isOrderedPerKey ? 1 : limits.concurrencyPerKey
                if let bound, state.perKey[name]! > bound {
                    state.problems.append("\(state.perKey[name]!) of \(name) at once")
                }
                if limits.isOrderedPerKey { state.runs[name, default: []].append(number) }
            }
        }

        func leave(_ name: String, _ key: String?) {
            state.withLock { state in
                state.total -= 1
                state.perType[name]! -= 1
                if let key { state.perKey["\(name)/\(key)"]! -= 1 }
            }
        }
    }

    private struct Payload: Codable, Sendable {
        var number: Int
        var key: String?
        var failures: Int
    }

    @Test(
        "of jobs with random limits, keys and failures all end, and no limit is ever exceeded",
        arguments: [UInt64(1), 2, 3, 4, 5, 6])
    func all(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let watch = Watch()
        var closures: [JobClosure] = []
        var names: [String] = []
        for index in 0..<Int.random(in: 2...4, using: &random) {
            let name = "type-\(index)"
            var limits = JobLimits()
            if Bool.random(using: &random) {
                limits.concurrency = .random(in: 1...3, using: &random)
            }
            limits.isOrderedPerKey = Bool.random(using: &random)
            if !limits.isOrderedPerKey, Bool.random(using: &random) {
                limits.concurrencyPerKey = .random(
                    in: 1...(limits.concurrency ?? 2), using: &random)
            }
            limits.isFairPerKey = Bool.random(using: &random)
            if Bool.random(using: &random) {
                limits.rate = RateLimit(1, per: .milliseconds(1), burst: 20)
            }
            names.append(name)
            let drawn = limits
            closures.append(
                JobClosure(
                    name,
                    retryPolicy: RetryPolicy(
                        maxAttempts: 5, backoff: .constant(.milliseconds(1))),
                    limits: drawn
                ) { (payload: Payload, context) -> Int in
                    watch.enter(name, payload.key, payload.number, drawn)
                    defer { watch.leave(name, payload.key) }
                    if context.attempt <= payload.failures { throw Refusal() }
                    return payload.number
                })
        }
        try await withStore { store in
            let jobs = try await draw(300, names, &random, store)
            let runner = try makeRunner(store, closures, workers: 4) {
                if seed % 2 == 0 {
                    $0.queueOptions["default"] = JobRunner.QueueOptions(concurrency: 3)
                }
            }
            try await runner.run { for job in jobs { _ = try await job.result } }
            let state = watch.state.withLock { $0 }
            #expect(state.problems == [])
            #expect(state.total == 0)
            for (key, runs) in state.runs {
                // A job's attempts follow each other, and the jobs their order.
                #expect(runs == runs.sorted(), "\(key)")
            }
            #expect(try store.counts().succeeded == 300)
        }
    }

    private func draw(
        _ count: Int, _ names: [String], _ random: inout SeededRandom, _ store: JobStore
    ) async throws -> [JobHandle<Int>] {
        var jobs: [JobHandle<Int>] = []
        for number in 0..<count {
            let key = Int.random(in: 0...6, using: &random)
            let name = names.randomElement(using: &random)!
            let payload = Payload(
                number: number, key: key == 0 ? nil : "\(key)",
                failures: Int.random(in: 0...9, using: &random) < 2 ? 1 : 0)
            jobs.append(
                try await store.enqueue(
                    name: name, payload: payload, output: Int.self,
                    options: EnqueueOptions(limitKey: payload.key)))
        }
        return jobs
    }
}
