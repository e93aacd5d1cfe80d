import PetioleTesting
import Synchronization
import Testing

@testable import Petiole

/// Runs until it is let go, or asked to stop.
struct Holding: AsyncJob {
    static let retryPolicy = RetryPolicy.never
    var number: Int

    private struct State {
        var letGo: Set<Int> = []
        var fails: Set<Int> = []
        var begun: Set<Int> = []
        /// Resumed by each change, to look again.
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        var next = 0
    }
    private static let state = Mutex(State())

    func run(_ context: JobContext) async throws -> Int {
        Self.change { $0.begun.insert(number) }
        try await Self.wait { $0.letGo.contains(number) }
        if Self.state.withLock({ $0.fails.contains(number) }) { throw Refusal() }
        return number
    }

    static func letGo(_ numbers: Range<Int>) { change { $0.letGo.formUnion(numbers) } }
    static func fail(_ number: Int) { change { $0.fails.insert(number) } }
    static func mend(_ number: Int) { change { $0.fails.remove(number) } }
    static func haveBegun(_ numbers: Range<Int>) async throws {
        try await wait { $0.begun.isSuperset(of: numbers) }
    }

    private static func change<Value>(_ body: (inout State) -> Value) {
        let waiting = state.withLock { state in
            _ = body(&state)
            defer { state.waiting = [:] }
            return state.waiting.values.map { $0 }
        }
        for continuation in waiting { continuation.resume() }
    }

    private static func wait(_ isOver: @Sendable (borrowing State) -> Bool) async throws {
        while true {
            try Task.checkCancellation()
            let token = state.withLock { state in
                state.next += 1
                return state.next
            }
            var isDone = false
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let goesOn = state.withLock { state in
                        isDone = isOver(state)
                        // Cancelled before it could be found: see below.
                        if !isDone, !Task.isCancelled { state.waiting[token] = continuation }
                        return isDone || Task.isCancelled
                    }
                    if goesOn { continuation.resume() }
                }
            } onCancel: {
                state.withLock { $0.waiting.removeValue(forKey: token) }?.resume()
            }
            if isDone { return }
        }
    }
}

/// Gives way to a job that is held.
struct GivesWayToHolding: Job {
    var number: Int
    func run(_ context: JobContext) throws -> Int {
        try context.giveWay(to: Workflow(Holding(number: number)).then(Plus(number: 1)))
        return -1
    }
}

private let types: [any JobType.Type] = [
    Holding.self, Plus.self, SumUp.self, Give.self, GivesWayToHolding.self, Mendable.self,
    GivesWay.self,
]

