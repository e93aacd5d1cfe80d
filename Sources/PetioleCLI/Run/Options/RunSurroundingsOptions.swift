import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What a command of `run` finds around it. It is kept with the job: one that goes on later has it.
struct RunSurroundingsOptions: ParsableArguments {
    @Option(
        name: .customLong("env"),
        help: ArgumentHelp(
            "NAME=VALUE sets a variable; NAME keeps the value that it has now, for a start from another environment.",
            valueName: "variable"))
    var variables: [String] = []

    @Option(
        name: .customLong("workdir"),
        help: ArgumentHelp("Run the commands in this directory.", valueName: "directory"))
    var workingDirectory: String?

    @Option(
        name: .customLong("tmpdir"),
        help: ArgumentHelp(
            "Where the commands make temporary files: their TMPDIR.", valueName: "directory"))
    var temporaryDirectory: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Run the commands so much nicer, 1 to 19.", valueName: "n"))
    var nice: Int?

    func validate() throws {
        if let nice, !(1...Int(Command.mostNiceness)).contains(nice) {
            throw ValidationError("--nice takes 1 to 19")
        }
    }

    /// What is done to each command.
    struct Surroundings: Sendable {
        fileprivate var variables: [Command.Variable] = []
        fileprivate var niceness: UInt8 = 0

        func around(_ command: Command) -> Command {
            if variables.isEmpty, niceness == 0 { return command }
            let dressed = variables.isEmpty ? command : command.with(variables)
            return niceness == 0 ? dressed : dressed.nicer(by: niceness)
        }

        func around(_ request: JobStore.CommandRequest) -> JobStore.CommandRequest {
            JobStore.CommandRequest(command: around(request.command), input: request.input)
        }
    }

    func surroundings(in directory: [UInt8]) throws -> Surroundings {
        var surroundings = Surroundings()
        surroundings.niceness = UInt8(nice ?? 0)
        if let temporaryDirectory {
            let path = try Self.folder(temporaryDirectory, in: directory, "--tmpdir")
            surroundings.variables.append(
                Command.Variable(name: Array("TMPDIR".utf8), value: path))
        }
        for text in variables {
            let variable = try Self.variable(Arguments.bytes(of: text))
            // The last one counts.
            surroundings.variables.removeAll { $0.name == variable.name }
            surroundings.variables.append(variable)
        }
        return surroundings
    }

    /// Where the commands run, given the directory of this process.
    func workingDirectory(in directory: [UInt8]) throws -> [UInt8] {
        try workingDirectory.map { try Self.folder($0, in: directory, "--workdir") } ?? directory
    }

    private static func variable(_ text: [UInt8]) throws -> Command.Variable {
        let equals = text.firstIndex(of: UInt8(ascii: "="))
        let name = Array(text[..<(equals ?? text.endIndex)])
        guard !name.isEmpty, !text.contains(0) else {
            throw Failure.usage("--env takes NAME or NAME=VALUE, not \(Command.quoted(text))")
        }
        if let equals { return Command.Variable(name: name, value: Array(text[(equals + 1)...])) }
        guard let value = PetioleCLI.Surroundings.variable(String(decoding: name, as: UTF8.self))
        else {
            throw Failure.usage(
                "there is no variable \(Command.quoted(name)) here\ngive it one: --env \(Command.quoted(name))=VALUE"
            )
        }
        return Command.Variable(name: name, value: value)
    }

    /// The whole path of a directory that is there.
    private static func folder(
        _ text: String, in directory: [UInt8], _ option: String
    ) throws -> [UInt8] {
        var path = Arguments.bytes(of: text)
        if path.first != UInt8(ascii: "/") { path = directory + [UInt8(ascii: "/")] + path }
        var info = stat()
        let code = (path + [0]).withUnsafeBytes { bytes in
            stat(bytes.assumingMemoryBound(to: CChar.self).baseAddress!, &info) == 0 ? 0 : errno
        }
        guard code == 0, info.st_mode & S_IFMT == S_IFDIR else {
            throw Failure.usage(
                "\(option): there is no directory \(Command.quoted(path))   [\(systemText(code == 0 ? ENOTDIR : code))]"
            )
        }
        return path
    }
}
