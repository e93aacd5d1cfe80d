import Petiole

// The examples of the README and of GettingStarted.md: `ExamplesTests` holds the pages against this file,
// paragraph by paragraph, and runs what is here.

struct CountWords: Job {
    var text: String
    func run(_ context: JobContext) throws -> Int {
        text.split(separator: " ").count
    }
}

struct ResizeImage: Job {
    static let jobName = "images.resize"
    static let queue = "images"
    static let retryPolicy = RetryPolicy(maxAttempts: 6, backoff: .exponential(.seconds(2)))

    var path: String
    var width: Int

    func run(_ context: JobContext) throws -> NoResult {
        try context.checkCancellation()
        return NoResult()
    }
}

struct CountPages: AsyncJob {
    var pages: [String]

    func run(_ context: JobContext) async throws -> Int {
        let parts = try await context.store.enqueue(
            contentsOf: pages.map { CountWords(text: $0) })
        var sum = 0
        for part in parts { sum += try await part.result }
        return sum
    }
}

enum Checksum: RawJob {
    static func run(
        _ payload: RawSpan, result: inout ResultBytes, context: JobContext
    ) throws {
        var sum: UInt64 = 0
        for index in payload.byteOffsets {
            sum &+= UInt64(payload.unsafeLoad(fromByteOffset: index, as: UInt8.self))
        }
        result.append(littleEndian: sum)
    }
}

/// Fails each time.
struct Failing: Job {
    struct NoPaper: Error, CustomStringConvertible { let description = "no paper" }
    static let retryPolicy = RetryPolicy(maxAttempts: 2, backoff: .exponential(.milliseconds(1)))

    func run(_ context: JobContext) throws -> NoResult { throw NoPaper() }
}

enum Examples {
    /// In the working directory: for a process of its own.
    static func firstProgram() async throws {
        let store = try JobStore(at: "words.petiole")
        let runner = try JobRunner(store, jobs: [CountWords.self])
        try await runner.run {
            let job = try await store.enqueue(CountWords(text: "out of the ring"))
            print(try await job.result)
        }
    }

    /// In the working directory: for a process of its own.
    static func retention() throws -> JobStore {
        var options = StoreOptions()
        options.retention = .seconds(86_400)
        options.byteLimit = 8 << 30
        let kept = try JobStore(at: "kept.petiole", options: options)
        return kept
    }

    static func options(_ store: JobStore) async throws {
        let urgent = EnqueueOptions(priority: 0, maxAttempts: 2)
        try await store.enqueue(ResizeImage(path: "cover.png", width: 320), options: urgent)
    }

    static func closures(_ store: JobStore) async throws {
        let double = JobClosure("double") { (number: Int, _) in number * 2 }
        let doubling = try JobRunner(store, jobs: [], closures: [double])
        try await doubling.run {
            let typed = try await store.enqueue(name: "double", payload: 21, output: Int.self)
            let byText = try await store.enqueue(name: "double", json: "4")
            print(try await typed.result, byText)
        }
    }

    static func many(_ store: JobStore) async throws -> EnqueuedJobs<Int> {
        let jobs = try await store.enqueue(
            contentsOf: (1...100_000).lazy.map { CountWords(text: "page \($0)") })
        print(jobs.count, jobs[0].id)
        return jobs
    }

    static func buffered(_ store: JobStore) async throws {
        for number in 1...1_000 {
            try store.enqueue(CountWords(text: "line \(number)"), durability: .buffered)
        }
        try await store.flush()
    }

    static func blocking(_ store: JobStore, _ paths: [String]) throws {
        for path in paths {
            try store.enqueueBlocking(ResizeImage(path: path, width: 320))
        }
    }

    static func byID(_ store: JobStore, _ text: String) async throws -> Int? {
        guard let id = JobID(text) else { return nil }
        let job = store.handle(of: id, as: CountWords.self)
        return try await job.result
    }

    static func failure(
        _ store: JobStore, _ job: JobHandle<NoResult>
    ) async throws -> [FailedAttempt] {
        do {
            print(try await job.result)
        } catch JobError.failed(let id, let attempt, let failure, let isDeadLetter) {
            print("job \(id), attempt \(attempt): \(failure.message)", isDeadLetter)
        }
        let attempts = try store.details(of: job.id).failedAttempts
        return attempts
    }

    static func looking(_ store: JobStore) throws -> JobCounts {
        let counts = try store.counts(queue: "default")
        print(counts.ready, counts.succeeded, counts.deadLetters)

        var filter = JobFilter()
        filter.states = [.deadLetter]
        try store.forEachJob(filter) { job in
            print(job.id, job.name, job.state)
            return true
        }
        return counts
    }

    static func cancelling(_ store: JobStore, _ job: JobHandle<Int>) async throws {
        switch try await store.cancel(job.id) {
        case .cancelled: print("it will not start")
        case .stopping: print("it was asked to stop")
        case .alreadyEnded: print("it had ended")
        }
    }

    static func serving(_ store: JobStore) throws -> JobRunner {
        var serving = JobRunner.Options()
        serving.whenOwned = .standby
        serving.gracePeriod = .seconds(10)
        let server = try JobRunner(store, jobs: [ResizeImage.self], options: serving)
        return server
    }
}
