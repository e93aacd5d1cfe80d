import Testing

@testable import Petiole

@Suite("Places of asynchronous attempts") struct AsyncPlacesTests {
    @Test("batches leave slots for the places that are free, and one at least")
    func slotsLeft() async throws {
        try await withStore { store in
            let places = AsyncPlaces(limit: 2)
            let last = RunningSlots.slotsPerSeat
            places.useSlots(store.open.slots, seat: 9, from: last - 5)
            #expect(places.takeSlots(upTo: 2).count == 2)
            #expect(places.takeSlots(upTo: 9).count == 1)
            #expect(places.takeSlots(upTo: 9).isEmpty)
            let first = try #require(places.take())
            #expect(places.takeSlots(upTo: 9).isEmpty)
            let second = try #require(places.take())
            #expect(places.take() == nil)
            places.give(first)
            places.give(second)
            #expect(places.hasRoom)
        }
    }

    /// Waits for the job that its payload names.
    private struct Waiting: BatchJob {
        static let batchLimit = 256
        static let batchWait = Duration.zero
        var id: UInt64
        static func run(_ batch: [BatchItem<Waiting>]) -> [Result<Int, any Error>] {
            batch.map { item in
                Result {
                    let job = item.context.store.handle(
                        of: JobID(rawValue: item.job.id), output: Int.self)
                    return try item.context.result(of: job)
                }
            }
        }
    }

    private struct Waited: AsyncJob {
        func run(_ context: JobContext) async -> Int { 1 }
    }

    @Test("batches that wait for an asynchronous job let it run, however many there are")
    func batchesThatWait() async throws {
        try await withStore { store in
            let waited = try await store.enqueue(
                Waited(), options: EnqueueOptions(priority: 9))
            let jobs = try await store.enqueue(
                contentsOf: (0..<1_100).map { _ in Waiting(id: waited.id.rawValue) })
            let runner = try makeRunner(store, jobs: [Waiting.self, Waited.self]) {
                $0.asyncLimit = 4
            }
            try await runner.run { for job in jobs { try await expectEqual(job.result, 1) } }
        }
    }
}
