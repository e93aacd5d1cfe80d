import Foundation
import Testing

@testable import Petiole

private struct Note: Job {
    var text: String
    func run(_ context: JobContext) throws -> String { text }
}

private enum Bytes: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(payload)
    }
}

@Suite("Enqueue") struct EnqueueTests {
    @Test("a job that was enqueued is ready, and counted")
    func one() async throws {
        try await withStore { store in
            let job = try await store.enqueue(Note(text: "a"))
            #expect(job.id.rawValue == 1)
            #expect(try job.state == .ready)
            #expect(try store.counts().accepted == 1)
            #expect(try store.counts().ready == 1)
            #expect(try store.counts(queue: "default").ready == 1)
            #expect(try store.counts(queue: "other").accepted == 0)
        }
    }

    @Test("ids are one sequence from 1, in the order of acceptance, over queues and priorities")
    func sequence() async throws {
        try await withStore { store in
            for id in 1...20 as ClosedRange<UInt64> {
                var options = EnqueueOptions(priority: Int(id % 10))
                options.queue = id % 2 == 0 ? "even" : "odd"
                let job = try await store.enqueue(Note(text: "n"), options: options)
                #expect(job.id.rawValue == id)
            }
            #expect(try store.queues().map { $0.name } == ["even", "odd"])
            #expect(try store.counts(queue: "even").accepted == 10)
        }
    }

