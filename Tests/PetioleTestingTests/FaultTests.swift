import Petiole
import PetioleTesting
import Testing

@Suite("Faults of the test kit", .timeLimit(.minutes(10))) struct FaultTests {
    @Test(
        "a full store refuses jobs, fails effects, and records outcomes", arguments: [false, true])
    func full(disk: Bool) async throws {
        let faults = FaultPlan()
        try await withTestStore(faults: faults, jobs: [Resize.self, Bytes.self]) { store, runner in
            try await store.enqueue(Bytes.self, payload: [1])
            let resize = try await store.enqueue(Resize(path: "a.png"))
            faults.fill(disk ? .disk : .store)
            let error = await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Resize(path: "b.png"))
            }
            switch error {
            case .refused("images.resize", "images", .diskFull) where disk: break
            case .refused("images.resize", "images", .full) where !disk: break
            default: Issue.record("\(error!)")
            }
            let drained = try await runner.drain()
            #expect(drained.steps.count == 2 && drained.left.map(\.id) == [resize.id])
            guard case .waiting(_, attempts: 1) = try resize.state else {
                Issue.record("it is \(try resize.state)")
                return
            }
            faults.makeRoom()
            try await store.enqueue(Resize(path: "b.png"))
            try await runner.drain(advancing: true)
            #expect(try store.enqueued(Publish.self).count == 2)
        }
    }

    @Test(
        "after a commit that failed nothing is accepted, and what was accepted is there afterwards")
    func failedCommit() async throws {
        try await withTestDirectory { directory in
            let path = directory + "/work.petiole"
            let faults = FaultPlan()
            try await withTestStore(at: path, faults: faults) { store, _ in
                try await store.enqueue(Publish(path: "a"))
                faults.failCommit(2)
                try await store.enqueue(Publish(path: "b"))
                for _ in 1...2 {
                    let error = await #expect(throws: EnqueueError.self) {
                        try await store.enqueue(Publish(path: "c"))
                    }
                    guard case .refused("Publish", "default", .failed) = error else {
                        Issue.record("\(error!)")
                        continue
                    }
                }
            }
            try await withTestStore(at: path, jobs: [Publish.self]) { store, runner in
                let jobs = try store.enqueued(Publish.self)
                #expect(jobs.map(\.payload.path) == ["a", "b"])
                #expect(try await runner.drain().isAll)
            }
        }
    }

    @Test("a runner whose outcome cannot be recorded ends with the error, and the job runs again")
    func failedOutcome() async throws {
        try await withTestDirectory { directory in
            let path = directory + "/work.petiole"
            let notes = Notes()
            let faults = FaultPlan()
            try await withTestStore(at: path, faults: faults, closures: [notes.job]) {
                store, runner in
                for number in 1...2 { try await store.enqueue(name: "note", payload: number) }
                try await runner.step()
                faults.failCommit()
                await #expect(throws: (any Error).self) { try await runner.step() }
                await #expect(throws: (any Error).self) { try await runner.step() }
                // Whoever stops it is told too.
                _ = try? await runner.stop()
            }
            try await withTestStore(at: path, closures: [notes.job]) { _, runner in
                let drained = try await runner.drain()
                #expect(drained.isAll)
            }
            #expect(notes.all.filter { $0 == 1 } == [1])
        }
    }

    #if os(Linux) || os(macOS)
        @Test("a process that dies at a commit has kept it, or has never made it")
        func dies() async throws {
            try await withTestDirectory { directory in
                for (name, moment, count) in [("before", "b", 1), ("after", "a", 2)] {
                    let path = "\(directory)/\(name).petiole"
                    await #expect(processExitsWith: .exitCode(9)) {
                        [path = path as String, moment = moment as String] in
                        let faults = FaultPlan()
                        try await withTestStore(at: path, faults: faults) { store, _ in
                            try await store.enqueue(Publish(path: "a"))
                            faults.die(moment == "b" ? .beforeCommit : .afterCommit)
                            try await store.enqueue(Publish(path: "b"))
                        }
                    }
                    try await withTestStore(at: path, jobs: [Publish.self]) { store, runner in
                        let jobs = try store.enqueued(Publish.self)
                        #expect(jobs.count == count)
                        #expect(try await runner.drain().isAll)
                    }
                }
            }
        }
    #endif

    @Test("attempts fail as often as was said, with that error, and reach the job after that")
    func attempts() async throws {
        let faults = FaultPlan()
        let notes = Notes()
        try await withTestStore(
            faults: faults, jobs: [Publish.self], closures: [notes.job]
        ) { store, runner in
            faults.failAttempts(of: Publish.self, times: 2, with: NoNetwork())
            faults.failAttempts(of: "note", with: JobControl.discard("not today"))
            let publish = try await store.enqueue(Publish(path: "a"))
            for number in 1...2 { try await store.enqueue(name: "note", payload: number) }
            let drained = try await runner.drain(advancing: true)
            #expect(drained.steps.count == 5)
            #expect(notes.all == [2])
            #expect(try await publish.result == "https://example.org/a")
            let job = try store.onlyJob(Publish.self)
            #expect(job.failedAttempts.map(\.failure.message) == ["no network", "no network"])
            #expect(try store.failures().map(\.outcome.kind) == [.discarded])
            #expect(faults.failuresLeft(of: "Publish") == 0)
        }
    }

    @Test(
        "a runner that dies before it has recorded an attempt is followed by one that makes it again"
    )
    func runnerDies() async throws {
        let notes = Notes()
        try await withTestStore(
            jobs: [Resize.self, Publish.self], closures: [notes.job]
        ) { store, runner in
            #expect(try await runner.stepAndDie() == nil)
            try await store.enqueue(name: "note", payload: 1)
            for _ in 1...3 {
                let job = try await runner.stepAndDie()
                #expect(job?.id == JobID(rawValue: 1) && job?.state == .ready)
            }
            #expect(notes.all == [1, 1, 1])
            #expect(try await runner.step()?.state.isEnded == true)
            #expect(notes.all == [1, 1, 1, 1])
            // Its effects happen once.
            try await store.enqueue(Resize(path: "a.png"))
            try await runner.stepAndDie()
            #expect(try store.enqueued(Publish.self) == [])
            #expect(try await runner.step()?.name == "images.resize")
            #expect(try store.enqueued(Publish.self).count == 1)
            // Asynchronous ones too.
            try await runner.stepAndDie()
            #expect(try store.onlyJob(Publish.self).state == .ready)
            #expect(try await runner.drain().isAll)
        }
    }
}
