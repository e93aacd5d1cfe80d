import CPetiole
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("A part of a file as standard input") final class FileRangeTests {
    private let path: String
    private let file: Int32
    private let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }

    init() throws {
        var name = Array("/tmp/petiole-range.XXXXXX".utf8CString)
        file = mkstemp(&name)
        path = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        try #require(file >= 0)
        #expect(pwrite(file, bytes, bytes.count, 0) == bytes.count)
    }

    deinit {
        close(file)
        unlink(path)
    }

    private func range(_ offset: Int, _ length: Int) throws -> FileRange {
        FileRange(
            path: Array(path.utf8), offset: UInt64(offset), length: UInt64(length),
            identity: try #require(FileRange.Identity(of: file)))
    }

    private func command(_ range: FileRange, _ words: String...) throws -> Command {
        try Command(
            arguments: words.map { Array($0.utf8) }, standardInput: .range(range))
    }

    @Test(
        "a command gets its part, byte for byte, and then the end",
        arguments: [(0, 0), (0, 1), (5, 70_000), (1, 2_999_999), (3_000_000, 0)])
    func part(offset: Int, length: Int) throws {
        let limits = CaptureLimits(memoryBound: 4 << 20)
        let end = try ChildProcess.run(
            command(range(offset, length), "/bin/cat"), limits: limits)
        #expect(end.succeeded)
        #expect(end.output == .inline(Array(bytes[offset..<offset + length])))
    }

    @Test("bytes that are read and written are the same as pages that are handed on")
    func copied() throws {
        for copies in [false, true] {
            var ends: [Int32] = [-1, -1]
            try #require(petiole_pipe(&ends, 2) == 0)
            petiole_enlarge_pipe(ends[1], FileRangeFeed.pipeSize)
            defer { close(ends[0]) }
            var feed = try FileRangeFeed(range(3, 2_900_000), directory: -1, copies: copies)
            var got: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 100_000)
            var isOver = false
            while !isOver {
                switch feed.write(to: ends[1]) {
                case .full: break
                case .finished: isOver = true
                case .failed(let fault):
                    Issue.record("\(fault)")
                    isOver = true
                }
                if isOver { close(ends[1]) }
                repeat {
                    let count = read(ends[0], &buffer, buffer.count)
                    got += buffer[..<max(0, count)]
                    if count < buffer.count, !isOver || count == 0 { break }
                } while true
            }
            #expect(got == Array(bytes[3..<2_900_003]), "copies: \(copies)")
        }
    }

    @Test("a command that reads nothing of it has not failed for that")
    func unread() throws {
        let end = try ChildProcess.run(command(range(0, 3_000_000), "/bin/true"))
        #expect(end.succeeded)
    }

    @Test("a file that was written to, or is another, is refused with the next step")
    func changed() throws {
        let range = try range(0, 100)
        #expect(pwrite(file, "x", 1, 3_000_000) == 1)
        let words = try command(range, "/bin/cat")
        #expect(throws: SpawnError.changedInput(path)) { try ChildProcess.run(words) }
        #expect(SpawnError.changedInput(path).description.contains("start the same line again"))
        unlink(path)
        #expect(throws: SpawnError.unreadableInput(path, code: ENOENT)) {
            try ChildProcess.run(words)
        }
    }

    @Test("a file that changes while it is read is found at the end")
    func changedMeanwhile() throws {
        // The command waits for a word, which is given once the pipe is full.
        let words = try command(
            range(0, 3_000_000), "/bin/sh", "-c", "printf x >> \(path); cat > /dev/null")
        #expect(throws: SpawnError.changedInput(path)) { try ChildProcess.run(words) }
    }

    @Test(
        "a file that changes when all of it was handed over, or when nobody reads any more, is found too"
    )
    func changedBehind() throws {
        // Once one byte has come all hundred lie in the pipe.
        let slow = try command(
            range(0, 100), "/bin/sh", "-c",
            "dd bs=1 count=1 of=/dev/null 2> /dev/null; printf x >> \(path); cat > /dev/null")
        #expect(throws: SpawnError.changedInput(path)) { try ChildProcess.run(slow) }
        let deaf = try command(
            range(0, 3_000_000), "/bin/sh", "-c", "exec < /dev/null; printf x >> \(path)")
        #expect(throws: SpawnError.changedInput(path)) { try ChildProcess.run(deaf) }
    }

    @Test("both forms of input come back from a payload, and what leads elsewhere is refused")
    func payload() throws {
        for input in [
            Command.Input.range(try range(10, 20)), .stored(name: Array("run-1-a".utf8)),
        ] {
            let command = try Command(arguments: [[97]], standardInput: input)
            var encoded: [UInt8] = []
            command.encode(into: &encoded)
            #expect(try Command.decode(encoded) == command)
            for length in 0..<encoded.count {
                #expect(throws: CompactFault.self) {
                    try Command.decode(Array(encoded[..<length]))
                }
            }
        }
        for name in ["", "..", ".a", "a/b", "../a"] {
            #expect(throws: InvalidCommand.badRange) {
                try Command(
                    arguments: [[97]], standardInput: .stored(name: Array(name.utf8)))
            }
        }
        let identity = FileRange.Identity(inode: 1, size: 10, modified: 0)
        for (offset, length) in [(11, 0), (5, 6), (UInt64.max, 2)] as [(UInt64, UInt64)] {
            let range = FileRange(path: [97], offset: offset, length: length, identity: identity)
            #expect(throws: InvalidCommand.badRange) {
                try Command(arguments: [[97]], standardInput: .range(range))
            }
        }
    }

    @Test("payloads of before are read as they were")
    func before() throws {
        // Version, one argument, no directory, an inherited environment, then the input.
        let head: [UInt8] = [1, 1, 1, 97, 0, 0]
        #expect(try Command.decode(head + [0]).standardInput == .null)
        #expect(try Command.decode(head + [1, 2, 5, 6]).standardInput == .bytes([5, 6]))
        #expect(try Command.decode(head + [2, 1, 98]).standardInput == .file(path: [98]))
    }
}