    @Test("code that is not asynchronous enqueues too, also in a job; results are had by id")
    func blocking() async throws {
        try await withStore { store in
            let first = try await onThread("test-enqueue") {
                let handle = try store.enqueueBlocking(Note(text: "first"))
                expectEqual(try store.counts().ready, 1)
                return handle
            }
            let fanOut = JobClosure("fan-out") { (count: Int, context) in
                for index in 0..<count {
                    try context.store.enqueueBlocking(Note(text: "\(index)"))
                }
                try context.store.enqueue(Note(text: "later"), durability: .buffered)
                try context.store.flushBlocking()
                return try context.store.counts().accepted
            }
            let runner = try JobRunner(store, jobs: [Note.self, Bytes.self], closures: [fanOut])
            try await runner.run {
                let byName = try await onThread("test-enqueue") {
                    try store.enqueueBlocking(name: "fan-out", payload: 5, output: Int.self)
                }
                try await expectEqual(first.result, "first")
                try await expectEqual(byName.result, 8)
                let raw = try await onThread("test-enqueue") {
                    try store.enqueueBlocking(Bytes.self, payload: [1, 2])
                }
                try await expectEqual(raw.result, [1, 2])
                let json = try await onThread("test-enqueue") {
                    try store.enqueueBlocking(name: "Note", json: #"{"text":"last"}"#)
                }
                try await expectEqual(
                    store.handle(of: json, output: String.self).result, "last")
                // By their ids, as another process has them.
                try await expectEqual(
                    store.handle(of: first.id, as: Note.self).result, "first")
                try await expectEqual(store.handle(of: raw.id, as: Bytes.self).result, [1, 2])
            }
            #expect(throws: EnqueueError.self) {
                try store.enqueueBlocking(name: "no such form", payload: 1)
            }
            let none = JobID(rawValue: 99)
            await #expect(throws: JobError.noSuchJob(none)) {
                try await store.handle(of: none, as: Note.self).result
            }
            #expect(try store.counts().succeeded == 10)
        }
    }

    @Test(
        "many are accepted together with ids that follow each other",
        arguments: [0, 1, 2, 513, 9_000])
    func many(count: Int) async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(contentsOf: (0..<count).map { Note(text: "\($0)") })
            #expect(jobs.count == count)
            #expect(jobs.map { $0.id.rawValue } == (0..<count).map { UInt64($0) + 1 })
            #expect(try store.counts().ready == count)
        }
    }

    @Test("payloads of every size around the bound of a block come out as they went in")
    func sizes() async throws {
        let sizes = [
            0, 1, 65_400, 65_463, 65_464, 65_465, 65_520, 65_536, 300_000, 3, 40_000, 40_000,
        ]
        try await withStore { store in
            let payloads = sizes.enumerated().map { index, size in
                [UInt8](repeating: UInt8(index), count: size)
            }
            let jobs = try await store.enqueue(Bytes.self, payloads: payloads)
            let runner = try makeRunner(store, jobs: [Bytes.self])
            try await runner.run {
                for (job, payload) in zip(jobs, payloads) {
                    try await expectEqual(job.result, payload)
                }
            }
        }
    }

    @Test("a closure writes payloads, and results come back typed for every kind of job")
    func raw() async throws {
        try await withStore { store in
            let jobs = try await store.enqueue(Bytes.self, count: 100) { index, bytes in
                bytes.append(littleEndian: UInt32(index))
            }
            let one = try await store.enqueue(Bytes.self, payload: [1, 2, 3])
            let runner = try makeRunner(store, jobs: [Bytes.self])
            try await runner.run {
                try await expectEqual(jobs[7].result, [7, 0, 0, 0])
                try await expectEqual(one.result, [1, 2, 3])
            }
        }
    }

    @Test("a job enqueued by name, with a value or with JSON text, is the job of that name")
    func byName() async throws {
        try await withStore { store in
            let typed = try await store.enqueue(
                name: "Note", payload: ["text": "by name"], output: String.self)
            let text = try await store.enqueue(name: "Note", json: #"{"text": "from JSON"}"#)
            let runner = try makeRunner(store, jobs: [Note.self])
            try await runner.run {
                try await expectEqual(typed.result, "by name")
                let handle = JobHandle<String>(store: store, id: text, codec: .compact)
                try await expectEqual(handle.result, "from JSON")
            }
        }
    }

    @Test("text that is not JSON is refused, and nothing is accepted")
    func brokenJSON() async throws {
        try await withStore { store in
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(name: "Note", json: #"{"text": "#)
            }
            try expectEqual(store.counts().accepted, 0)
        }
    }

    @Test(
        "a name that keys, paths and terminals could not carry is refused",
        arguments: ["", "-a", ".a", "a b", "a/b", "ä", String(repeating: "a", count: 65), "a\n"])
    func names(name: String) async throws {
        try await withStore { store in
            await #expect(throws: EnqueueError.invalidName(name, what: "job")) {
                try await store.enqueue(name: name, payload: 1)
            }
            await #expect(throws: EnqueueError.invalidName(name, what: "queue")) {
                try await store.enqueue(
                    Note(text: ""), options: EnqueueOptions(queue: name))
            }
            try expectEqual(store.counts().accepted, 0)
        }
    }

    @Test(
        "of many jobs none is accepted when a payload among them is too large",
        arguments: [1, 3_000])
    func allOrNothing(before: Int) async throws {
        try await withStore(configure: { $0.payloadLimit = 100_000 }) { store in
            var payloads = [[UInt8]](repeating: [UInt8](repeating: 1, count: 1_000), count: before)
            payloads.append([UInt8](repeating: 2, count: 100_001))
            payloads += [[3]]
            await #expect(
                throws: EnqueueError.payloadTooLarge(job: "Bytes", bytes: 100_001, limit: 100_000)
            ) {
                try await store.enqueue(Bytes.self, payloads: payloads)
            }
            #expect(try store.counts().accepted == 0)
            let job = try await store.enqueue(
                Bytes.self, payload: [UInt8](repeating: 1, count: 100_000))
            #expect(try job.state == .ready)
        }
    }

    @Test("a value that cannot be encoded is refused, and its neighbours with it")
    func unencodable() async throws {
        struct Reading: Job {
            static var codec: PayloadCodec { .json }
            var value: Double
            func run(_ context: JobContext) throws -> NoResult { NoResult() }
        }
        try await withStore { store in
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(contentsOf: [1, .infinity, 3].map { Reading(value: $0) })
            }
            try expectEqual(store.counts().accepted, 0)
        }
    }

    @Test("what was handed over without waiting is there after a flush")
    func buffered() async throws {
        try await withStore { store in
            var pending: [PendingJob<String>] = []
            for index in 0..<1_000 {
                pending.append(
                    try store.enqueue(Note(text: "\(index)"), durability: .buffered))
            }
            try await store.flush()
            #expect(try store.counts().accepted == 1_000)
            #expect(try await pending[999].accepted.id.rawValue == 1_000)
            #expect(try await pending[999].accepted.id.rawValue == 1_000)
        }
    }

    @Test("a buffered enqueue may be refused at once, and accepted after a flush")
    func bufferedOrFail() async throws {
        try await withStore { store in
            let payload = [UInt8](repeating: 1, count: 1 << 20)
            var accepted = 0
            var refused = 0
            for index in 0..<200 {
                do throws(EnqueueError) {
                    try store.enqueue(Bytes.self, payload: payload, durability: .bufferedOrFail)
                    accepted += 1
                } catch {
                    #expect(error == .bufferFull)
                    refused += 1
                }
                if accepted + refused == index + 1, refused > 0 { try await store.flush() }
            }
            try await store.flush()
            #expect(try store.counts().accepted == accepted)
            #expect(accepted + refused == 200)
        }
    }

    @Test("a store that has reached its limit refuses new jobs and still records outcomes")
    func byteLimit() async throws {
        try await withStore(configure: {
            $0.byteLimit = 64 << 20
            $0.retentionShare = 1
        }) { store in
            let trace = Trace<Int>()
            let closure = JobClosure("count") { (number: Int, _) in
                trace.add(number)
                return number
            }
            let jobs = try await store.numbers("count", Array(0..<200))
            let payload = [UInt8](repeating: 1, count: 4 << 20)
            var refusal: EnqueueError?
            for _ in 0..<64 where refusal == nil {
                do throws(EnqueueError) {
                    try await store.enqueue(Bytes.self, payload: payload)
                } catch { refusal = error }
            }
            guard case .refused("Bytes", "default", .full(_, let used, 64 << 20)) = refusal else {
                Issue.record("\(String(describing: refusal)) is not a full store")
                return
            }
            #expect(used > 48 << 20)
            let runner = try makeRunner(store, [closure])
            try await runner.run {
                for (index, job) in jobs.enumerated() { try await expectEqual(job.result, index) }
            }
            #expect(trace.items == Array(0..<200))
            // Small ones may still fit; large ones do not.
            await #expect(throws: EnqueueError.self) {
                try await store.enqueue(Bytes.self, payload: payload)
            }
        }
    }
}
