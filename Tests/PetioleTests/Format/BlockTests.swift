import Testing

@testable import Petiole

@Suite("Blocks") struct BlockTests {
    private func jobs(_ payloads: [[UInt8]], first: UInt64 = 100) -> [UInt8] {
        var builder = JobBlockBuilder()
        for (index, payload) in payloads.enumerated() {
            let meta = JobBlock.Meta(
                name: UInt32(index), codec: 1, flags: UInt8(index % 2),
                maxAttempts: UInt8(index % 256))
            payload.withUnsafeBytes { builder.append($0, meta: meta) }
        }
        var bytes = [UInt8](repeating: 0xEE, count: builder.size)
        bytes.withUnsafeMutableBytes {
            builder.write(
                to: $0.baseAddress!, first: first, queue: 3, priority: 7, name: nil,
                acceptedAt: ClockReading(wall: 1_234, steady: 7_201_234))
        }
        return bytes
    }

    private func outcomes(_ results: [[UInt8]], first: UInt64 = 100) -> [UInt8] {
        var builder = OutcomeBlockBuilder()
        for (index, result) in results.enumerated() {
            let outcome = OutcomeEntry(
                state: .succeeded, codec: 1, attempt: 2, startedAt: 5_000 + Int64(index),
                runMicroseconds: 77)
            result.withUnsafeBytes { result in
                builder.append(first + UInt64(index), outcome, result: result)
            }
        }
        var bytes = [UInt8](repeating: 0xEE, count: builder.size)
        bytes.withUnsafeMutableBytes { builder.write(to: $0.baseAddress!, queue: 3) }
        return bytes
    }

    @Test("jobs come out of a block as they went in", arguments: [1, 2, 100])
    func jobsRoundTrip(count: Int) throws {
        let payloads = (0..<count).map { [UInt8](repeating: UInt8($0), count: $0 * 3 % 40) }
        try jobs(payloads).withUnsafeBytes { bytes in
            let block = try JobBlockView(first: 100, value: bytes)
            #expect(block.count == count)
            #expect(block.queue == 3)
            #expect(block.priority == 7)
            #expect(block.acceptedAt == 1_234)
            #expect(block.acceptedSteady == 7_001_234)
            for (index, payload) in payloads.enumerated() {
                let entry = try block.entry(100 + UInt64(index))
                #expect(Array(entry.payload) == payload)
                #expect(entry.meta.name == UInt32(index))
                #expect(entry.meta.flags == UInt8(index % 2))
            }
        }
    }

    /// What a reader makes of bytes: the payloads of those entries that it believes.
    private func believed(_ bytes: [UInt8], first: UInt64 = 100, count: Int) -> [[UInt8]?] {
        bytes.withUnsafeBytes { bytes in
            // Nil for whatever it refuses.
            guard let block = try? JobBlockView(first: first, value: bytes) else {
                return [[UInt8]?](repeating: nil, count: count)
            }
            return (0..<count).map { index in
                // As above.
                (try? block.entry(first + UInt64(index))).map { Array($0.payload) }
            }
        }
    }

    @Test("a block with any one bit changed gives no job other than it held")
    func everyBit() {
        let payloads: [[UInt8]] = [[1, 2, 3], [], [4, 5, 6, 7, 8]]
        let whole = jobs(payloads)
        for bit in 0..<(whole.count * 8) {
            var changed = whole
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            let found = believed(changed, count: 3)
            for (entry, payload) in zip(found, payloads) where entry != nil {
                #expect(entry == payload, "bit \(bit)")
            }
        }
    }

    @Test("a block cut at any byte is refused, and so is one under another id")
    func cut() {
        let whole = jobs([[1, 2, 3], [4, 5]])
        for length in 0..<whole.count {
            #expect(believed(Array(whole[..<length]), count: 2) == [nil, nil], "\(length) bytes")
        }
        #expect(believed(whole, first: 101, count: 2) == [nil, nil])
    }

    @Test("outcomes come out of a block as they went in, and changed ones do not")
    func outcomesRoundTrip() throws {
        let results: [[UInt8]] = [[1], [], [2, 3, 4]]
        let whole = outcomes(results)
        try whole.withUnsafeBytes { bytes in
            let block = try OutcomeBlockView(first: 100, value: bytes)
            for (index, result) in results.enumerated() {
                let entry = try block.entry(100 + UInt64(index))
                #expect(Array(entry.result) == result)
                #expect(entry.startedAt == 5_000 + Int64(index))
                #expect(entry.attempt == 2)
                #expect(entry.runMicroseconds == 77)
            }
        }
        for bit in 0..<(whole.count * 8) {
            var changed = whole
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            changed.withUnsafeBytes { bytes in
                // Nil for whatever it refuses.
                guard let block = try? OutcomeBlockView(first: 100, value: bytes) else { return }
                for (index, result) in results.enumerated() {
                    // As above.
                    guard let entry = try? block.entry(100 + UInt64(index)) else { continue }
                    #expect(Array(entry.result) == result, "bit \(bit)")
                }
            }
        }
    }

    @Test(
        "a run time is packed to a thousandth",
        arguments: [0, 1, 1 << 29, 1 << 30, 1 << 40, .max] as [Int64])
    func runTimes(microseconds: Int64) {
        let unpacked = OutcomeBlock.microseconds(
            packed: OutcomeBlock.packed(microseconds: microseconds))
        // 34 years are the most.
        let expected = min(microseconds, ((1 << 30) - 1) * 1_000_000)
        #expect(abs(unpacked - expected) <= expected / 1_000)
    }

    @Test("of a history the newest sixteen attempts are kept, oldest first")
    func history() throws {
        var bytes: [UInt8] = []
        for attempt in 1...40 {
            let item = AttemptHistory.Item(
                attempt: attempt, startedAt: Int64(attempt), runMicroseconds: 3,
                failure: FailureRecord(type: "E", message: "attempt \(attempt)"))
            bytes = AttemptHistory.appending(item, to: bytes)
        }
        let items = try AttemptHistory.read(bytes)
        #expect(items.map { $0.attempt } == Array(25...40))
        #expect(items.last?.failure.message == "attempt 40")
        for length in 1..<bytes.count {
            // Whatever it makes of them, it does not read past their end.
            _ = try? AttemptHistory.read(Array(bytes[..<length]))  // Cut short: an error, or fewer.
        }
    }

    @Test("a queue's name, a lane's row and a stage survive being written")
    func records() throws {
        var queue = QueueRecord(id: 9)
        queue.epoch = 77
        queue.isPaused = true
        #expect(try queue.bytes.withUnsafeBytes { try QueueRecord($0) } == queue)
        var stage = StageRecord(queue: 2, priority: 3)
        stage.ranges = [(1, 2), (5, 6)]
        #expect(try stage.bytes.withUnsafeBytes { try StageRecord($0) } == stage)
        let format = FormatRecord(version: 1, isScratch: true, storeID: 5, createdAt: 6)
        #expect(try format.bytes.withUnsafeBytes { try FormatRecord($0) } == format)
        #expect(try format.bytes[..<24].withUnsafeBytes { try FormatRecord($0) } == format)
        let copy = FormatRecord(
            version: 1, isScratch: true, storeID: 5, createdAt: 6, sealingID: 7)
        #expect(try copy.bytes.withUnsafeBytes { try FormatRecord($0) } == copy && copy != format)
    }
}
