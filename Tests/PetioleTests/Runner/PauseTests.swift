import PetioleStorage
import Testing

@testable import Petiole

@Suite("Pause") struct PauseTests {
    private let ran = Trace<Int>()
    private let begun = Gate()
    private let gate = Gate()

    /// Notes its number; 0 waits at the gate.
    private func note(_ queue: String = "default", _ name: String = "note") -> JobClosure {
        JobClosure(name, queue: queue) { [ran, begun, gate] (number: Int, _) -> Int in
            ran.add(number)
            if number == 0 {
                begun.open()
                gate.block()
            }
            return number
        }
    }

    @Test("what runs finishes, what was claimed does not start, and other queues go on")
    func claimed() async throws {
        try await withStore { store in
            let runner = try makeRunner(store, [note(), note("other", "aside")], workers: 1)
            try await runner.run {
                // Measured, so that they are handed out in one ticket.
                for job in try await store.numbers("note", Array(101...120)) {
                    _ = try await job.result
                }
                let jobs = try await store.numbers("note", [0, 1, 2, 3])
                await begun.wait()
                let hasChanged = try await store.pause(queue: "default")
                #expect(hasChanged)
                try await expectEqual(store.pause(queue: "default"), false)
                gate.open()
                try await expectEqual(jobs[0].result, 0)
                let aside = try await store.numbers(
                    "aside", [50], options: EnqueueOptions(queue: "other"))
                try await expectEqual(aside[0].result, 50)
                // More than one round of looking.
                let more = try await store.numbers("note", [4])
                try await expectEqual(
                    store.numbers("aside", [51], options: EnqueueOptions(queue: "other"))[0].result,
                    51)
                expectEqual(ran.items.filter { (1...10).contains($0) }, [])
                expectEqual(try jobs[1].state, .ready)
                expectEqual(
                    try store.queues().filter { $0.isPaused }.map { $0.name }, ["default"])
                let goesOn = try await store.resume(queue: "default")
                #expect(goesOn)
                for (index, job) in (jobs + more).enumerated() {
                    try await expectEqual(job.result, index)
                }
            }
            #expect(ran.items.filter { (1...10).contains($0) } == [1, 2, 3, 4])
        }
    }

    @Test("a pause holds over owners, and a drain does not wait for what is paused")
    func overOwners() async throws {
        try await withStore { store in
            try await store.pause(queue: "default")
            let jobs = try await store.numbers("note", [1, 2])
            for _ in 0..<2 { try await makeRunner(store, [note()]).run {} }
            #expect(ran.items == [])
            try await store.resume(queue: "default")
            try await makeRunner(store, [note()]).run {}
            #expect(ran.items == [1, 2])
            try await expectEqual(jobs[1].result, 2)
        }
    }

    @Test("paused and resumed again and again while jobs run, every job runs once")
    func manyTimes() async throws {
        try await withStore { store in
            let count = 3_000
            let runner = try makeRunner(store, [note()], workers: 3)
            try await runner.run {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await store.numbers("note", Array(1...count))
                    }
                    for _ in 0..<2 {
                        group.addTask {
                            for _ in 0..<50 {
                                try await store.pause(queue: "default")
                                try await store.resume(queue: "default")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try await store.resume(queue: "default")
            }
            #expect(ran.items.sorted() == Array(1...count))
        }
    }

    @Test("a queue that was never used may be paused, and one of a wrong name may not")
    func names() async throws {
        try await withStore { store in
            let hasChanged = try await store.pause(queue: "later")
            #expect(hasChanged)
            await #expect(throws: StoreError.self) { try await store.pause(queue: "a b") }
        }
    }
}
