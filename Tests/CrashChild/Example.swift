import Petiole

// The example of isolation in JobOptions.md, which needs a program of its own: `ExamplesTests` starts it.

struct Thumbnail: Job {
    static let isolation = Isolation.process(maxJobs: 1_000, maxResidentBytes: 1 << 30)
    static let timeLimit: TimeLimit? = TimeLimit(soft: .seconds(50), hard: .seconds(60))

    var image: [UInt8]

    func run(_ context: JobContext) throws -> Int {
        precondition(!image.isEmpty, "there is nothing to decode")
        return image.count
    }
}

enum Example {
    /// What `main.swift` has as its first line.
    static func serve() {
        Petiole.serveChild(jobs: [Thumbnail.self])
    }

    /// Says what became of two jobs.
    static func run(_ store: JobStore) async throws {
        let broken = try await store.enqueue(
            Thumbnail(image: []), options: EnqueueOptions(maxAttempts: 1))
        let whole = try await store.enqueue(Thumbnail(image: [1, 2, 3]))
        try await JobRunner(store, jobs: [Thumbnail.self]).run {}
        say("\(try await whole.result)")
        guard case .ended(let outcome) = try broken.state, let failure = outcome.failure else {
            return
        }
        say(failure.message.contains("there is nothing to decode") ? failure.type : "?")
    }
}
