import Testing

@testable import Petiole

@Suite("What runner and child say") struct ChildMessageTests {
    @Test("requests and orders are read back as they were written")
    func fixed() {
        let request = ChildRequest(
            job: .max - 1, attempt: 255, slot: 65_535,
            clocks: ClockShift(wall: -7, uptime: .max, boot: 3))
        #expect(request.bytes.count == ChildRequest.size)
        #expect(request.bytes.withUnsafeBytes { ChildRequest($0) } == request)
        for kind in [ChildOrder.Kind.stop, .stopAll, .waitOn, .doNotWait] {
            let order = ChildOrder(kind, job: 9)
            #expect(order.bytes.count == ChildOrder.size)
            #expect(order.bytes.withUnsafeBytes { ChildOrder($0) } == order)
        }
        let unknown = [UInt8](repeating: 0, count: ChildOrder.size)
        #expect(unknown.withUnsafeBytes { ChildOrder($0) } == nil)
    }

    @Test(
        "a child finds the clocks and the store in its environment, and takes nothing else for them"
    )
    func variable() throws {
        let clocks = ClockShift(wall: .min, uptime: -1, boot: .max)
        let text = ChildProtocol.variable(clocks, "/a:b/c")
        let read = try #require(ChildProtocol.read(variable: text))
        #expect(read.clocks == clocks && read.path == "/a:b/c")
        for text in ["", "1", "/a", "1:2:3", "1:2:3:", "a:2:3:/x", "1:2:-3:/x"] {
            #expect(ChildProtocol.read(variable: text) == nil)
        }
    }

    private static func frame(_ kind: ChildFrame.Kind) -> ChildFrame {
        var frame = ChildFrame(kind: kind, codec: 3, job: 12, number: -5)
        frame.result = [1, 2, 3]
        frame.rest = [4, 5]
        return frame
    }

    private static func bytes(_ frame: ChildFrame) -> [UInt8] {
        var writer = ByteWriter()
        frame.write(to: &writer)
        return writer.withBytes { Array($0) }
    }

    private static func read(_ bytes: some Collection<UInt8>) throws -> (ChildFrame, Int)? {
        try Array(bytes).withUnsafeBytes { try ChildFrame.read($0) }
    }

