import Foundation
import Petiole
import Testing

@Suite("Examples of what is said for all jobs") struct HookExamplesTests {
    private static func withPath(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "petiole-examples-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try await body(folder.appending(path: "work.petiole").path)
        try FileManager.default.removeItem(at: folder)
    }

    private static func withStore(_ body: (JobStore) async throws -> Void) async throws {
        try await withPath { path in
            var options = StoreOptions()
            options.durability = .scratch
            let store = try JobStore(at: path, options: options)
            try await body(store)
            store.close()
        }
    }

    @Test("resources are shared, and a batch takes what is there")
    func sharing() async throws {
        try await Self.withStore { store in
            let rows = try await store.enqueue(contentsOf: (1...3).map { AddRow(row: "\($0)") })
            let batch = try await store.enqueue(contentsOf: ["a", "bb"].map { AddRows(row: $0) })
            try await HookExamples.sharing(store).run {
                for row in rows { _ = try await row.result }
                let counts = [try await batch[0].result, try await batch[1].result]
                #expect(counts == [1, 2])
            }
        }
    }

    @Test("jobs go to the queues that the routing says")
    func routing() async throws {
        try await Self.withPath { path in
            let queues = try await HookExamples.routed(path)
            #expect(queues == ["reports", "images"])
        }
    }

    @Test("a secret is shown nowhere, and a child has the priority of its parent")
    func secrets() async throws {
        try await Self.withStore { store in
            let job = try await store.enqueue(LogIn(user: "ann", password: Secret("hunter22")))
            let urgent = try await store.enqueue(Urgent(), options: EnqueueOptions(priority: 1))
            try await JobRunner(
                store, jobs: [LogIn.self, Urgent.self, SendReport.self]
            ).run {
                let text = try await job.result
                #expect(!text.contains("hunter22") && text.contains("‹secret›"))
                let priority = try await urgent.result
                #expect(priority == 1)
            }
            let shown = try store.details(of: job.id).payloadJSON()
            #expect(shown == #"{"user":"ann","password":"‹secret›"}"#)
            let child = try store.details(of: #require(JobID("3"))).summary
            #expect(child.name == "SendReport" && child.priority == 1)
        }
    }

    #if Encryption
        @Test("a store is opened with keys")
        func encrypted() async throws {
            try await Self.withPath { path in
                let key = [UInt8](repeating: 1, count: 32)
                let store = try HookExamples.encrypted(path, key, key)
                let job = try await store.enqueue(AddRow(row: "x"))
                let details = try store.details(of: job.id)
                #expect(details.encryptionKey == "2026-11")
                store.close()
            }
        }
    #endif

    @Test("a trace context goes from the enqueue to the attempt")
    func traced() async throws {
        try await Self.withPath { path in
            let trace = try await HookExamples.traced(path)
            #expect(trace == "00-1-2-01")
        }
    }
}
