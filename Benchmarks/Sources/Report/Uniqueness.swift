import CYardsticks
import Petiole

/// Enqueue in bulk of jobs that have a unique key each, none of them taken; nothing running.
extension Family {
    static let uniqueness = Family(name: "uniqueness") { setup in
        let jobs = setup.count(3_000_000, quick: 200_000)
        var rows: [Row] = []
        for (isScattered, order) in [(false, "in order"), (true, "scattered")] {
            var loops: [Yardsticks.Loop] = []
            var ours: [Yardsticks.Loop] = []
            for _ in 0..<setup.rounds {
                loops.append(
                    try Yardsticks.uniqueLoop(
                        setup, jobs: jobs, bytesPerJob: bytesPerJob, isScattered: isScattered))
                ours.append(try await enqueue(jobs, isScattered: isScattered, setup))
            }
            rows += [
                Row(
                    name: "bulk enqueue, durable, a unique key each, \(order)",
                    figure: ours.fastest.jobsPerSecond,
                    yardstick: Yardstick(
                        "blocks and a row a job in C", loops.fastest.jobsPerSecond),
                    target: .timesYardstickAtLeast(0.8)),
                Row(
                    name: "the same, CPU a job over all threads", figure: ours.fastest.cpuPerJob,
                    yardstick: Yardstick("blocks and a row a job in C", loops.fastest.cpuPerJob)),
            ]
        }
        return rows
    }

    /// An entry, the options with the key, the payload.
    private static let bytesPerJob = 24 + 2 + 3 + 9 + 12 + Noop.payloadBytes

    private static func enqueue(
        _ jobs: Int, isScattered: Bool, _ setup: Setup
    ) async throws -> Yardsticks.Loop {
        try await setup.withPath("unique") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            let (loop, accepted) = try await Yardsticks.Loop.measure(jobs: jobs) {
                try await Enqueuers.run(jobs) { numbers in
                    try await store.enqueue(
                        Noop.self, count: numbers.count,
                        uniqueness: { Uniqueness(key: key(numbers.lowerBound + $0, isScattered)) }
                    ) { index, bytes in
                        Noop.write(numbers.lowerBound + index, to: &bytes)
                    }.acceptedCount
                }
            }
            guard accepted.reduce(0, +) == jobs else { throw WrongResult(job: 0) }
            return loop
        }
    }

    /// Twelve digits: of the place, or of its number among the scattered.
    private static func key(_ place: Int, _ isScattered: Bool) -> String {
        var number = isScattered ? scattered_number(UInt64(place)) : UInt64(place)
        return String(unsafeUninitializedCapacity: 12) { digits in
            for index in (0..<12).reversed() {
                digits[index] = UInt8(0x30 + number % 10)
                number /= 10
            }
            return 12
        }
    }
}
