import PetioleStorage
import Testing

@testable import Petiole

@Suite("Waiting for room", .timeLimit(.minutes(10))) struct RoomTests {
    private let echo = JobClosure("echo") { (number: Int, _) in number }

    private func untilWaiting(_ count: Int, _ store: JobStore) async throws {
        while store.open.room.waitingCount != count { try await turn() }
    }

    /// Enqueues in a task of its own, and gives the id.
    private func enqueue(
        _ number: Int, _ store: JobStore, _ whenFull: Capacity.WhenFull? = nil
    ) -> Task<JobID, any Error> {
        Task {
            try await store.numbers(
                "echo", [number], options: EnqueueOptions(whenFull: whenFull))[0].id
        }
    }

    @Test("who waits is accepted when there is room, first come first, and nobody overtakes")
    func order() async throws {
        try await withStore { store in
            try await store.setCapacity(Capacity(jobs: 2, whenFull: .wait()), queue: "default")
            let first = try await store.numbers("echo", [1, 2])
            var tasks: [Task<JobID, any Error>] = []
            for number in 3...6 {
                tasks.append(enqueue(number, store))
                try await untilWaiting(tasks.count, store)
            }
            let waiting = tasks
            try await store.cancel(first[0].id)
            try await expectEqual(waiting[0].value.rawValue, 3)
            try await untilWaiting(3, store)
            // One that comes now goes behind them, though there is room for a moment.
            let late = enqueue(7, store)
            try await untilWaiting(4, store)
            try await store.cancel(first[1].id)
            try await expectEqual(waiting[1].value.rawValue, 4)
            try await makeRunner(store, [echo]).run {
                try await expectEqual(waiting[2].value.rawValue, 5)
                try await expectEqual(waiting[3].value.rawValue, 6)
                try await expectEqual(late.value.rawValue, 7)
            }
            #expect(try store.counts().succeeded == 5)
        }
    }

    @Test("a large one that waits is not starved by small ones behind it")
    func large() async throws {
        try await withStore { store in
            try await store.setCapacity(Capacity(jobs: 3, whenFull: .wait()), queue: "default")
            let first = try await store.numbers("echo", [1, 2, 3])
            let large = Task {
                try await store.enqueue(Cargo.self, count: 3) { _, payload in
                    payload.append(contentsOf: [1])
                }.count
            }
            try await untilWaiting(1, store)
            let small = enqueue(4, store)
            try await untilWaiting(2, store)
            for job in first.dropLast() { try await store.cancel(job.id) }
            #expect(store.open.room.waitingCount == 2)
            try await store.cancel(first[2].id)
            try await expectEqual(large.value, 3)
            try await makeRunner(store, [echo], jobs: [Cargo.self]).run {
                try await expectEqual(small.value.rawValue, 7)
            }
        }
    }

    @Test("a wait ends with its time, with its task, with more room, and with the store")
    func ends() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        try await store.setCapacity(Capacity(jobs: 1, whenFull: .wait()), queue: "default")
        try await store.numbers("echo", [1])
        // Its time.
        let late = enqueue(2, store, .wait(upTo: .milliseconds(1)))
        let error = await #expect(throws: EnqueueError.self) { try await late.value }
        #expect("\(error!)".contains("also after the wait"))
        #expect(store.open.room.waitingCount == 0)
        // Its task, while it waits and before it begins to.
        let cancelled = enqueue(3, store)
        try await untilWaiting(1, store)
        cancelled.cancel()
        let expected = EnqueueError.refused(job: "echo", queue: "default", .waitCancelled)
        await #expect(throws: expected) { try await cancelled.value }
        let gate = Gate()
        let before = Task {
            await gate.wait()
            return try await store.numbers("echo", [4])
        }
        before.cancel()
        gate.open()
        await #expect(throws: expected) { try await before.value }
        // A thread waits too.
        let thread = Task {
            try await onThread("test-room") {
                try store.enqueueBlocking(name: "echo", payload: 5, output: Int.self).id.rawValue
            }
        }
        try await untilWaiting(1, store)
        try await store.setCapacity(Capacity(jobs: 2, whenFull: .wait()), queue: "default")
        try await expectEqual(thread.value, 2)
        // Its own word goes before the capacity's.
        await store.expectNoRoom("default") {
            try await store.numbers("echo", [6], options: EnqueueOptions(whenFull: .refuse))
        }
        let last = enqueue(7, store)
        try await untilWaiting(1, store)
        expectSound(store)
        store.close()
        await #expect(throws: EnqueueError.self) { try await last.value }
    }

    @Test("many that wait for few places all have one in the end, and there are never more")
    func crowd() async throws {
        try await withStore { store in
            try await store.setCapacity(Capacity(jobs: 3, whenFull: .wait()), queue: "default")
            let most = Trace<Int>()
            let look = JobClosure("look") { (number: Int, context) -> Int in
                most.add(try context.store.counts().unfinished)
                return number
            }
            let runner = try makeRunner(store, [look], workers: 2)
            try await runner.run {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<60 {
                        group.addTask {
                            if number % 3 == 0 {
                                return try await onThread("test-room") {
                                    _ = try store.enqueueBlocking(
                                        name: "look", payload: number, output: Int.self)
                                }
                            }
                            try await store.numbers("look", [number])
                        }
                    }
                    try await group.waitForAll()
                }
            }
            #expect(most.items.count == 60 && most.items.allSatisfy { $0 <= 3 })
        }
    }

    @Test("room in the file that a purge makes is told to who waits for it")
    func purged() async throws {
        try await withStore(configure: { $0.byteLimit = 64 << 20 }) { store in
            let large = [UInt8](repeating: 1, count: 40 << 20)
            try await store.enqueue(Cargo.self, payload: large)
            try await makeRunner(store, jobs: [Cargo.self]).run {}
            let next = Task {
                try await store.enqueue(
                    Cargo.self, payload: large, options: EnqueueOptions(whenFull: .wait()))
            }
            try await untilWaiting(1, store)
            try await expectEqual(store.purge(JobFilter()).deleted, 1)
            try await expectEqual(next.value.id.rawValue, 2)
        }
    }

    @Test("what a dead producer had staged, and results whose time is over, make room as well")
    func sweptAndOver() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            let open = store.open
            let options = EnqueueOptions(resultRetention: .seconds(1))
            try await store.numbers("echo", [1], options: options)
            try await makeRunner(store, [echo]).run {}
            clock.advance(.seconds(2))
            let target = open.target(queue: "default", job: "echo", priority: 4)
            let hasRoom = try await open.perform {
                (transaction, state) throws(StorageError) -> [Bool] in
                var hasRoom: [Bool] = []
                _ = try Staging.begin(1, target, &transaction, &state)
                hasRoom.append(state.hasRoom)
                _ = try Staging.sweep(1, &transaction, &state)
                hasRoom.append(state.hasRoom)
                state.hasRoom = false
                _ = try ResultRetention.endDue(1, from: nil, &transaction, &state)
                hasRoom.append(state.hasRoom)
                state.hasRoom = false
                return hasRoom
            }
            #expect(hasRoom == [false, true, true])
        }
    }

    @Test("room in the file is waited for as well, by who says so: pruning makes it")
    func file() async throws {
        let clock = TestClock()
        try await withStore(clock: clock, configure: { $0.byteLimit = 64 << 20 }) { store in
            let large = [UInt8](repeating: 1, count: 40 << 20)
            try await store.enqueue(Cargo.self, payload: large)
            let waits = EnqueueOptions(whenFull: .wait())
            let next = Task {
                try await store.enqueue(Cargo.self, payload: large, options: waits)
            }
            try await untilWaiting(1, store)
            let tooLarge = [UInt8](repeating: 1, count: 60 << 20)
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Cargo.self, payload: tooLarge, options: waits)
            }
            try await makeRunner(store, jobs: [Cargo.self]).run {}
            #expect(store.open.room.waitingCount == 1)
            clock.advance(.seconds(10))
            try await store.prune(olderThan: .seconds(1))
            try await expectEqual(next.value.id.rawValue, 2)
        }
    }
}
