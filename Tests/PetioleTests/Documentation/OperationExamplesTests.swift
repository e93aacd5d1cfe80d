import Petiole
import Testing

@testable import Petiole

@Suite("Examples of Operations.md") struct OperationExamplesTests {
    @Test("what is done with jobs that are there does what the page says")
    func operations() async throws {
        try await withStore { store in
            let job = try await store.enqueue(SendReport(month: "2026-10"))
            try await OperationExamples.editing(store, job)
            guard case .waiting(_, 0) = try job.state else {
                Issue.record("it does not wait")
                return
            }
            try #expect(OperationExamples.listing(store, store.now) == job.id)
            #expect(try OperationExamples.lineage(store, job) == 1)
            let following = Task { try await OperationExamples.following(store) }
            while store.open.signals.followed == 0 { try await turn() }
            let other = try await store.enqueue(SendReport(month: "2026-11"))
            try await store.cancel(other.id)
            try await following.value
            try await OperationExamples.comingBack(store, 0)
            try await OperationExamples.pausing(store)
            #expect(try store.pausedJobTypes() == [])
            try await OperationExamples.holding(store, job)
            let state = try await OperationExamples.following(store, job)
            #expect(state == .held(after: [job.id]))
            try await store.cancel(job.id)
            #expect(try OperationExamples.health(store).isHealthy)
            let reports = EnqueueOptions(queue: "reports")
            for month in ["2026-10", "2026-11"] {
                try await store.enqueue(SendReport(month: month), options: reports)
            }
            let gone = try await OperationExamples.purging(store)
            #expect(gone.deleted == 2 && gone.cancelled == 2)
            try await OperationExamples.draining(store)
        }
    }

    @Test("a copy and a compaction do what the page says")
    func copies() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        try await OperationExamples.backup(store, directory.path + "/copy")
        store.close()
        try await OperationExamples.compaction(directory.path + "/copy")
    }
}
