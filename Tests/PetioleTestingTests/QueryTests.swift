import Petiole
import PetioleTesting
import Testing

@Suite("Queries of the test kit") struct QueryTests {
    @Test("jobs are found by type, with payload, options and state")
    func enqueued() async throws {
        try await withTestStore(jobs: [Resize.self, Publish.self]) { store, runner in
            #expect(try store.enqueued(Resize.self) == [])
            let options = EnqueueOptions(
                priority: 1, maxAttempts: 2, expiry: .after(.seconds(60)),
                unique: Uniqueness(key: "a", hold: .afterFinish(.seconds(5))),
                metadata: JobMetadata(tags: ["night"]))
            try await store.enqueue(Resize(path: "a.png"), options: options)
            try await store.enqueue(Resize(path: "b.png", width: 64))
            let jobs = try store.enqueued(Resize.self)
            #expect(
                jobs.map(\.payload) == [Resize(path: "a.png"), Resize(path: "b.png", width: 64)])
            #expect(jobs.map(\.state) == [.ready, .ready])
            #expect(jobs[0].options.queue == "images" && jobs[0].options.priority == 1)
            #expect(jobs[0].options.maxAttempts == 2 && jobs[0].options.due == nil)
            #expect(jobs[0].options.unique == options.unique)
            #expect(jobs[0].options.metadata?.tags == ["night"])
            let expiry = WallTime(microseconds: runner.clock.now.microseconds + 60_000_000)
            #expect(jobs[0].options.expiry == .at(expiry))
            #expect(jobs[1].options.priority == 4 && jobs[1].options.unique == nil)
            try await runner.drain()
            let published = try store.enqueued(Publish.self)
            #expect(published.map(\.payload.path) == ["a.png", "b.png"])
            #expect(published.map(\.parent) == jobs.map(\.id))
            #expect(published[0].outcome?.kind == .succeeded)
            try store.checkNoFailures()
        }
    }

    @Test("the one job is given, and when it is not one the error lists what there is")
    func only() async throws {
        try await withTestStore { store, _ in
            let none = #expect(throws: TestFailure.self) { try store.onlyJob(Resize.self) }
            #expect("\(none!)" == "there is no job \"images.resize\"; there are none at all")
            try await store.enqueue(Publish(path: "a"))
            let other = #expect(throws: TestFailure.self) { try store.onlyJob(Resize.self) }
            #expect("\(other!)" == "there is no job \"images.resize\"; there are 1 \"Publish\"")
            #expect(try store.onlyJob(Publish.self).payload == Publish(path: "a"))
            try await store.enqueue(Publish(path: "b"))
            let two = #expect(throws: TestFailure.self) { try store.onlyJob(Publish.self) }
            #expect(
                "\(two!)" == """
                    there are 2 jobs "Publish", not one:
                    job 1 "Publish", Publish(path: "a"), on queue "default": ready
                    job 2 "Publish", Publish(path: "b"), on queue "default": ready
                    """)
        }
    }

    @Test("jobs of closures and raw ones are found by name and as bytes")
    func others() async throws {
        try await withTestStore { store, _ in
            try await store.enqueue(name: "note", payload: [1, 2])
            try await store.enqueue(name: "note", json: "[3]")
            try await store.enqueue(Bytes.self, payload: [9, 8])
            #expect(try store.enqueued("note", as: [Int].self).map(\.payload) == [[1, 2], [3]])
            #expect(try store.enqueued(Bytes.self).map(\.payload) == [[9, 8]])
            let error = #expect(throws: TestFailure.self) {
                try store.enqueued("note", as: String.self)
            }
            #expect(
                "\(error!)".hasPrefix("the payload of job 1 \"note\" cannot be read as String:"))
        }
    }

    @Test("a value goes through its codec there and back, and one that cannot come back is found")
    func codecs() async throws {
        #expect(try roundTrip(Resize(path: "ä.png")) == Resize(path: "ä.png"))
        #expect(try roundTrip([1.5], through: .json) == [1.5])
        #expect(throws: CodecError.self) { try roundTrip(OneWay(1)) }
        try await withTestStore(jobs: [GivesOneWay.self]) { store, runner in
            try await store.enqueue(GivesOneWay(number: 1))
            let error = await #expect(throws: TestFailure.self) { try await runner.step() }
            #expect("\(error!)".hasPrefix("the result of job 1 \"GivesOneWay\" cannot be read"))
            // The runner goes on.
            try await store.enqueue(
                GivesOneWay(number: 2), options: EnqueueOptions(keepsResult: false))
            #expect(try await runner.drain().steps.count == 1)
        }
    }
}
