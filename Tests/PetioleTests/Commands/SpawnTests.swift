import CPetiole
import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Starting a command") struct SpawnTests {
    @Test("200 strings full of metacharacters arrive byte for byte")
    func metacharacters() throws {
        let strings = Metacharacters.strings()
        #expect(strings.count == 200)
        for string in strings {
            let end = try run(
                Command(arguments: [Array("/usr/bin/printf".utf8), Array("%s".utf8), string]))
            #expect(end.output == .inline(string))
            #expect(end.succeeded)
        }
    }

    #if os(Linux)
        @Test("the child has three descriptors and no others, whatever is open here")
        func descriptors() throws {
            // Without close-on-exec, as a careless library would leave it.
            let careless = open("/dev/null", O_RDONLY)
            defer { close(careless) }
            let end = try run(Command("/bin/ls", "/proc/self/fd"))
            // The fourth is the listing's own.
            #expect(text(end.output) == "0\n1\n2\n3\n")
        }

        @Test("the child blocks no signal, ignores none and handles none")
        func signals() throws {
            var blocked = sigset_t()
            var before = sigset_t()
            sigfillset(&blocked)
            pthread_sigmask(SIG_SETMASK, &blocked, &before)
            let ignored = signal(SIGPIPE, SIG_IGN)
            defer {
                signal(SIGPIPE, ignored)
                pthread_sigmask(SIG_SETMASK, &before, nil)
            }
            let end = try run(Command("/bin/cat", "/proc/self/status"))
            let lines = try #require(text(end.output)).split(separator: "\n")
            // Signals 32 and 33 are glibc's own: it ignores them in every child, and a program
            // cannot ask.
            let libraryOwn: UInt64 = 0b11 << 31
            for name in ["SigBlk", "SigIgn", "SigCgt"] {
                let line = try #require(lines.first { $0.hasPrefix("\(name):\t") })
                let set = try #require(UInt64(line.dropFirst(name.count + 2), radix: 16))
                #expect(set & ~libraryOwn == 0, "\(line)")
            }
        }
    #endif

    @Test("the child leads a process group of its own")
    func processGroup() throws {
        let end = try run(shell("read line; echo $line", input: .bytes([10]))) { child in
            #expect(getpgid(child.pid) == child.pid)
            #expect(child.processGroup == child.pid)
        }
        #expect(end.succeeded)
    }

    @Test("descriptors below 3 are handed over as what they are meant to be")
    func lowDescriptors() throws {
        var pipe: (Int32, Int32) = (-1, -1)
        withUnsafeMutablePointer(to: &pipe) { pair in
            pair.withMemoryRebound(to: Int32.self, capacity: 2) { _ = petiole_pipe($0, 0) }
        }
        var arguments = SpawnArguments(try shell("echo to output; echo to error >&2"), mark: nil)
        var pid: pid_t = 0
        // Descriptor 0 as the error output would be overwritten by the input, were it not moved
        // first.
        let saved = fcntl(0, F_DUPFD_CLOEXEC, 3)
        dup2(pipe.1, 0)
        let code = arguments.withPointers { arguments, environment in
            var request = petiole_spawn_request(
                arguments: arguments, environment: environment, directory: -1,
                input: petiole_null_input(), output: pipe.1, error: 0, channel: -1,
                starting_name: nil, niceness: 0)
            return petiole_spawn(&request, &pid)
        }
        dup2(saved, 0)
        close(saved)
        close(pipe.1)
        #expect(code == 0)
        var buffer = [UInt8](repeating: 0, count: 64)
        var length = 0
        while case let count = read(pipe.0, &buffer[length], 64 - length), count > 0 {
            length += count
        }
        close(pipe.0)
        var end = petiole_end()
        #expect(petiole_reap(pid, -1, &end) == 0)
        #expect(String(decoding: buffer[..<length], as: UTF8.self) == "to output\nto error\n")
    }

    @Test("a program is searched in the PATH that the child gets, and nowhere else")
    func searchPath() throws {
        let known = try run(
            Command("sh", "-c", "echo $PATH", environment: .exactly([.init("PATH", "/x::/bin")])))
        #expect(text(known.output) == "/x::/bin\n")
        #expect(throws: SpawnError.noSuchProgram("sh")) {
            try run(Command("sh", environment: .exactly([.init("PATH", "/nowhere")])))
        }
        #expect(try run(Command("sh", "-c", ":", environment: .exactly([]))).succeeded)
    }

    @Test("the ways in which a command cannot start are told apart")
    func failures() throws {
        let scratch = try ScratchDirectory()
        func make(_ name: String, _ text: String, mode: mode_t) throws -> String {
            let path = "\(scratch.path)/\(name)"
            try writeProgram(text, to: path)
            chmod(path, mode)
            return path
        }
        let plain = try make("plain", "echo", mode: 0o600)
        let shapeless = try make("shapeless", "echo", mode: 0o700)
        let orphan = try make("orphan", "#!/no/such/interpreter\n", mode: 0o700)
        #expect(throws: SpawnError.noSuchProgram("no-such-program")) {
            try run(Command("no-such-program"))
        }
        #expect(throws: SpawnError.noSuchProgram("/no/such")) { try run(Command("/no/such")) }
        #expect(throws: SpawnError.noSuchProgram("''")) { try run(Command("")) }
        #expect(throws: SpawnError.notExecutable(plain, code: EACCES)) { try run(Command(plain)) }
        #expect(throws: SpawnError.notExecutable("/tmp", code: EACCES)) {
            try run(Command("/tmp"))
        }
        // A file without a first line for the system is not given to a shell.
        #expect(throws: SpawnError.notExecutable(shapeless, code: ENOEXEC)) {
            try run(Command(shapeless))
        }
        #expect(throws: SpawnError.noInterpreter(orphan)) { try run(Command(orphan)) }
        #expect(throws: SpawnError.badWorkingDirectory("/no/such", code: ENOENT)) {
            try run(Command("true", workingDirectory: "/no/such"))
        }
        #expect(throws: SpawnError.badWorkingDirectory(plain, code: ENOTDIR)) {
            try run(Command("true", workingDirectory: plain))
        }
        #expect(throws: SpawnError.unreadableInput("/no/such", code: ENOENT)) {
            try run(Command("true", standardInput: .file(path: Array("/no/such".utf8))))
        }
        let long = [UInt8](repeating: 65, count: 1 << 22)
        #expect(throws: SpawnError.tooLong(byteCount: 5 + long.count + 1)) {
            try run(Command(arguments: [Array("true".utf8), long]))
        }
        #expect(
            SpawnError.noSuchProgram("x").description
                == "cannot start x: there is no such program, or it is not in the PATH of the command"
        )
        #expect(SpawnError.system(code: EIO).description.contains("Input/output error"))
    }

    @Test("a relative program and a relative input are meant from the command's working directory")
    func workingDirectory() throws {
        let scratch = try ScratchDirectory()
        let end = try run(Command("pwd", workingDirectory: scratch.path))
        #expect(text(end.output) == "\(scratch.path)\n")
        try writeProgram("#!/bin/sh\ncat", to: "\(scratch.path)/in")
        let input = Command.Input.file(path: Array("in".utf8))
        let both = try run(
            Command("./in", workingDirectory: scratch.path, standardInput: input))
        #expect(text(both.output) == "#!/bin/sh\ncat")
    }

    @Test("the environment is inherited, added to or replaced, and always bears the mark")
    func environment() throws {
        let mark = AttemptMark(storeID: "test", job: 7, attempt: 2)
        let exact = try run(
            Command(
                "/usr/bin/env",
                environment: .exactly([.init("A", "1"), .init("PETIOLE_ATTEMPT", "forged")])),
            mark: mark)
        let lines = try #require(text(exact.output)).split(separator: "\n").sorted()
        #expect(lines == ["A=1", "PETIOLE_ATTEMPT=test:7:2"])

        let path = try #require(getenv("PATH").map { String(cString: $0) })
        let line = "echo \"$PATH|$A|$HOME|$PETIOLE_ATTEMPT\""
        let added = try run(
            shell(line, environment: .inheritedWith([.init("A", "x y"), .init("HOME", "/h")])),
            mark: mark)
        #expect(text(added.output) == "\(path)|x y|/h|test:7:2\n")
        let inherited = try run(shell("echo \"$PATH|$PETIOLE_ATTEMPT\""))
        #expect(text(inherited.output) == "\(path)|\n")
    }
}
