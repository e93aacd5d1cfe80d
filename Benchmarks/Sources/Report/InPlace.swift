import CYardsticks
import Petiole
import Synchronization

/// A large payload is read where it lies: what a raw job costs does not grow with it.
extension Family {
    static let inPlace = Family(name: "in-place") { setup in
        let count = setup.count(256, quick: 64)
        let moments = try await setup.withPath("in-place") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            // In turn, so that both kinds meet the same conditions; each lies in a block of its own.
            let payloads = [1 << 10, 1 << 20].map { [UInt8](repeating: 7, count: $0) }
            let jobs = try await store.enqueue(
                Edges.self, payloads: (0..<2 * count).lazy.map { payloads[$0 % 2] })
            // Reads every byte once, so that the page faults of the map are no part of what is timed.
            for job in jobs { _ = try store.details(of: job.id) }
            Edges.moments.withLock { $0.reserveCapacity(2 * count) }
            var options = JobRunner.Options()
            options.workers = 1
            try await JobRunner(store, jobs: [Edges.self], options: options).run {}
            return Edges.moments.withLock { $0 }
        }
        guard moments.count == 2 * count else { throw WrongResult(job: UInt64(moments.count)) }
        let small = Edges.medians(moments, bytes: 1 << 10)
        let large = Edges.medians(moments, bytes: 1 << 20)
        return [
            Row(
                name: "allocated while a raw job has 1 MiB, p50", figure: large.allocated,
                yardstick: Yardstick("1 KiB", small.allocated), target: .yardstickPlus(1.0 / 16)),
            Row(
                name: "from one raw job's end to the start of one of 1 MiB, p50",
                figure: large.before,
                yardstick: Yardstick("1 KiB", small.before), target: .timesYardstickAtMost(1.5)),
        ]
    }
}

/// Reads the first and the last byte of its payload, and notes the time and what is allocated meanwhile.
private enum Edges: RawJob {
    struct Moment {
        var bytes: Int
        var start: UInt64
        var end: UInt64
        var allocated: Int
    }
    /// Has room for all, so that noting allocates nothing.
    static let moments = Mutex<[Moment]>([])

    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        let start = now_nanoseconds()
        let last = payload.byteCount - 1
        result.append(littleEndian: payload.unsafeLoad(as: UInt8.self))
        result.append(littleEndian: payload.unsafeLoad(fromByteOffset: last, as: UInt8.self))
        let allocated = allocated_bytes()
        moments.withLock {
            $0.append(
                Moment(
                    bytes: payload.byteCount, start: start, end: now_nanoseconds(),
                    allocated: allocated))
        }
    }

    /// What was allocated in jobs of a size, and the time that passed before them.
    static func medians(_ moments: [Moment], bytes: Int) -> (allocated: Figure, before: Figure) {
        let allocated = moments.filter { $0.bytes == bytes }.map(\.allocated).sorted()
        let before = zip(moments, moments.dropFirst())
            .filter { $1.bytes == bytes }.map { $1.start - $0.end }
        return (
            Figure(Double(allocated[allocated.count / 2]) / 1_048_576, .mebibytes),
            Latencies(nanoseconds: before).percentile(50)
        )
    }
}
