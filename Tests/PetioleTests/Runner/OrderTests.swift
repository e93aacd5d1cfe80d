import Testing

@testable import Petiole

@Suite("Order") struct OrderTests {
    @Test("jobs of a lane start in the order in which they were accepted, on one worker")
    func fifo() async throws {
        try await withStore { store in
            let ran = Trace<Int>()
            let note = JobClosure("note") { (number: Int, _) -> Int in
                ran.add(number)
                return number
            }
            try await store.numbers("note", Array(0..<300))
            try await makeRunner(store, [note]).run {}
            #expect(ran.items == Array(0..<300))
        }
    }

    @Test("a higher priority goes first, whatever was enqueued before it")
    func priorities() async throws {
        try await withStore { store in
            let ran = Trace<Int>()
            let note = JobClosure("note") { (number: Int, _) -> Int in
                ran.add(number)
                return number
            }
            for number in 0..<100 {
                try await store.numbers(
                    "note", [number], options: EnqueueOptions(priority: 9 - number % 10))
            }
            try await makeRunner(store, [note]).run {}
            let expected: [Int] = (0..<10).flatMap { priority -> [Int] in
                (0..<100).filter { (number: Int) in 9 - number % 10 == priority }
            }
            #expect(ran.items == expected)
        }
    }

    @Test("two queues take turns")
    func queues() async throws {
        try await withStore { store in
            let ran = Trace<String>()
            let a = JobClosure("a", queue: "a") { (number: Int, _) -> Int in
                ran.add("a")
                return number
            }
            let b = JobClosure("b", queue: "b") { (number: Int, _) -> Int in
                ran.add("b")
                return number
            }
            try await store.numbers("a", Array(0..<50), options: EnqueueOptions(queue: "a"))
            try await store.numbers("b", [0], options: EnqueueOptions(queue: "b"))
            try await makeRunner(store, [a, b]).run {}
            let place = try #require(ran.items.firstIndex(of: "b"))
            #expect(place < 10, "queue b waited for \(place) jobs of queue a")
        }
    }
}
