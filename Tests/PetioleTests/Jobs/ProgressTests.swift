import CPetiole
import Testing

@testable import Petiole

@Suite("Progress") struct ProgressTests {
    @Test("progress is seen while a job runs, whole, from this store and any other opening of it")
    func seen() async throws {
        try await withStore { store in
            let begun = Gate()
            let stop = SharedFlag()
            let work = JobClosure("work") { (_: Int, context) -> Int in
                var round = 0
                while !stop.isSet {
                    round += 1
                    // The note says what the numbers are, and each is told since it differs: who reads sees them together.
                    context.progress(done: round, of: 2 * round, note: "round \(round)")
                    begun.open()
                    // What it does between: a job that only tells leaves a reader no moment.
                    for _ in 0..<5_000 { petiole_pause() }
                }
                return round
            }
            let runner = try makeRunner(store, [work])
            try await runner.run {
                let job = try await store.numbers("work", [1])[0]
                await begun.wait()
                let other = ProgressReader(store)
                var last = 0
                for _ in 0..<2_000 {
                    let progress = try #require(other.progress(of: job.id))
                    #expect(progress.total == 2 * progress.done)
                    #expect(progress.note == "round \(progress.done)")
                    #expect(progress.done >= last)
                    last = progress.done
                }
                stop.set()
                let rounds = try await job.result
                #expect(rounds >= last)
                #expect(store.progress(of: job.id) == nil)
            }
        }
    }

    /// Another mapping of the file, as another process has one.
    private struct ProgressReader {
        let store: JobStore
        let file: ProgressFile?

        init(_ store: JobStore) {
            self.store = store
            // Its absence fails below.
            file = try? ProgressFile(path: store.open.path + "/progress")
        }

        func progress(of id: JobID) -> JobProgress? {
            guard let slot = store.open.slots.slot(of: id.rawValue) else { return nil }
            return file?.told(store.open.slots.index(of: slot), job: id.rawValue)
        }
    }

    @Test("a long note is cut, an unknown total is none, and the next job in the slot begins anew")
    func edges() async throws {
        try await withStore { store in
            let told = Trace<JobProgress?>()
            let work = JobClosure("work") { (what: Int, context) -> Int in
                told.add(context.store.progress(of: context.id))
                context.progress(done: what, note: String(repeating: "é", count: 50))
                told.add(context.store.progress(of: context.id))
                return what
            }
            try await store.numbers("work", [7, 8])
            try await makeRunner(store, [work]).run {}
            #expect(told.items.count == 4)
            #expect(told.items[0] == nil && told.items[2] == nil)
            let first = try #require(told.items[1])
            #expect(first.done == 7 && first.total == nil)
            #expect(first.note == String(repeating: "é", count: 40))
        }
    }
}
