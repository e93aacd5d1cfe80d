import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("What a command reads and writes") struct OutputTests {
    private static func limits(
        _ scratch: ScratchDirectory, memory: Int = 256 * 1024, bound: UInt64? = nil
    ) -> CaptureLimits {
        CaptureLimits(
            memoryBound: memory, spillBound: bound,
            spill: SpillPlace(directory: Array(scratch.path.utf8), name: "7-1"))
    }

    @Test("10 MiB on each output, in turns, arrive whole and durable in files of their own")
    func spills() throws {
        let scratch = try ScratchDirectory()
        let chunk = 65_536
        let line = """
            i=0; while [ $i -lt 160 ]; do \
            head -c \(chunk) /dev/zero | tr '\\0' o; head -c \(chunk) /dev/zero | tr '\\0' e >&2; \
            i=$((i+1)); done
            """
        let end = try run(shell(line), limits: Self.limits(scratch))
        #expect(end.succeeded)
        let length = 160 * chunk
        #expect(end.output == .spilled(name: "7-1.out", byteCount: UInt64(length)))
        #expect(end.errorOutput == .spilled(name: "7-1.err", byteCount: UInt64(length)))
        #expect(try scratch.bytes("7-1.out") == Array(repeating: UInt8(ascii: "o"), count: length))
        #expect(try scratch.bytes("7-1.err") == Array(repeating: UInt8(ascii: "e"), count: length))
        var info = stat()
        stat("\(scratch.path)/7-1.out", &info)
        #expect(info.st_mode & 0o777 == 0o600)
    }

    @Test("output is kept in memory up to the bound and spilled from the next byte on")
    func bound() throws {
        let scratch = try ScratchDirectory()
        let limits = Self.limits(scratch, memory: 4)
        #expect(try run(shell("printf 1234"), limits: limits).output == .inline(Array("1234".utf8)))
        #expect(scratch.names.isEmpty)
        let end = try run(shell("printf 123; printf 45"), limits: limits)
        #expect(end.output == .spilled(name: "7-1.out", byteCount: 5))
        #expect(try scratch.bytes("7-1.out") == Array("12345".utf8))
    }

    @Test("a spill file that is there already is left alone")
    func takenName() throws {
        let scratch = try ScratchDirectory()
        for number in 0..<3 {
            let end = try run(
                shell("printf %s 'number \(number)'"), limits: Self.limits(scratch, memory: 0))
            let name = "7-1.out" + (number == 0 ? "" : ".\(number)")
            #expect(end.output == .spilled(name: name, byteCount: 8))
            #expect(try scratch.bytes(name) == Array("number \(number)".utf8))
        }
    }

    @Test("without a place to spill to, what is lost is counted")
    func noPlace() throws {
        let end = try run(shell("printf 123456789"), limits: CaptureLimits(memoryBound: 4))
        #expect(
            end.output
                == .incomplete(
                    kept: Array("1234".utf8), lostByteCount: 5, reason: .noSpillDirectory))
        #expect(end.output.byteCount == 9)
        let place = SpillPlace(directory: Array("/no/such".utf8), name: "a")
        let missing = try run(
            shell("printf 12345"), limits: CaptureLimits(memoryBound: 4, spill: place))
        #expect(
            missing.output
                == .incomplete(
                    kept: Array("1234".utf8), lostByteCount: 1, reason: .system(code: ENOENT)))
    }

    @Test("beyond the bound of a spill file the beginning is kept and the file removed")
    func spillBound() throws {
        let scratch = try ScratchDirectory()
        let end = try run(
            shell("head -c 100000 /dev/zero"),
            limits: Self.limits(scratch, memory: 10, bound: 50_000))
        #expect(
            end.output
                == .incomplete(
                    kept: Array(repeating: 0, count: 10), lostByteCount: 99_990,
                    reason: .overSpillBound))
        #expect(scratch.names.isEmpty)
    }

    @Test("behind a limit output is counted and not kept, and the command has succeeded")
    func outputLimit() throws {
        let scratch = try ScratchDirectory()
        var limits = Self.limits(scratch, memory: 100)
        limits.outputLimit = 4
        let end = try run(shell("printf 123456789; printf 12345 >&2; printf 6 >&2"), limits: limits)
        #expect(end.succeeded)
        #expect(end.output == .cut(.inline(Array("1234".utf8)), cutByteCount: 5))
        #expect(end.errorOutput == .cut(.inline(Array("1234".utf8)), cutByteCount: 2))
        #expect(end.output.byteCount == 9)
        // Just as much as is wanted is all of it.
        #expect(try run(shell("printf 1234"), limits: limits).output == .inline(Array("1234".utf8)))
        limits.outputLimit = 100_000
        let large = try run(shell("head -c 1000000 /dev/zero"), limits: limits)
        #expect(
            large.output
                == .cut(.spilled(name: "7-1.out", byteCount: 100_000), cutByteCount: 900_000))
        #expect(try scratch.bytes("7-1.out").count == 100_000)
    }

    @Test("what is taken piece by piece is whole in its file")
    func pieces() throws {
        let scratch = try ScratchDirectory()
        let place = SpillPlace(directory: Array(scratch.path.utf8), name: "7-1")
        var capture = OutputCapture(
            limits: CaptureLimits(memoryBound: 4, spill: place), suffix: "out")
        Array("123".utf8).withUnsafeBytes { _ = capture.take($0) }
        Array("4567".utf8).withUnsafeBytes { _ = capture.take($0) }
        let waits = capture.isWaiting
        #expect(!waits)
        #expect(capture.finish() == .spilled(name: "7-1.out", byteCount: 7))
        #expect(try scratch.bytes("7-1.out") == Array("1234567".utf8))
    }

    #if os(Linux)
        @Test("a disk that fills up while spilling costs the rest, by name, and not the beginning")
        func fullDisk() throws {
            let scratch = try ScratchDirectory()
            // Each write to /dev/full says that the disk is full.
            let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
            let directory = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            let limits = CaptureLimits(memoryBound: 4)
            var capture = OutputCapture(
                limits: limits, suffix: "out", spillingInto: full, directory: directory)
            for chunk in ["123", "4567", "89"] {
                Array(chunk.utf8).withUnsafeBytes { _ = capture.take($0) }
                capture.tryAgain()
                let waits = capture.isWaiting
                #expect(waits)
            }
            #expect(
                capture.finish()
                    == .incomplete(kept: Array("1234".utf8), lostByteCount: 5, reason: .diskFull))
        }
    #endif

    @Test("a command whose output could not be kept has not succeeded, and says what is lost")
    func lost() throws {
        // More than fits, and nowhere to put it.
        let end = try run(shell("echo 0123456789"), limits: CaptureLimits(memoryBound: 4))
        #expect(end.cause == .exited(code: 0))
        #expect(!end.succeeded)
        #expect(
            end.reason == "7 bytes of its output could not be kept: there was no place for them")
    }

    @Test("input larger than a pipe arrives whole while the command answers")
    func largeInput() throws {
        let scratch = try ScratchDirectory()
        var generator = SeededGenerator(state: 1)
        let input = (0..<1_000_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let end = try run(
            Command("/bin/cat", standardInput: .bytes(input)), limits: Self.limits(scratch))
        #expect(end.output == .spilled(name: "7-1.out", byteCount: 1_000_000))
        #expect(try scratch.bytes("7-1.out") == input)
    }

    @Test("a command that does not read its input costs neither a signal nor the job")
    func unreadInput() throws {
        let input = [UInt8](repeating: 65, count: 1_000_000)
        let end = try run(shell("exec <&-; echo done", input: .bytes(input)))
        #expect(end.succeeded)
        #expect(text(end.output) == "done\n")
    }

    @Test("no input is the end of the file at once", arguments: [Command.Input.null, .bytes([])])
    func noInput(input: Command.Input) throws {
        #expect(try run(Command("/bin/cat", standardInput: input)).output == .inline([]))
    }

    @Test("a process left behind that holds the output does not hold the job, and is named")
    func heldOpen() throws {
        var group: pid_t = 0
        let end = try run(shell("echo before; sleep 1000 &")) { group = $0.processGroup }
        #expect(end.cause == .exited(code: 0))
        #expect(text(end.output) == "before\n")
        #expect(end.outputHeldOpen)
        // What it left behind is its own affair, until somebody looks for leftovers.
        let left = ProcessIdentity.living(in: group)
        #expect(left.count == 1)
        for process in left { process.signal(SIGKILL) }
        #expect(ProcessIdentity.awaitEnds(left, until: nil))
    }

    @Test("a process left behind that floods the output does not hold the job either")
    func flood() throws {
        var group: pid_t = 0
        let end = try run(shell("yes &"), limits: CaptureLimits(memoryBound: 10)) {
            group = $0.processGroup
        }
        #expect(end.cause == .exited(code: 0))
        #expect(end.outputHeldOpen)
        let left = ProcessIdentity.living(in: group)
        for process in left { process.signal(SIGKILL) }
        #expect(ProcessIdentity.awaitEnds(left, until: nil))
    }
}
