import Petiole
import PetioleTesting
import Testing

// The examples of Testing.md: `ExamplesTests` holds the page against this file, and they run here as they stand.

struct Thumbnail: Job, Equatable {
    var path: String
    var width: Int

    func run(_ context: JobContext) throws -> Int { width }
}

struct Gallery {
    var store: JobStore

    func add(_ path: String) async throws {
        try await store.enqueue(Thumbnail(path: path, width: 320))
    }
}

@Suite("Gallery") struct GalleryTests {
    @Test("a picture that is added gets one thumbnail")
    func adds() async throws {
        try await withTestStore(jobs: [Thumbnail.self]) { store, runner in
            try await Gallery(store: store).add("cover.png")

            let job = try store.onlyJob(Thumbnail.self)
            #expect(job.payload == Thumbnail(path: "cover.png", width: 320))
            #expect(job.state == .ready)

            try await runner.drain()
            try store.checkNoFailures()
        }
    }

    @Test("what is enqueued is seen with its options")
    func options() async throws {
        try await withTestStore { store, _ in
            try await store.enqueue(
                Thumbnail(path: "a.png", width: 64), options: EnqueueOptions(priority: 1))
            try await store.enqueue(
                Thumbnail(path: "b.png", width: 64),
                options: EnqueueOptions(due: .after(.seconds(60))))

            let jobs = try store.enqueued(Thumbnail.self)
            #expect(jobs.map(\.payload.path) == ["a.png", "b.png"])
            #expect(jobs.map(\.options.priority) == [1, 4])
        }
    }

    @Test("jobs run when they are told to, and wait for the clock")
    func steps() async throws {
        try await withTestStore(jobs: [Thumbnail.self]) { store, runner in
            try await store.enqueue(Thumbnail(path: "a.png", width: 64))
            let late = try await store.enqueue(
                Thumbnail(path: "b.png", width: 64),
                options: EnqueueOptions(due: .after(.seconds(60))))

            let first = try await runner.step()
            #expect(first?.state.isEnded == true)
            let drained = try await runner.drain()
            #expect(drained.left.map(\.id) == [late.id], "\(drained)")

            runner.clock.advance(.seconds(60))
            try await runner.drain()
            #expect(try await late.result == 64)
        }
    }

    @Test("a thumbnail is made at the third attempt")
    func retries() async throws {
        struct DiskBusy: Error {}

        let faults = FaultPlan()
        faults.failAttempts(of: Thumbnail.self, times: 2, with: DiskBusy())
        try await withTestStore(faults: faults, jobs: [Thumbnail.self]) { store, runner in
            try await Gallery(store: store).add("cover.png")
            let drained = try await runner.drain(advancing: true)
            #expect(drained.isAll, "\(drained)")

            let job = try store.onlyJob(Thumbnail.self)
            #expect(job.failedAttempts.count == 2)
            #expect(job.outcome?.kind == .succeeded)
        }
    }

    @Test("a payload comes back as it went in")
    func codec() throws {
        let thumbnail = Thumbnail(path: "ä.png", width: 64)
        #expect(try roundTrip(thumbnail) == thumbnail)
    }

    @Test("a full store is told to who adds")
    func full() async throws {
        let faults = FaultPlan()
        try await withTestStore(faults: faults) { store, _ in
            faults.fill(.store)
            await #expect(throws: EnqueueError.self) {
                try await Gallery(store: store).add("cover.png")
            }
            faults.makeRoom()
            try await Gallery(store: store).add("cover.png")
        }
    }

    @Test("a thumbnail that was made when the process died is made again")
    func again() async throws {
        try await withTestStore(jobs: [Thumbnail.self]) { store, runner in
            try await Gallery(store: store).add("cover.png")
            try await runner.stepAndDie()
            let drained = try await runner.drain()
            #expect(drained.steps.count == 1)
        }
    }

    @Test("what is accepted is there after a crash")
    func crash() async throws {
        try await withTestDirectory { directory in
            let path = directory + "/gallery.petiole"
            await #expect(processExitsWith: .exitCode(9)) { [path = path as String] in
                let faults = FaultPlan()
                try await withTestStore(at: path, faults: faults) { store, _ in
                    try await Gallery(store: store).add("a.png")
                    faults.die(.beforeCommit)
                    try await Gallery(store: store).add("b.png")
                }
            }
            try await withTestStore(at: path) { store, _ in
                let jobs = try store.enqueued(Thumbnail.self)
                #expect(jobs.map(\.payload.path) == ["a.png"])
            }
        }
    }
}
