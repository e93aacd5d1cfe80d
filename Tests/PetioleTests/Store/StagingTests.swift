import PetioleStorage
import Testing

@testable import Petiole

private enum Bytes: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(littleEndian: UInt64(payload.byteCount))
    }
}

extension JobStore {
    fileprivate var stageCount: Int {
        get throws {
            let tables = open.tables
            return try open.read { (reader) throws(StorageError) in try reader.count(tables.stages)
            }
        }
    }
    fileprivate var blockCount: Int {
        get throws {
            let tables = open.tables
            return try open.read { (reader) throws(StorageError) in try reader.count(tables.jobs) }
        }
    }
}

@Suite("Staging") struct StagingTests {
    /// 20 MiB in jobs of 64 KiB: three parts.
    private let payload = [UInt8](repeating: 7, count: 64 << 10)

    @Test("nothing of a large enqueue can be seen before all of it can")
    func unseen() async throws {
        try await withStore { store in
            let seen = Trace<Int>()
            let jobs = try await store.enqueue(Bytes.self, count: 320) { index, bytes in
                bytes.append(contentsOf: payload)
                do {
                    seen.add(try store.counts().accepted)
                    // The first id that a staged job could have.
                    // None: unseen.
                    seen.add((try? store.state(of: JobID(rawValue: 1))) == nil ? 0 : 1)
                } catch { Issue.record(error) }
            }
            #expect(Set(seen.items) == [0])
            #expect(jobs.count == 320)
            #expect(try store.stageCount == 0)
            #expect(try store.counts().ready == 320)
            #expect(try jobs[319].state == .ready)
            // In the order in which they were given, whatever came between.
            #expect(jobs.map { $0.id } == jobs.map { $0.id }.sorted())
        }
    }

    @Test("others enqueue while a large one is being written, and both are whole")
    func sideBySide() async throws {
        try await withStore { store in
            async let large = store.enqueue(Bytes.self, count: 320) { _, bytes in
                bytes.append(contentsOf: payload)
            }
            for index in 0..<200 {
                try await store.enqueue(Bytes.self, payload: [UInt8(index)])
            }
            let jobs = try await large
            #expect(try store.counts().ready == 520)
            let runner = try makeRunner(store, jobs: [Bytes.self])
            try await runner.run {
                for job in jobs { try await expectEqual(job.result, [0, 0, 1, 0, 0, 0, 0, 0]) }
            }
            #expect(try store.counts().succeeded == 520)
        }
    }

    @Test("what a producer left half written is swept when the store is opened next")
    func swept() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        var store = try directory.open()
        let request = try EnqueueRequest(
            EnqueueTarget(Bytes.self), EnqueueOptions(), codec: .raw, in: store.open)
        var writer: StageWriter? = try await StageWriter(store, request)
        for _ in 0..<600 {
            let block = try request.block { (writer) throws(CodecError) in
                payload.withUnsafeBytes { writer.append(contentsOf: $0) }
            }
            try await writer!.add(EnqueueSubmission(request, block))
        }
        #expect(try store.stageCount == 1)
        #expect(try store.counts().accepted == 0)
        let before = try await store.enqueue(Bytes.self, payload: [1])
        // Held by a living producer: another opening leaves it alone.
        let again = try directory.open()
        #expect(try store.stageCount == 1)
        again.close()
        writer = nil
        store.close()
        store = try directory.open()
        #expect(try store.stageCount == 0)
        #expect(try store.blockCount == 1)
        #expect(try store.state(of: before.id) == .ready)
        let after = try await store.enqueue(Bytes.self, payload: [1])
        #expect(after.id > before.id)
        expectSound(store)
        store.close()
    }

    @Test("a stage does not write over what a producer that died has left under its number")
    func takenNumber() async throws {
        try await withStore { store in
            // As a producer does that dies: a row, and nobody holds the lock byte.
            let request = try EnqueueRequest(
                EnqueueTarget(Bytes.self), EnqueueOptions(), codec: .raw, in: store.open)
            let dead = try await StageWriter(store, request, pick: { 5 })
            store.open.locks.unlock(StoreFormat.stageLock(5))
            var numbers: [UInt32] = [5, 5, 6]
            let writer = try await StageWriter(store, request, pick: { numbers.removeFirst() })
            #expect(numbers == [])
            #expect(try store.stageCount == 2)
            #expect(try await writer.publish(JobLoad()).isEmpty)
            #expect(try store.stageCount == 1)
            await dead.giveUp()
            #expect(try store.stageCount == 0)
        }
    }

    @Test("a payload that is too large, behind some parts, leaves nothing of them")
    func refusedInTheMiddle() async throws {
        try await withStore(configure: { $0.payloadLimit = 100_000 }) { store in
            let payload = payload
            let payloads = (0..<320).lazy.map { index in
                index == 300 ? [UInt8](repeating: 1, count: 100_001) : payload
            }
            await #expect(
                throws: EnqueueError.payloadTooLarge(job: "Bytes", bytes: 100_001, limit: 100_000)
            ) {
                try await store.enqueue(Bytes.self, payloads: payloads)
            }
            try expectEqual(store.counts().accepted, 0)
            try expectEqual(store.stageCount, 0)
            try expectEqual(store.blockCount, 0)
        }
    }

    @Test("a store without room for all of a large enqueue takes none of it")
    func full() async throws {
        try await withStore(configure: { $0.byteLimit = 64 << 20 }) { store in
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Bytes.self, count: 1_600) { _, bytes in
                    bytes.append(contentsOf: payload)
                }
            }
            try expectEqual(store.counts().accepted, 0)
            try expectEqual(store.stageCount, 0)
            try expectEqual(store.blockCount, 0)
        }
    }
}
