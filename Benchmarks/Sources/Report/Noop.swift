import Petiole

/// A job that does nothing: 100 bytes in, 16 bytes out, so that each result can be checked.
enum Noop: RawJob {
    static let payloadBytes = 100
    static let resultBytes = 16
    private static let filler = [UInt8](repeating: 0x5a, count: payloadBytes - 8)

    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(littleEndian: context.id.rawValue)
        result.append(littleEndian: payload.unsafeLoadUnaligned(as: UInt64.self))
    }

    /// The payload that carries `number`.
    static func write(_ number: Int, to bytes: inout PayloadBytes) {
        bytes.append(littleEndian: UInt64(number))
        bytes.append(contentsOf: filler)
    }

    static func payload(_ number: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt64(number).littleEndian) { Array($0) } + filler
    }

    /// Jobs that were accepted together: the first id, and the number that the first carries.
    struct Batch {
        var first: UInt64
        var number: Int
        var count: Int
    }

    /// Enqueues jobs that carry the numbers from 0, from four tasks, 10,000 a call.
    static func enqueue(_ count: Int, in store: JobStore) async throws -> [Batch] {
        try await Enqueuers.run(count) { numbers in
            let jobs = try await store.enqueue(Noop.self, count: numbers.count) { index, bytes in
                write(numbers.lowerBound + index, to: &bytes)
            }
            return Batch(
                first: jobs[0].id.rawValue, number: numbers.lowerBound, count: numbers.count)
        }
    }

    /// Fails unless each job of the batches has succeeded with its own id and number.
    static func check(_ batches: [Batch], in store: JobStore) throws {
        for batch in batches {
            var seen = 0
            try store.forEachOutcome(
                from: JobID(rawValue: batch.first),
                through: JobID(rawValue: batch.first + UInt64(batch.count) - 1)
            ) { id, kind, result in
                guard kind == .succeeded, result.byteCount == resultBytes,
                    id.rawValue == batch.first + UInt64(seen),
                    result.unsafeLoadUnaligned(as: UInt64.self) == id.rawValue,
                    result.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt64.self)
                        == UInt64(batch.number + seen)
                else { return false }
                seen += 1
                return true
            }
            guard seen == batch.count else {
                throw WrongResult(job: batch.first + UInt64(seen))
            }
        }
    }
}

/// A job's outcome is missing, or not what its payload asks for.
struct WrongResult: Error, CustomStringConvertible {
    var job: UInt64
    var description: String { "job \(job) has no result, or a wrong one" }
}

/// Producers side by side.
enum Enqueuers {
    /// Enough that one gathers while another waits for the disk.
    static let tasks = 4

    /// Splits `0..<count` into batches of ``Yardsticks/batch`` and hands them to `enqueue`, from several tasks.
    static func run<Value: Sendable>(
        _ count: Int, _ enqueue: @escaping @Sendable (Range<Int>) async throws -> Value
    ) async throws -> [Value] {
        let size = Yardsticks.batch
        return try await withThrowingTaskGroup(of: [Value].self) { group in
            for task in 0..<tasks {
                group.addTask {
                    var values: [Value] = []
                    for first in stride(from: task * size, to: count, by: tasks * size) {
                        values.append(try await enqueue(first..<min(first + size, count)))
                    }
                    return values
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
    }
}
