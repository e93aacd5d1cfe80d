import CYardsticks
import Foundation

/// The C yardsticks, with their errors thrown.
enum Yardsticks {
    /// An error number of the system, or of LMDB (negative), and what was running.
    struct Failure: Error, CustomStringConvertible {
        var yardstick: String
        var code: Int32
        var description: String { "the \(yardstick) failed with code \(code)" }
    }

    /// What a loop over many jobs came to.
    struct Loop {
        var jobsPerSecond: Figure
        var cpuPerJob: Figure

        fileprivate init(_ cost: loop_cost, jobs: Int) {
            self.init(seconds: cost.seconds, cpuSeconds: cost.cpu_seconds, jobs: jobs)
        }

        init(seconds: Double, cpuSeconds: Double, jobs: Int) {
            jobsPerSecond = Figure(Double(jobs) / seconds, .perSecond)
            cpuPerJob = Figure(cpuSeconds / Double(jobs) * 1e9, .nanoseconds)
        }
    }

    /// Jobs a transaction, or a write, of both loops.
    static let batch = 10_000

    static func recordLoop(_ setup: Setup, jobs: Int, payload: Int, result: Int) throws -> Loop {
        var cost = loop_cost()
        try setup.withPath("record-loop") { path in
            let code = record_loop(path, UInt64(jobs), UInt64(batch), payload, result, &cost)
            try check(code, "record loop")
        }
        return Loop(cost, jobs: jobs)
    }

    /// - Parameter bytesPerJob: in the log, what lies beside the payload included.
    static func uniqueLoop(
        _ setup: Setup, jobs: Int, bytesPerJob: Int, isScattered: Bool
    ) throws -> Loop {
        var cost = loop_cost()
        try setup.withPath("unique-loop") { path in
            // Blocks of about 64 KiB, and rows of 24 bytes.
            let block = UInt64(65_536 / bytesPerJob)
            let code = unique_loop(
                path, UInt64(jobs), UInt64(batch), block, bytesPerJob, 24, isScattered ? 1 : 0,
                &cost)
            try check(code, "loop of unique keys")
        }
        return Loop(cost, jobs: jobs)
    }

    static func byteLoop(_ setup: Setup, jobs: Int, bytesPerJob: Int) throws -> Loop {
        var cost = loop_cost()
        try setup.withPath("byte-loop") { path in
            try check(
                byte_loop(path, UInt64(jobs), UInt64(batch), bytesPerJob, &cost), "byte loop")
        }
        return Loop(cost, jobs: jobs)
    }

    static func commitLatency(_ setup: Setup, count: Int, payload: Int) throws -> Latencies {
        var samples = [UInt64](repeating: 0, count: count)
        try setup.withPath("commit") { path in
            try check(commit_latency(path, count, payload, &samples), "single commit")
        }
        return Latencies(nanoseconds: samples)
    }

    static func groupCommit(
        _ setup: Setup, callers: Int, rounds: Int, payload: Int
    ) throws -> (loop: Loop, latencies: Latencies) {
        var cost = loop_cost()
        var samples = [UInt64](repeating: 0, count: callers * rounds)
        try setup.withPath("group-commit") { path in
            try check(
                group_commit(path, callers, rounds, payload, &cost, &samples), "group commit")
        }
        return (Loop(cost, jobs: callers * rounds), Latencies(nanoseconds: samples))
    }

    /// The wake, from before the call to the sleeper's first instruction; and the call alone.
    static func wakeLatency(count: Int) throws -> (wake: Latencies, call: Latencies) {
        var samples = [UInt64](repeating: 0, count: count)
        var calls = samples
        try check(wake_latency(count, &samples, &calls), "futex wake")
        return (Latencies(nanoseconds: samples), Latencies(nanoseconds: calls))
    }

    /// A question to another process, and its answer.
    static func processRoundTrip(count: Int) throws -> Latencies {
        var samples = [UInt64](repeating: 0, count: count)
        try check(process_round_trip(count, &samples), "round trip to a process")
        return Latencies(nanoseconds: samples)
    }

    /// Runs a program to its end, its output thrown away; fails unless it exits with 0.
    /// - Returns: the nanoseconds from just before its start to its end.
    static func run(
        _ program: String, _ arguments: [String] = [], input: String = "/dev/null"
    ) throws -> UInt64 {
        var nanoseconds: UInt64 = 0
        var status: Int32 = 0
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        try check(run_program(program, words, input, &nanoseconds, &status), program)
        if status != 0 { throw Failure(yardstick: program, code: status) }
        return nanoseconds
    }

    private static func check(_ code: Int32, _ yardstick: String) throws {
        if code != 0 { throw Failure(yardstick: yardstick, code: code) }
    }
}
