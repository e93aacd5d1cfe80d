import Testing

@testable import Petiole

@Suite("The form of a command") struct CommandFormTests {
    static func samples() throws -> [Command] {
        let bytes: [UInt8] = [0xFF, 0x0A, 0x27, 0x80]
        return [
            try Command("true"),
            try Command("a", "", String(repeating: "x", count: 300), workingDirectory: "/tmp"),
            try Command(
                arguments: [bytes, bytes], workingDirectory: bytes,
                environment: .inheritedWith([.init(name: [0xFE], value: bytes), .init("A", "")]),
                standardInput: .bytes([0, 1, 2])),
            try Command("cat", environment: .exactly([]), standardInput: .file(path: bytes)),
        ]
    }

    @Test("a command comes back from its bytes as it was")
    func roundTrip() throws {
        for command in try Self.samples() {
            var bytes: [UInt8] = []
            command.encode(into: &bytes)
            #expect(try Command.decode(bytes) == command)
        }
    }

    @Test("bytes that end early, go on too long or are changed never become more than they hold")
    func damaged() throws {
        for command in try Self.samples() {
            var bytes: [UInt8] = []
            command.encode(into: &bytes)
            for length in 0..<bytes.count {
                #expect(throws: CompactFault.self) {
                    try Command.decode(Array(bytes.prefix(length)))
                }
            }
            #expect(throws: CompactFault.malformed) { try Command.decode(bytes + [0]) }
            for index in bytes.indices {
                for value in [UInt8(0), 1, 0x7F, 0x80, 0xFF] {
                    var changed = bytes
                    changed[index] = value
                    // An error is what most changes come to; another command has these very bytes.
                    guard let other = try? Command.decode(changed) else { continue }
                    var again: [UInt8] = []
                    other.encode(into: &again)
                    #expect(again == changed)
                }
            }
        }
    }

    @Test("a later version is refused by name")
    func laterVersion() {
        #expect(throws: CompactFault.unknownVersion(3)) { try Command.decode([3, 1, 1, 65]) }
    }

    @Test(
        "a command without a program or with a zero byte is refused, from a caller and from bytes")
    func invalid() {
        #expect(throws: InvalidCommand.noProgram) { try Command(arguments: []) }
        #expect(throws: InvalidCommand.zeroByte(in: "argument 1")) {
            try Command(arguments: [[65], [66, 0]])
        }
        #expect(throws: InvalidCommand.badVariableName) {
            try Command("a", environment: .exactly([.init("A=B", "c")]))
        }
        #expect(throws: CompactFault.invalid(.noProgram)) { try Command.decode([1, 0, 0, 0, 0]) }
        #expect(throws: CompactFault.invalid(.zeroByte(in: "argument 0"))) {
            try Command.decode([1, 1, 1, 0, 0, 0, 0])
        }
    }

    @Test("the end of a command comes back from its bytes as it was")
    func endRoundTrip() throws {
        let ends = [
            CommandEnd(
                cause: .exited(code: 255), runTime: .nanoseconds(1_234_567_890),
                output: .inline([1, 2]), errorOutput: .inline([]), outputHeldOpen: false),
            CommandEnd(
                cause: .signalled(9, coreDumped: true), runTime: .zero,
                output: .spilled(name: "a.out", byteCount: 1 << 40),
                errorOutput: .incomplete(kept: [7], lostByteCount: 9, reason: .diskFull),
                outputHeldOpen: true),
            CommandEnd(
                cause: .lost(.takenByOthers), runTime: .seconds(1), output: .inline([]),
                errorOutput: .incomplete(kept: [], lostByteCount: 1, reason: .system(code: 5)),
                outputHeldOpen: false),
            CommandEnd(
                cause: .exited(code: 0), runTime: .seconds(1),
                output: .cut(.spilled(name: "a.out", byteCount: 7), cutByteCount: 1 << 50),
                errorOutput: .cut(
                    .incomplete(kept: [1], lostByteCount: 2, reason: .diskFull), cutByteCount: 1),
                outputHeldOpen: false),
        ]
        for end in ends {
            var bytes: [UInt8] = []
            end.encode(into: &bytes)
            #expect(try CommandEnd.decode(bytes) == end)
            for length in 0..<bytes.count {
                #expect(throws: CompactFault.self) {
                    try CommandEnd.decode(Array(bytes.prefix(length)))
                }
            }
        }
    }

    @Test("a command that is to be nice comes back from its bytes, and others have none for it")
    func niceness() throws {
        let plain = try Command("true")
        func bytes(_ command: Command) -> [UInt8] {
            var bytes: [UInt8] = []
            command.encode(into: &bytes)
            return bytes
        }
        #expect(bytes(plain)[0] == 1)
        let nice = plain.nicer(by: 7)
        #expect(try Command.decode(bytes(nice)) == nice)
        #expect(bytes(nice).count == bytes(plain).count + 1)
        #expect(plain.nicer(by: 200).niceness == Command.mostNiceness)
        for wrong in [bytes(nice).dropLast() + [20], bytes(nice).dropLast() + [0]] {
            #expect(throws: CompactFault.malformed) { try Command.decode(Array(wrong)) }
        }
        #expect(nice.shellLine == "nice -n 7 true")
    }

    @Test("the name of a spill file cannot lead out of its directory")
    func spillName() {
        for name in ["../x", "/etc/passwd", "", ".hidden", "a/b", "a\0b"] {
            var bytes: [UInt8] = []
            CommandEnd(
                cause: .exited(code: 0), runTime: .zero,
                output: .spilled(name: name, byteCount: 1), errorOutput: .inline([]),
                outputHeldOpen: false
            ).encode(into: &bytes)
            #expect(throws: CompactFault.malformed) { try CommandEnd.decode(bytes) }
        }
    }

    @Test("a mark is read back, and what is none is not taken for one")
    func marks() {
        for owner in [
            AttemptMark.Owner.attempt(job: .max, 3), .runner(pid: 7, startTime: .max),
        ] {
            let mark = AttemptMark(storeID: "c0ffee", owner: owner)
            #expect(AttemptMark(mark.description) == mark)
        }
        for value in [
            "", "a:1", "a:1:2:3", ":1:2", "a:-1:2", "a:1:x", "a:1:-2", "a:runner:1",
            "a:runner:0:1", "a:runner:1:x", ":runner:1:1", "a:runner:1:1:1",
        ] {
            #expect(AttemptMark(value) == nil)
        }
    }
}
