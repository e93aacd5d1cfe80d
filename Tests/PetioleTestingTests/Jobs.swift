import Petiole
import Synchronization

/// What the tests of the test kit run: as a user would write it, with public declarations alone.
struct Resize: Job, Equatable {
    static let jobName = "images.resize"
    static let queue = "images"

    struct Unreadable: Error, CustomStringConvertible { let description = "it cannot be read" }

    var path: String
    var width = 320

    func run(_ context: JobContext) throws -> Int {
        if path.hasSuffix(".txt") { throw Unreadable() }
        try context.enqueue(Publish(path: path))
        return width
    }
}

struct Publish: AsyncJob, Equatable {
    var path: String
    func run(_ context: JobContext) async throws -> String { "https://example.org/\(path)" }
}

/// Gives a number, after others have given theirs.
struct Sum: Job {
    var depth: Int
    func run(_ context: JobContext) throws -> Int {
        if depth == 0 { return 1 }
        let parts = try (0..<2).map { _ in
            try context.store.enqueueBlocking(Sum(depth: depth - 1))
        }
        return try parts.reduce(1) { try $0 + context.result(of: $1) }
    }
}

struct AsyncSum: AsyncJob {
    var depth: Int
    func run(_ context: JobContext) async throws -> Int {
        if depth == 0 { return 1 }
        let first = try await context.store.enqueue(AsyncSum(depth: depth - 1))
        let second = try await context.store.enqueue(AsyncSum(depth: depth - 1))
        async let one = first.result
        async let two = second.result
        return try await 1 + one + two
    }
}

enum Bytes: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(payload)
    }
}

/// A value that can be written and not read.
struct OneWay: Codable, Equatable, Sendable {
    var number: Int
    init(_ number: Int) { self.number = number }
    init(from decoder: any Decoder) throws {
        throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: [], debugDescription: "it cannot be read back"))
    }
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}

struct GivesOneWay: Job {
    var number: Int
    func run(_ context: JobContext) throws -> OneWay { OneWay(number) }
}

/// What jobs leave behind, in the order in which they did.
final class Notes: Sendable {
    private let list = Mutex<[Int]>([])
    func add(_ number: Int) { list.withLock { $0.append(number) } }
    var all: [Int] { list.withLock { $0 } }

    /// A job type that notes its number.
    var job: JobClosure {
        JobClosure("note") { [self] (number: Int, _) -> Int in
            add(number)
            return number
        }
    }
}

struct NoNetwork: Error, CustomStringConvertible { let description = "no network" }
