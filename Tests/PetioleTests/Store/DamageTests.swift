import Foundation
import Synchronization
import Testing

@testable import Petiole

/// Takes whatever bytes it is given, and tells that it was given them.
private enum Seen: RawJob {
    static let payloads = Mutex<[[UInt8]]>([])
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        let bytes = payload.withUnsafeBytes { Array($0) }
        payloads.withLock { $0.append(bytes) }
    }
}

/// Leaves its payload twice as its result.
private enum Twice: RawJob {
    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        result.append(payload)
        result.append(payload)
    }
}

@Suite("Damaged records", .serialized) struct DamageTests {
    enum Place: CaseIterable {
        case payloadBegin, payloadEnd, checksum, name, codec

        /// How many bytes behind the payload, or behind its entry.
        func offset(payload: Int, length: Int, entry: Int) -> Int {
            switch self {
            case .payloadBegin: payload
            case .payloadEnd: payload + length - 1
            case .checksum: entry + 8
            case .name: entry + 12
            case .codec: entry + 16
            }
        }
    }

    /// A payload that is found in the file: its number all over.
    private static func payload(_ number: Int, _ length: Int) -> [UInt8] {
        (0..<length).map { UInt8(truncatingIfNeeded: $0 % 8 == 0 ? number : 0xA0 + $0 % 8) }
    }

    /// Makes a store with jobs in one block, and changes its closed file.
    private func damaged(
        count: Int, length: Int, isGroup: Bool = false,
        _ change: (inout Data, _ payload: Int, _ block: Int) throws -> Void
    ) async throws -> TestDirectory {
        let directory = try TestDirectory()
        let store = try directory.open()
        if isGroup {
            let group = Group(Seen.self, count: count) {
                $1.append(contentsOf: Self.payload($0 + 1, length))
            }
            try await store.enqueue(group)
        } else {
            try await store.enqueue(
                Seen.self, payloads: (1...count).map { Self.payload($0, length) })
        }
        store.close()
        let file = URL(fileURLWithPath: directory.store + "/data.mdb")
        var bytes = try Data(contentsOf: file)
        let payload = try #require(bytes.range(of: Data(Self.payload(2, length))))
        #expect(bytes[payload.upperBound...].range(of: Data(Self.payload(2, length))) == nil)
        let block = try #require(
            bytes[..<payload.lowerBound].range(
                of: Data([0x50, 0x4A, JobBlock.version]), options: .backwards))
        try change(&bytes, payload.lowerBound, block.lowerBound)
        // In place: the file keeps its mode and its size.
        let handle = try FileHandle(forUpdating: file)
        try handle.write(contentsOf: bytes)
        try handle.close()
        return directory
    }

    @Test("a group whose member cannot be read ends all the same, and says which it was")
    func member() async throws {
        Seen.payloads.withLock { $0 = [] }
        let directory = try await damaged(count: 3, length: 24, isGroup: true) {
            bytes, payload, _ in
            bytes[payload] ^= 0x10
        }
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        try await makeRunner(store, jobs: [Seen.self]).run {}
        // The group's own job is the first.
        let outcome = try #require(try store.outcome(of: JobID(rawValue: 1)))
        #expect(outcome.kind == .deadLetter)
        #expect(outcome.failure?.message.contains("job 3 of the workflow") == true)
        #expect(try store.workflow(JobID(rawValue: 1)).ended == 3)
        #expect(try store.counts().unfinished == 0)
    }

    @Test(
        "a record whose checksum fails is a dead letter that no job has seen, and its neighbours run",
        arguments: Place.allCases, [24, 9_000])
    func record(place: Place, length: Int) async throws {
        Seen.payloads.withLock { $0 = [] }
        // The large ones lie on pages of their own.
        let directory = try await damaged(count: 3, length: length) { bytes, payload, block in
            let entry = block + JobBlock.headerSize + JobBlock.entrySize
            bytes[place.offset(payload: payload, length: length, entry: entry)] ^= 0x10
        }
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        // A listing passes over none, and says so at its end.
        var names: [String] = []
        #expect(throws: StoreError.self) {
            try store.forEachJob { summary in
                names.append(summary.name)
                return true
            }
        }
        #expect(names == ["Seen", "?", "Seen"])
        try await makeRunner(store, jobs: [Seen.self]).run {}
        let details = try store.details(of: JobID(rawValue: 2))
        #expect(details.isDamaged && details.payload.isEmpty)
        #expect(
            Seen.payloads.withLock { $0 } == [Self.payload(1, length), Self.payload(3, length)])
        let outcome = try #require(try store.outcome(of: JobID(rawValue: 2)))
        #expect(outcome.kind == .deadLetter)
        #expect(outcome.failure?.type == "Damaged")
        #expect(outcome.failure?.message.contains("checksum") == true)
        #expect(try store.counts().succeeded == 2)
        #expect(try store.counts().deadLetters == 1)
        #expect(try store.counts().unfinished == 0)
    }

    @Test("jobs whose block cannot be read are dead letters, and jobs of other blocks run")
    func block() async throws {
        Seen.payloads.withLock { $0 = [] }
        let directory = try await damaged(count: 3, length: 24) { bytes, _, block in
            bytes[block + 4] ^= 1  // How many there are.
        }
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        try await store.enqueue(Seen.self, payload: [9])
        try await makeRunner(store, jobs: [Seen.self]).run {}
        #expect(Seen.payloads.withLock { $0 } == [[9]])
        for id in UInt64(1)...3 {
            #expect(try store.outcome(of: JobID(rawValue: id))?.failure?.type == "Damaged")
        }
        #expect(try store.counts().succeeded == 1)
        #expect(try store.counts().deadLetters == 3)
    }

    @Test("a job whose outcome cannot be read is not requeued, which is said, and nothing changes")
    func outcome() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        try await store.enqueue(Twice.self, payload: Self.payload(2, 24))
        try await makeRunner(store, jobs: [Twice.self]).run {}
        store.close()
        let file = URL(fileURLWithPath: directory.store + "/data.mdb")
        var bytes = try Data(contentsOf: file)
        let result = Data(Self.payload(2, 24) + Self.payload(2, 24))
        let place = try #require(bytes.range(of: result))
        #expect(bytes[place.upperBound...].range(of: result) == nil)
        bytes[place.lowerBound] ^= 0x10
        let handle = try FileHandle(forUpdating: file)
        try handle.write(contentsOf: bytes)
        try handle.close()
        let damaged = try directory.open()
        defer { damaged.close() }
        let before = try damaged.counts()
        await #expect(throws: StoreError.self) { try await damaged.requeue(JobID(rawValue: 1)) }
        #expect(try damaged.counts() == before)
    }
}
