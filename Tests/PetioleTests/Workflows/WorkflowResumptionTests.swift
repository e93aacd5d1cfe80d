import PetioleStorage
import PetioleTesting
import Testing

@testable import Petiole

/// Adds to what it is given, as long as its mark has been taken away.
private struct MendablePlus: FollowingJob {
    static let retryPolicy = RetryPolicy(maxAttempts: 2, backoff: .constant(.milliseconds(1)))
    var number: Int
    func run(_ input: Int, _ context: JobContext) throws -> Int {
        if Mendable.broken.withLock({ $0.contains(number) }) { throw Refusal() }
        return input + number
    }
}

@Suite("Resumption of workflows", .timeLimit(.minutes(10)))
struct WorkflowResumptionTests {
    private static let types: [any JobType.Type] = [
        Give.self, Mendable.self, MendablePlus.self, Plus.self, SumUp.self, GivesWay.self,
        GivesWayToMendable.self,
    ]

    private func breaking(_ number: Int) { Mendable.broken.withLock { _ = $0.insert(number) } }
    private func mend(_ number: Int) { Mendable.broken.withLock { _ = $0.remove(number) } }

    @Test("what failed in a group that goes on runs again, and the group has succeeded then")
    func goesOn() async throws {
        try await withStore { store in
            breaking(8_201)
            let group = Group((8_200..<8_203).map { Workflow(Mendable(number: $0)) })
                .onFailure(.goOn)
            let handle = try await store.enqueue(group)
            try await makeRunner(store, jobs: Self.types).run {
                try await expectEqual(store.waitForEnd(of: handle.id).kind, .deadLetter)
            }
            mend(8_201)
            try await store.requeue(handle.id)
            expectSound(store)
            try await makeRunner(store, jobs: Self.types).run {
                try await expectEqual(store.waitForEnd(of: handle.id).kind, .succeeded)
            }
        }
    }

    @Test("what follows a group that goes on waits for those of it that are requeued with it")
    func goesOnAndFollows() async throws {
        try await withStore { store in
            breaking(8_211)
            breaking(8_219)
            let members = Group((8_210..<8_213).map { Workflow(Mendable(number: $0)) })
                .onFailure(.goOn)
            let handle = try await store.enqueue(
                members.then(SumUp()).then(MendablePlus(number: 8_219)).then(Plus(number: 1)))
            try await makeRunner(store, jobs: Self.types).run {
                try await expectEqual(store.waitForEnd(of: handle.id).kind, .deadLetter)
            }
            mend(8_211)
            mend(8_219)
            try await store.requeue(handle.id)
            expectSound(store)
            try await makeRunner(store, jobs: Self.types).run {
                // The sum was there, and stays what it was: that it had succeeded is not taken back.
                try await expectEqual(handle.result, 8_210 - 1_000 + 8_212 + 8_219 + 1)
            }
        }
    }

    /// A workflow within another, of both of which the outer one has been set back: somebody who requeued died then.
    private func cutShort(_ number: Int, _ store: JobStore) async throws -> WorkflowHandle<Int> {
        try await setBack(number, store).outer
    }

    /// Likewise, and which resumption that was.
    private func setBack(
        _ number: Int, _ store: JobStore
    ) async throws -> (outer: WorkflowHandle<Int>, token: UInt64, resumption: UInt32) {
        breaking(number)
        let outer = try await store.enqueue(
            Workflow(GivesWayToMendable(number: number)).then(Plus(number: 1)))
        try await makeRunner(store, jobs: Self.types).run {
            try await expectEqual(store.waitForEnd(of: outer.id).kind, .deadLetter)
        }
        mend(number)
        let token = try #require(
            try store.open.read { (reader) throws(StorageError) in
                try WorkflowRows.readToken(of: outer.id.rawValue, reader, store.open.tables)
            })
        var place: WorkflowResumption.Place? = WorkflowResumption.Place(token: token)
        var resumption: UInt32?
        while let next = place {
            let step = try await store.open.perform {
                (transaction, state) throws(StorageError) in
                try WorkflowResumption.step(next, &transaction, &state)
            }
            place = step.next
            resumption = step.unfinished
        }
        #expect(try outer.summary.isResuming)
        return (outer, token, try #require(resumption))
    }

    @Test("who has begun a resumption does not finish the one that another has begun anew")
    func twoResume() async throws {
        try await withStore { store in
            let (outer, token, first) = try await setBack(8_251, store)
            let begun = try await store.open.perform { (transaction, state) throws(StorageError) in
                let step = try WorkflowResumption.step(
                    WorkflowResumption.Place(token: token), &transaction, &state)
                try WorkflowResumption.finish(token, first, &transaction, &state)
                return step
            }
            #expect(begun.unfinished == first + 1)
            #expect(try outer.summary.isResuming)
            try await store.requeue(outer.id)
            try await makeRunner(store, jobs: Self.types).run {
                try await expectEqual(outer.result, 8_252)
            }
        }
    }

    @Test("a resumption that is cut short before the workflow within is found by the next one")
    func cutShort() async throws {
        try await withStore { store in
            let outer = try await cutShort(8_221, store)
            try await store.requeue(outer.id)
            expectSound(store)
            try await makeRunner(store, jobs: Self.types).run {
                try await expectEqual(outer.result, 8_222)
            }
        }
    }

    @Test("a workflow whose resumption was cut short is cancelled as any other")
    func cancelsCutShort() async throws {
        try await withStore { store in
            let outer = try await cutShort(8_241, store)
            try await expectEqual(store.cancel(outer.id), .cancelled)
            expectSound(store)
            expectEqual(try store.counts().unfinished, 0)
            try await store.requeue(outer.id)
            try await makeRunner(store, jobs: Self.types).run {
                try await expectEqual(outer.result, 8_242)
            }
        }
    }

    @Test("what a step gave way to is kept as long as the workflow that it lies in")
    func innerIsKept() async throws {
        let clock = TestClock(isFrozen: true)
        try await withStore(clock: clock) { store in
            breaking(8_231)
            let outer = try await store.enqueue(
                Workflow(GivesWay(number: 1)).then(MendablePlus(number: 8_231)))
            try await makeRunner(store, jobs: Self.types).run {
                // Its second attempt is due a millisecond later.
                while try store.outcome(of: outer.id) == nil {
                    clock.advance(.milliseconds(1))
                    try await turn()
                }
            }
            let kept = try store.counts().succeeded
            mend(8_231)
            clock.advance(.seconds(3_600))
            try await store.prune(olderThan: .seconds(60))
            expectEqual(try store.counts().succeeded, kept)
            try await store.requeue(outer.id)
            try await makeRunner(store, jobs: Self.types).run {
                try await expectEqual(outer.result, 8_262)
            }
        }
    }
}