@Suite("Races of workflows", .timeLimit(.minutes(10))) struct WorkflowRaceTests {
    private func running(
        _ store: JobStore, workers: Int = 2, _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await makeRunner(store, jobs: types, workers: workers).run { try await body() }
    }

    @Test("of members that end at the same instant each counts once, and the end runs once")
    func sameInstant() async throws {
        for round in 0..<20 {
            try await withStore { store in
                let first = 1_000 + round * 10
                let chord = try await store.enqueue(
                    Group(count: 8) { Holding(number: first + $0) }.then(SumUp()))
                try await running(store) {
                    try await Holding.haveBegun(first..<first + 8)
                    Holding.letGo(first..<first + 8)
                    try await expectEqual(chord.result, (first..<first + 8).reduce(0, +))
                }
                let summary = try chord.summary
                #expect(summary.ended == 9 && summary.failed == 0)
            }
        }
    }

    @Test("a member that fails while another is cancelled: both count, and what follows never runs")
    func failureAndCancel() async throws {
        for order in [true, false] {
            try await withStore { store in
                let first = order ? 2_000 : 2_100
                let chord = try await store.enqueue(
                    Group(count: 3) { Holding(number: first + $0) }.then(SumUp()))
                Holding.fail(first)
                try await running(store) {
                    try await Holding.haveBegun(first..<first + 3)
                    let members = try chord.summary.steps[0].ids[0]
                    let other = JobID(rawValue: members.lowerBound + 1)
                    if order {
                        Holding.letGo(first..<first + 1)
                        try await store.cancel(other)
                    } else {
                        try await store.cancel(other)
                        Holding.letGo(first..<first + 1)
                    }
                    Holding.letGo(first + 2..<first + 3)
                    _ = await #expect(throws: JobError.self) { _ = try await chord.result }
                }
                let summary = try chord.summary
                #expect(summary.failed == 3 && summary.ended == 4)
                #expect(summary.steps.map { $0.state } == [.failed, .cancelled])
            }
        }
    }

    @Test("a cancel that meets the last member: either the end runs, or the workflow is cancelled")
    func cancelAndLast() async throws {
        for order in [true, false] {
            try await withStore { store in
                let first = order ? 2_200 : 2_300
                let chord = try await store.enqueue(
                    Group(count: 2) { Holding(number: first + $0) }.then(SumUp()))
                try await running(store) {
                    try await Holding.haveBegun(first..<first + 2)
                    Holding.letGo(first..<first + 1)
                    if order {
                        Holding.letGo(first..<first + 2)
                        try await expectEqual(chord.result, 2 * first + 1)
                        try await expectEqual(store.cancel(chord.id), .alreadyEnded)
                    } else {
                        try await expectEqual(store.cancel(chord.id), .stopping)
                        _ = await #expect(throws: JobError.cancelled(chord.id)) {
                            _ = try await chord.result
                        }
                        expectEqual(try chord.summary.steps[1].state, .cancelled)
                    }
                }
            }
        }
    }

    @Test("a member that is requeued behind its end runs once more, and its chord's end does not")
    func requeueBehindTheEnd() async throws {
        try await withStore { store in
            Holding.letGo(2_400..<2_403)
            let chord = try await store.enqueue(
                Group(count: 3) { Holding(number: 2_400 + $0) }.then(SumUp()))
            try await running(store) {
                let sum = try await chord.result
                let member = JobID(rawValue: try chord.summary.steps[0].ids[0].lowerBound)
                try await expectEqual(store.requeue(member), .requeued)
                try await expectEqual(store.waitForEnd(of: member).kind, .succeeded)
                try await expectEqual(store.requeue(chord.id), .notEnded)
                try await expectEqual(chord.result, sum)
            }
            let summary = try chord.summary
            #expect(summary.ended == 4 && summary.failed == 0)
        }
    }

    @Test("a workflow that is requeued while its runner goes on runs again all that was cancelled")
    func requeueOfTheStopped() async throws {
        try await withStore { store in
            Mendable.broken.withLock { _ = $0.insert(2_500) }
            let chord = try await store.enqueue(
                Group(count: 200) { Mendable(number: 2_500 + $0) }.then(SumUp()))
            try await running(store, workers: 1) {
                _ = await #expect(throws: JobError.self) { _ = try await chord.result }
                Mendable.broken.withLock { _ = $0.remove(2_500) }
                try await store.requeue(chord.id)
                try await expectEqual(chord.result, (2_500..<2_700).reduce(0, +))
            }
        }
    }

    @Test("a member that was requeued alone does not keep its workflow from being resumed")
    func requeuedAlone() async throws {
        try await withStore { store in
            Mendable.broken.withLock { $0.formUnion([2_701, 2_710]) }
            let whole = Group(count: 3) { Mendable(number: 2_700 + $0) }.onFailure(.goOn)
                .then(independent: Holding(number: 2_720))
                .then(independent: Mendable(number: 2_710))
            let handle = try await store.enqueue(whole)
            try await running(store) {
                try await Holding.haveBegun(2_720..<2_721)
                Mendable.broken.withLock { _ = $0.remove(2_701) }
                let ids = try handle.summary.steps[0].ids[0]
                let member = JobID(rawValue: ids.lowerBound + 1)
                try await expectEqual(store.requeue(member), .requeued)
                try await expectEqual(store.waitForEnd(of: member).kind, .succeeded)
                Holding.letGo(2_720..<2_721)
                _ = await #expect(throws: JobError.self) { _ = try await handle.result }
                Mendable.broken.withLock { _ = $0.remove(2_710) }
                try await store.requeue(handle.id)
                try await expectEqual(handle.result, 2_710)
            }
            expectEqual(try handle.summary.failed, 0)
        }
    }

    @Test("a cancel reaches the workflow that a job has given way to")
    func cancelOfInner() async throws {
        try await withStore { store in
            let chain = try await store.enqueue(
                chain: GivesWayToHolding(number: 2_800), then: Plus(number: 1))
            try await running(store) {
                try await Holding.haveBegun(2_800..<2_801)
                try await expectEqual(store.cancel(chain.id), .stopping)
                _ = await #expect(throws: JobError.cancelled(chain.id)) {
                    _ = try await chain.result
                }
            }
            let inner = try #require(try chain.summary.steps[0].inner)
            #expect(try store.workflow(inner).steps.map { $0.state } == [.failed, .cancelled])
        }
    }

    @Test("a requeue of a job that gave way carries its workflow on, and counts once")
    func requeueOfInner() async throws {
        try await withStore { store in
            Holding.fail(2_900)
            let group = try await store.enqueue(
                Group([
                    Workflow(GivesWayToHolding(number: 2_900)), Workflow(Holding(number: 2_901)),
                ]).onFailure(.goOn).then(SumUp()))
            try await running(store) {
                Holding.letGo(2_900..<2_901)
                let outer = JobID(rawValue: try group.summary.steps[0].ids[0].lowerBound)
                try await expectEqual(store.waitForEnd(of: outer).kind, .failed)
                Holding.mend(2_900)
                try await expectEqual(store.requeue(outer), .requeued)
                try await expectEqual(store.waitForEnd(of: outer).kind, .succeeded)
                expectEqual(try group.summary.steps[2].state, .waiting)
                Holding.letGo(2_901..<2_902)
                try await expectEqual(group.result, 2_901 + 2_901)
            }
        }
    }

    @Test("what is purged of a group that waits does not keep the others from running")
    func purgedMember() async throws {
        try await withStore { store in
            let whole = Workflow(Holding(number: 3_000))
                .then(Group(count: 5) { Give(number: $0) }.onFailure(.goOn)).then(SumUp())
            let handle = try await store.enqueue(whole)
            let ids = try handle.summary.steps[1].ids[0]
            var filter = JobFilter()
            filter.name = "Give"
            filter.after = JobID(rawValue: ids.lowerBound - 1)
            try await store.cancel(JobID(rawValue: ids.lowerBound))
            filter.states = [.cancelled]
            try await expectEqual(store.purge(filter).deleted, 1)
            try await running(store) {
                Holding.letGo(3_000..<3_001)
                try await expectEqual(handle.result, 1 + 2 + 3 + 4 - 1_000)
            }
        }
    }
}
