import PetioleStorage
import Testing

@testable import Petiole

@Suite("Events", .timeLimit(.minutes(10))) struct EventsTests {
    private let echo = JobClosure("echo") { (number: Int, _) in number }

    @Test(
        "a stream of counts shows what was enqueued before anything has run, and then the outcomes")
    func counts() async throws {
        try await withStore { store in
            var counts = store.countsStream().makeAsyncIterator()
            #expect(await counts.next()?.accepted == 0)
            try await store.numbers("echo", [1, 2, 3])
            var seen = await counts.next()
            while let last = seen, last.accepted < 3 { seen = await counts.next() }
            #expect(seen?.accepted == 3)
            #expect(seen?.succeeded == 0)
            try await makeRunner(store, [echo]).run {}
            while let last = seen, last.succeeded < 3 { seen = await counts.next() }
            #expect(seen?.unfinished == 0)
        }
    }

    @Test("a stream of outcomes names each job that this process records, once")
    func outcomes() async throws {
        try await withStore { store in
            let stream = store.recordedOutcomes()
            let jobs = try await store.numbers("echo", Array(0..<100))
            try await makeRunner(store, [echo]).run {}
            var seen: [UInt64] = []
            for await range in stream {
                seen += range
                if seen.count == jobs.count { break }
            }
            #expect(seen.sorted() == jobs.map { $0.id.rawValue })
        }
    }
}
