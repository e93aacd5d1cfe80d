import Testing

@testable import Petiole

@Suite("Options of a job, as bytes") struct JobOptionsTests {
    private var full: JobOptions {
        var options = JobOptions()
        options.due = StoreTime(wall: 1)
        options.expiry = StoreTime(steady: .max)
        options.parent = 7
        options.root = 5
        options.unique = UniqueHold(Uniqueness(key: "k", hold: .afterFinish(.seconds(3))))
        options.metadata = JobMetadata(tags: ["a", "b"], headers: ["x": "1", "y": ""])
        options.timeLimit = TimeLimit(soft: .seconds(1), hard: .seconds(2))
        options.resultRetention = 9
        options.resultLimit = 0
        options.origin = JobOrigin(store: .max, id: 3)
        return options
    }

    private func read(_ bytes: [UInt8]) throws -> JobOptions {
        try bytes.withUnsafeBytes { try JobOptions($0) }
    }

    @Test("options come back as they were written, and none are no bytes")
    func roundTrip() throws {
        let bytes = full.bytes
        #expect(bytes.count == 2 + Int(bytes[0]) + Int(bytes[1]) << 8)
        #expect(try read(Array(bytes[2...])) == full)
        #expect(JobOptions().bytes == [])
    }

    @Test("whatever the bytes are, reading them gives options or an error")
    func hostile() throws {
        let bytes = Array(full.bytes[2...])
        for length in 0...bytes.count { _ = try? read(Array(bytes[..<length])) }
        for index in bytes.indices {
            for change in [UInt8(1), 2, 4, 0x10, 0x80, 0xFF] {
                var changed = bytes
                changed[index] ^= change
                // Some are an error, which is right.
                _ = try? read(changed)
            }
        }
        // A header without a name; a unique key without a key; a field that is unknown.
        for field in [[7, 2, 0, 0, 65], [5, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], [99, 1, 0, 0]]
            as [[UInt8]]
        {
            _ = try read(field)
        }
    }
}