    @Test(
        "a frame is read when all of it is there, and what follows is left",
        arguments: ChildFrame.Kind.allCases)
    func frames(kind: ChildFrame.Kind) throws {
        let frame = Self.frame(kind)
        let bytes = Self.bytes(frame)
        for length in bytes.indices { #expect(try Self.read(bytes[..<length]) == nil) }
        let (read, length) = try #require(try Self.read(bytes + [9, 9]))
        #expect(read == frame && length == bytes.count)
    }

    @Test("whatever the bytes are, reading them gives a frame, nothing yet, or an error")
    func hostile() throws {
        let bytes = Self.bytes(Self.frame(.succeeded))
        for index in bytes.indices {
            for value in UInt8.min...UInt8.max {
                var changed = bytes
                changed[index] = value
                // Any of the three: never a trap.
                _ = try? Self.read(changed)
            }
        }
        var announced = bytes
        announced.replaceSubrange(24..<32, with: [UInt8](repeating: 255, count: 8))
        #expect(throws: FormatError.self) { try Self.read(announced) }
    }

    private struct Odd: Error {}

    @Test("what an error means is decided in the child, and read back in the runner")
    func thrown() throws {
        let policy = RetryPolicy(maxAttempts: 3) { error in
            error is Odd ? .deadLetter : error is CancellationError ? .discard : .retry
        }
        let cases: [(any Error, ThrownInChild.Meaning)] = [
            (Refusal(), .retry), (Odd(), .deadLetter), (CancellationError(), .discard),
            (JobControl.retry(after: .seconds(2)), .retryAfter(microseconds: 2_000_000)),
            (JobControl.snooze(for: .zero), .snooze(microseconds: 1_000)),
            (JobControl.discard("d"), .discard), (JobControl.deadLetter("l"), .deadLetter),
            (UndecodablePayload("u"), .undecodable),
            (RunnerError.tooManyWaiting(limit: 1), .tooManyWaiting),
        ]
        for (error, meaning) in cases {
            let thrown = ThrownInChild(error, policy)
            #expect(thrown.meaning == meaning)
            #expect(thrown.record.cut == FailureRecord(error))
            #expect(ThrownInChild(thrown.bytes) == thrown)
            for length in thrown.bytes.indices {
                #expect(ThrownInChild(Array(thrown.bytes[..<length])) == nil)
            }
            // What follows is what would on a thread.
            let here = follow(error, policy)
            let there = follow(thrown, RetryPolicy(maxAttempts: 3))
            #expect(here == there, "\(error)")
        }
    }

    private func follow(_ error: any Error, _ policy: RetryPolicy) -> String {
        let failed = AttemptFollowUp.Failed(
            error, attempt: 1, startedAt: 10, runMicroseconds: 3, acceptedAt: 1)
        let now = ClockReading(wall: 20, steady: 20)
        switch AttemptFollowUp.of(failed, policy: policy, maxAttempts: 0, now: now, random: 0.5) {
        case .transition(.postpone) where error is RunnerError: return "postponed"
        case .transition(.postpone) where (error as? ThrownInChild)?.meaning == .tooManyWaiting:
            return "postponed"
        case let other: return "\(other)"
        }
    }

    @Test("what a policy itself says of a child's end is asked in the runner")
    func childsEnd() {
        let policy = RetryPolicy(maxAttempts: 3) { $0 is ChildProcessEnded ? .deadLetter : .retry }
        #expect(follow(ChildProcessEnded(.exited(1)), policy).contains("deadLetter"))
        #expect(follow(ThrownInChild(Refusal(), policy), policy).contains("retry"))
    }

    @Test("of many lines the last whole ones are kept, of one long line its end")
    func tail() {
        func lines(_ pieces: [String]) -> String {
            var tail = OutputTail()
            for piece in pieces { Array(piece.utf8).withUnsafeBytes { tail.append($0) } }
            return tail.lines
        }
        #expect(lines([]) == "")
        #expect(lines(["a\nb", "c\n\n"]) == "a\nbc")
        let limit = OutputTail.limit
        let exact = String(repeating: "x", count: limit - 1) + "\n"
        #expect(lines([exact]) == String(exact.dropLast()))
        #expect(lines(["first\n" + exact]) == String(exact.dropLast()))
        #expect(lines([String(repeating: "y", count: 3 * limit)]).utf8.count == limit)
        for size in [1, 7, 1_000, 5_000] {
            let text = (0..<5_000).map { "line \($0)\n" }.joined()
            var pieces: [String] = []
            var rest = text[...]
            while !rest.isEmpty {
                pieces.append(String(rest.prefix(size)))
                rest = rest.dropFirst(size)
            }
            let kept = lines(pieces)
            #expect(kept.hasSuffix("line 4999") && kept.hasPrefix("line "))
            #expect(kept.utf8.count <= limit && kept.utf8.count > limit - 20)
        }
    }

    @Test("rows are hashed the same in each process, by SipHash-2-4")
    func hash() {
        // From the reference implementation: key and input are 0, 1, 2, …
        let key: (UInt64, UInt64) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
        let vectors: [(Int, UInt64)] = [
            (0, 0x726f_db47_dd0e_0e31), (1, 0x74f8_39c5_93dc_67fd), (7, 0xab02_00f5_8b01_d137),
            (8, 0x93f5_f579_9a93_2462), (15, 0xa129_ca61_49be_45e5),
        ]
        for (length, expected) in vectors {
            let input = (0..<length).map { UInt8($0) }
            #expect(input.withUnsafeBytes { RowHash.hash($0, key: key) } == expected)
        }
    }

    @Test("a teller that died in the middle leaves a line in which the next one can tell")
    func progress() throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let file = try ProgressFile(path: directory.path + "/progress")
        file.tell(3, job: 1, done: 1, total: 2, note: "a")
        file.mend(3)
        #expect(file.told(3, job: 1)?.done == 1)
        file.leaveHalfTold(3)
        file.tell(3, job: 2, done: 2, total: 2, note: "b")
        #expect(file.told(3, job: 2) == nil)
        file.mend(3)
        file.tell(3, job: 2, done: 2, total: 2, note: "b")
        #expect(file.told(3, job: 2)?.note == "b")
    }
}
