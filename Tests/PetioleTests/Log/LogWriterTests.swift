import Foundation
import PetioleStorage
import Synchronization
import Testing

@testable import Petiole

private enum Bytes: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {}
}

@Suite("LogWriter", .timeLimit(.minutes(10))) struct LogWriterTests {
    @Test(
        "a submission that comes as the writer falls asleep is committed: nobody waits for another")
    func noLostWakeUp() async throws {
        try await withStore { store in
            // One at a time from each of some threads and tasks: after each commit the writer finds its inbox empty, and any
            // submission may come at any place of its way to sleep, or while a thread commits in its place. One that is
            // missed hangs its caller for ever.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<4 {
                    group.addTask {
                        if index % 2 == 0 {
                            return try await onThread("test-submit") {
                                for _ in 0..<2_000 {
                                    try store.open.performBlocking { (_, _) throws(StorageError) in
                                    }
                                }
                            }
                        }
                        for _ in 0..<2_000 {
                            try await store.open.perform { (_, _) throws(StorageError) in }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("what is submitted after the end is answered, also when it comes while the thread ends")
    func afterTheEnd() async throws {
        for _ in 0..<50 {
            let directory = try TestDirectory()
            defer { directory.remove() }
            let store = try directory.open()
            let writer = store.open.writer
            async let ended: Void = onThread("test-stop") { writer.stop() }
            var answers: [Task<Void, Never>] = []
            for index in 0..<20 {
                answers.append(
                    Task {
                        await withCheckedContinuation { continuation in
                            let submission = OperationSubmission { (_, _) throws(StorageError) in
                            } completion: { error in
                                #expect(error == nil || error == .closed)
                                continuation.resume()
                            }
                            if index % 2 == 0 {
                                writer.submit(submission)
                            } else {
                                writer.submitBlocking(submission)
                            }
                        }
                    })
            }
            for answer in answers { await answer.value }
            try await ended
            await #expect(throws: StoreError.self) {
                try await store.open.perform { (_, _) throws(StorageError) in }
            }
            store.close()
        }
    }

    @Test(
        "what came while a commit was under way is committed together, in the order in which it came"
    )
    func groupCommit() async throws {
        try await withStore { store in
            try await store.enqueue(Bytes.self, payload: [0])
            let isIn = Gate()
            let goOn = Gate()
            let held = Task<Void, any Error> {
                try await store.open.perform { (_, _) throws(StorageError) in
                    isIn.open()
                    goOn.block()
                }
            }
            await isIn.wait()
            let commit = store.open.environment.usage.lastCommit
            let pending = try (0..<500).map { index in
                try store.enqueue(
                    Bytes.self, payload: [UInt8(index % 256)], durability: .buffered)
            }
            goOn.open()
            try await held.value
            for (index, job) in pending.enumerated() {
                let id = try await job.accepted.id.rawValue
                #expect(id == UInt64(index + 2))
            }
            // Nothing was written by the first; all that waited went in one.
            #expect(store.open.environment.usage.lastCommit - commit <= 2)
        }
    }

    @Test("of requests that met in one commit, only the one that cannot be granted is refused")
    func noSharedFate() async throws {
        try await withStore(configure: { $0.byteLimit = 64 << 20 }) { store in
            let isIn = Gate()
            let goOn = Gate()
            let held = Task<Void, any Error> {
                try await store.open.perform { (_, _) throws(StorageError) in
                    isIn.open()
                    goOn.block()
                }
            }
            await isIn.wait()
            let large = [UInt8](repeating: 1, count: 60 << 20)
            let before = try (0..<10).map { _ in
                try store.enqueue(Bytes.self, payload: [1], durability: .buffered)
            }
            let tooLarge = try store.enqueue(Bytes.self, payload: large, durability: .buffered)
            let after = try (0..<10).map { _ in
                try store.enqueue(Bytes.self, payload: [1], durability: .buffered)
            }
            let failing = Task<Void, any Error> {
                try await store.open.perform { (_, _) throws(StorageError) -> Void in
                    throw StorageError.transactionTooLarge
                }
            }
            goOn.open()
            try await held.value
            for job in before + after { _ = try await job.accepted }
            do throws(EnqueueError) {
                _ = try await tooLarge.accepted
                Issue.record("60 MiB were accepted where 64 with all around them are allowed")
            } catch {
                guard case .refused("Bytes", "default", .full) = error else { throw error }
            }
            await #expect(throws: StoreError.self) { try await failing.value }
            do throws(FlushError) {
                try await store.flush()
                Issue.record("a refused job was not told by the flush")
            } catch { #expect(error.count == 1) }
            #expect(try store.counts().accepted == 20)
        }
    }

    @Test("a commit that fails leaves nothing behind, and what is asked next is granted")
    func failedCommit() async throws {
        try await withStore { store in
            let tables = store.open.tables
            await #expect(throws: StoreError.self) {
                try await store.open.perform { (transaction, _) throws(StorageError) -> Void in
                    try transaction.put(tables.active, Key(9), count: 8) {
                        $0.storeBytes(of: 0, as: UInt64.self)
                    }
                    throw StorageError.damaged("as asked")
                }
            }
            let rows = try store.open.read { (reader) throws(StorageError) in
                try reader.count(tables.active)
            }
            #expect(rows == 0)
            let job = try await store.enqueue(Bytes.self, payload: [1])
            #expect(job.id.rawValue == 1)
        }
    }

    @Test("many producers at once: every job is accepted once, and none of another's")
    func manyProducers() async throws {
        try await withStore { store in
            let ranges = try await withThrowingTaskGroup(of: [ClosedRange<UInt64>].self) { group in
                for producer in 0..<8 {
                    group.addTask {
                        var mine: [ClosedRange<UInt64>] = []
                        for round in 0..<30 {
                            let jobs = try await store.enqueue(
                                Bytes.self, count: 1 + (producer * 7 + round) % 50
                            ) { _, bytes in bytes.append(littleEndian: UInt32(producer)) }
                            mine += jobs.idRanges
                        }
                        return mine
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            var next: UInt64 = 1
            for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
                #expect(range.lowerBound == next)
                next = range.upperBound + 1
            }
            #expect(try store.counts().accepted == Int(next - 1))
        }
    }

    @Test("a thread that waits commits by itself while the writer sleeps, and never beside it")
    func inItsPlace() async throws {
        try await withStore { store in
            let writers = Trace<UInt64>()
            let within = Within()
            @Sendable func note() throws(StorageError) {
                // Relaxed: two at once are what must not be.
                let before = within.count.wrappingAdd(1, ordering: .relaxed).oldValue
                #expect(before == 0, "two write at once")
                writers.add(currentThread())
                // Relaxed: as above.
                within.count.wrappingSubtract(1, ordering: .relaxed)
            }
            let threads = try await withThrowingTaskGroup(of: UInt64.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        try await onThread("test-write") {
                            for _ in 0..<500 {
                                try store.open.performBlocking { (_, _) throws(StorageError) in
                                    try note()
                                }
                            }
                            return currentThread()
                        }
                    }
                }
                for _ in 0..<500 {
                    try await store.open.perform { (_, _) throws(StorageError) in try note() }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(writers.items.count == 2_000)
            #expect(!threads.isDisjoint(with: writers.items), "all was left to the writer")
        }
    }

    private final class Within: Sendable {
        let count = Atomic<Int>(0)
    }

    private func currentThread() -> UInt64 {
        #if canImport(Darwin)
            UInt64(UInt(bitPattern: pthread_self()))
        #else
            UInt64(pthread_self())
        #endif
    }

    @Test("callers that are answered together and come back together are all answered, to the last")
    func comingBack() async throws {
        try await withStore { store in
            // They leave one by one, so that for a while each nap is for somebody who does not come back.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<16 {
                    group.addTask {
                        for _ in 0...caller * 10 {
                            try await store.enqueue(Bytes.self, payload: [1])
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try store.counts().accepted == 16 + 10 * (0..<16).reduce(0, +))
        }
    }

    @Test("closing a store commits what was handed over")
    func closing() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        for index in 0..<100 {
            try store.enqueue(Bytes.self, payload: [UInt8(index)], durability: .buffered)
        }
        store.close()
        let again = try directory.open()
        #expect(try again.counts().accepted == 100)
        expectSound(again)
        again.close()
    }
}
