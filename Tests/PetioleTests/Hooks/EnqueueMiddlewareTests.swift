import Synchronization
import Testing

@testable import Petiole

@Suite("Enqueue middleware", .timeLimit(.minutes(10))) struct EnqueueMiddlewareTests {
    private struct Oops: Error {}

    /// Notes what it is called with, and does what a closure says.
    private struct Noting: EnqueueMiddleware {
        let name: String
        let trace: Trace<String>
        var change: @Sendable (inout EnqueueCall) throws -> Void = { _ in }
        var after: @Sendable (EnqueueEnd) throws -> Void = { _ in }

        func willEnqueue(_ call: inout EnqueueCall) throws {
            trace.add("\(name) before \(call.name)")
            try change(&call)
        }

        func didEnqueue(_ call: EnqueueCall, _ end: EnqueueEnd) throws {
            trace.add("\(name) after \(Self.word(end))")
            try after(end)
        }

        static func word(_ end: EnqueueEnd) -> String {
            switch end {
            case .accepted(let first, let count): "accepted \(first?.description ?? "-")+\(count)"
            case .existing(let id): "existing \(id)"
            case .handedOver: "handed over"
            case .refused: "refused"
            }
        }
    }

    private struct Parent: Job {
        func run(_ context: JobContext) throws -> NoResult {
            try context.enqueue(Child())
            return NoResult()
        }
    }

    private struct Child: Job {
        static let queue = "children"
        func run(_ context: JobContext) -> NoResult { NoResult() }
    }

    private enum Raw: RawJob {
        static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) {}
    }

    @Test("middleware are called in their order before an enqueue, in the opposite one after it")
    func order() async throws {
        let trace = Trace<String>()
        try await withStore {
            $0.enqueueMiddleware = [
                Noting(name: "a", trace: trace) { $0[header: "traceparent"] = "00-1-2-01" },
                Noting(name: "b", trace: trace) { call in
                    trace.add("b sees \(call[header: "traceparent"] ?? "nothing")")
                    call.options.priority = 2
                },
            ]
        } _: { store in
            let job = try await store.enqueue(Child())
            #expect(
                trace.items == [
                    "a before Child", "b before Child", "b sees 00-1-2-01",
                    "b after accepted 1+1", "a after accepted 1+1",
                ])
            let summary = try store.details(of: job.id).summary
            #expect(summary.metadata.headers == ["traceparent": "00-1-2-01"])
            #expect(summary.priority == 2 && summary.queue == "children")
        }
    }

    @Test("what middleware throws is logged, its changes are dropped, and the job is accepted")
    func throwing() async throws {
        let trace = Trace<String>()
        let log = LogTrace()
        try await withStore {
            $0.logger = log.logger
            $0.enqueueMiddleware = [
                Noting(name: "a", trace: trace) { call in
                    call.options.priority = 9
                    throw Oops()
                } after: { _ in
                    throw Oops()
                },
                Noting(name: "b", trace: trace) { $0.options.priority = 11 },
                Noting(name: "c", trace: trace) { $0.options.priority = 1 },
            ]
        } _: { store in
            let job = try await store.enqueue(Child())
            #expect(try store.details(of: job.id).summary.priority == 1)
            #expect(log.count("enqueue middleware threw") == 2)
            #expect(log.count("priority is 11; 0 to 9 are allowed") == 1)
            // What the caller writes is the caller's error all the same.
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Child(), options: EnqueueOptions(maxAttempts: 0))
            }
            #expect(
                trace.items.suffix(3) == ["c after refused", "b after refused", "a after refused"])
        }
    }

    @Test("each way to enqueue is one call, and its end is told")
    func ways() async throws {
        let trace = Trace<String>()
        let parents = Trace<JobID?>()
        try await withStore {
            $0.payloadLimit = 1_000
            $0.enqueueMiddleware = [
                Noting(name: "m", trace: trace) { parents.add($0.parent) }
            ]
        } _: { store in
            var seen = 0
            func expect(_ name: String, _ end: String) {
                #expect(trace.items.dropFirst(seen) == ["m before \(name)", "m after \(end)"])
                seen = trace.items.count
            }
            let one = EnqueueOptions(unique: Uniqueness(key: "k"))
            try await store.enqueue(Child(), options: one)
            expect("Child", "accepted 1+1")
            try await store.enqueue(Child(), options: one)
            expect("Child", "existing 1")
            let refusing = EnqueueOptions(unique: Uniqueness(key: "k", onConflict: .refuse))
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Child(), options: refusing)
            }
            expect("Child", "refused")
            try await store.enqueue(contentsOf: [Child(), Child(), Child()])
            expect("Child", "accepted 2+3")
            try await store.enqueue(contentsOf: [Child]())
            expect("Child", "accepted -+0")
            try await store.enqueue(Raw.self, payload: [1])
            expect("Raw", "accepted 5+1")
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Raw.self, payload: [UInt8](repeating: 1, count: 1_001))
            }
            expect("Raw", "refused")
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(
                    Raw.self, payloads: [[1], [UInt8](repeating: 1, count: 1_001)])
            }
            expect("Raw", "refused")
            try await store.enqueue(name: "named", payload: 1)
            expect("named", "accepted 6+1")
            try await store.enqueue(name: "text", json: "{}")
            expect("text", "accepted 7+1")
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(name: "text", json: "{")
            }
            expect("text", "refused")
            try store.enqueueBlocking(Child())
            expect("Child", "accepted 8+1")
            try store.enqueue(Child(), durability: .buffered)
            expect("Child", "handed over")
            try await store.flush()
            let parent = try await store.enqueue(Parent())
            expect("Parent", "accepted 10+1")
            let runner = try makeRunner(store, jobs: [Parent.self, Child.self, Raw.self])
            try await runner.run { _ = try await parent.result }
            expect("Child", "handed over")
            #expect(parents.items.compactMap { $0 } == [parent.id])
        }
    }
}
