import Petiole

// Examples of JobOptions.md about what a program says for all its jobs: see `Examples.swift`.

struct TraceContext: EnqueueMiddleware {
    var current: @Sendable () -> String?

    func willEnqueue(_ call: inout EnqueueCall) {
        if call[header: "traceparent"] == nil { call[header: "traceparent"] = current() }
    }
}

struct Span: RunMiddleware {
    @TaskLocal static var parent: String?

    func run(_ attempt: AttemptInfo, _ next: () -> AttemptEnd) {
        Span.$parent.withValue(attempt.metadata.headers["traceparent"]) {
            if case .failed(let error) = next() { print(attempt.name, error) }
        }
    }

    func runAsync(_ attempt: AttemptInfo, _ next: () async -> AttemptEnd) async {
        await Span.$parent.withValue(attempt.metadata.headers["traceparent"]) {
            if case .failed(let error) = await next() { print(attempt.name, error) }
        }
    }
}

/// Says which trace it was run in.
struct Traced: Job {
    func run(_ context: JobContext) -> String { Span.parent ?? "none" }
}

/// A connection that one attempt at a time uses.
final class Database {
    private(set) var rows: [String] = []
    static func connect() throws -> Database { Database() }
    func insert(_ rows: [String]) { self.rows += rows }
    func close() {}
}

struct AddRow: Job {
    var row: String

    func run(_ context: JobContext) throws -> Int {
        let database = try context.resource(Database.self)
        database.insert([row])
        return database.rows.count
    }
}

struct AddRows: BatchJob {
    static let batchLimit = 100
    static let batchWait = Duration.milliseconds(20)
    static let queue = "rows"

    var row: String

    static func run(_ batch: [BatchItem<AddRows>]) throws -> [Result<Int, any Error>] {
        let database = try batch[0].context.resource(Database.self)
        database.insert(batch.map { $0.job.row })
        return batch.map { .success($0.job.row.count) }
    }
}

struct LogIn: Job {
    struct Refused: Error {}
    static let retryPolicy = RetryPolicy.never

    var user: String
    @Secret var password: String

    init(user: String, password: Secret<String>) {
        self.user = user
        _password = password
    }

    func run(_ context: JobContext) throws -> String {
        if password.isEmpty { throw Refused() }
        return "\(self)"
    }
}

struct Urgent: Job {
    func run(_ context: JobContext) throws -> Int {
        try context.enqueue(
            SendReport(month: "now"), options: EnqueueOptions(inheritsPriority: true))
        return context.priority
    }
}

enum HookExamples {
    static func sharing(_ store: JobStore) throws -> JobRunner {
        var sharing = JobRunner.Options()
        sharing.resources = [
            .perWorker(Database.self, make: { try Database.connect() }, close: { $0.close() })
        ]
        let adding = try JobRunner(store, jobs: [AddRow.self, AddRows.self], options: sharing)
        return adding
    }

    /// In the working directory: for a process of its own.
    static func routed(_ path: String) async throws -> [String] {
        var routed = StoreOptions()
        routed.routing = try Routing([
            .exact("SendReport", to: "reports"), .prefix("images.", to: "images"),
        ])
        let routing = try JobStore(at: path, options: routed)
        let report = try await routing.enqueue(SendReport(month: "2026-10"))
        let image = try await routing.enqueue(name: "images.resize", json: "{}")
        let queues = try [report.id, image].map { try routing.details(of: $0).summary.queue }
        routing.close()
        return queues
    }

    /// In the working directory: for a process of its own.
    static func traced(_ path: String) async throws -> String {
        var opening = StoreOptions()
        opening.enqueueMiddleware = [TraceContext { "00-1-2-01" }]
        opening.listeners = [
            JobListener { event in
                if case .ended(let outcome) = event.kind { print(event.job, outcome.kind) }
            }
        ]
        let traced = try JobStore(at: path, options: opening)

        var around = JobRunner.Options()
        around.middleware = [Span()]
        let tracing = try JobRunner(traced, jobs: [Traced.self], options: around)
        let trace = try await tracing.run {
            let job = try await traced.enqueue(Traced())
            return try await job.result
        }
        traced.close()
        return trace
    }
}

#if Encryption
    extension HookExamples {
        /// In the working directory: for a process of its own.
        static func encrypted(_ path: String, _ key: [UInt8], _ older: [UInt8]) throws -> JobStore {
            var sealing = StoreOptions()
            sealing.encryption = try EncryptionKeys(
                sealingWith: "2026-11", keys: ["2026-11": key, "2026-05": older])
            let sealed = try JobStore(at: path, options: sealing)
            return sealed
        }
    }
#endif
