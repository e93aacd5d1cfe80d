#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A program to run as a child process: the payload of a command job.
///
/// Everything is bytes, exactly as the child gets them: no shell, no locale, no encoding. A value
/// that exists is one that can be handed to the system: it has a program and holds no zero byte.
package struct Command: Sendable, Equatable {
    /// One variable of an environment. Its name is not empty and holds no `=`.
    package struct Variable: Sendable, Equatable {
        package var name: [UInt8]
        package var value: [UInt8]

        package init(name: [UInt8], value: [UInt8]) {
            self.name = name
            self.value = value
        }

        package init(_ name: String, _ value: String) {
            self.init(name: Array(name.utf8), value: Array(value.utf8))
        }
    }

    package enum Environment: Sendable, Equatable {
        /// What the running process has when the child is started.
        case inherited
        /// The same, with these added or put in place of those of the same name.
        case inheritedWith([Variable])
        /// These and no others, but for the mark of the attempt.
        case exactly([Variable])
    }

    package enum Input: Sendable, Equatable {
        /// `/dev/null`: the end of the file at once.
        case null
        case bytes([UInt8])
        /// A file, opened for reading; a relative path is meant from the command's working
        /// directory. A FIFO is opened without waiting for somebody who writes.
        case file(path: [UInt8])
        /// A part of a regular file, through a pipe; the command fails when the file is another by then.
        case range(FileRange)
        /// A file of the store's folder `inputs`: see ``StoredInputs``.
        case stored(name: [UInt8])
    }

    /// Arguments, and variables, of one command. Linux takes 6 MiB of both together, of which each
    /// costs at least nine bytes.
    package static let countBound = 700_000

    /// The program and its arguments. A program without a slash is searched, as by `execvp`, in the
    /// `PATH` of the environment *the child gets* (`/bin:/usr/bin` if it has none), never by a
    /// shell.
    package let arguments: [[UInt8]]
    /// `nil`: that of the running process.
    package let workingDirectory: [UInt8]?
    package let environment: Environment
    package let standardInput: Input
    /// How much nicer than its runner it is, 0 to ``mostNiceness``.
    package private(set) var niceness: UInt8 = 0
    package static let mostNiceness: UInt8 = 19

    package init(
        arguments: [[UInt8]], workingDirectory: [UInt8]? = nil,
        environment: Environment = .inherited, standardInput: Input = .null
    ) throws(InvalidCommand) {
        try Self.check(arguments, workingDirectory, environment, standardInput)
        self.arguments = arguments
        self.workingDirectory = workingDirectory
        self.environment = environment
        self.standardInput = standardInput
    }

    package init(
        _ arguments: String..., workingDirectory: String? = nil,
        environment: Environment = .inherited, standardInput: Input = .null
    ) throws(InvalidCommand) {
        try self.init(
            arguments: arguments.map { Array($0.utf8) },
            workingDirectory: workingDirectory.map { Array($0.utf8) },
            environment: environment, standardInput: standardInput)
    }

    /// The same, so much nicer.
    package func nicer(by niceness: UInt8) -> Command {
        var command = self
        command.niceness = min(niceness, Self.mostNiceness)
        return command
    }

    /// The same with more variables, none of which holds a zero byte.
    package func with(_ variables: [Variable]) -> Command {
        let names = variables.map { $0.name }
        func without(_ own: [Variable]) -> [Variable] { own.filter { !names.contains($0.name) } }
        let environment: Environment =
            switch environment {
            case .inherited: .inheritedWith(variables)
            case .inheritedWith(let own): .inheritedWith(without(own) + variables)
            case .exactly(let own): .exactly(without(own) + variables)
            }
        return Command(self, environment)
    }

    /// The same, with a file of the store's as its standard input where that has one.
    func reading(from directory: String) -> Command {
        guard case .stored(let name) = standardInput else { return self }
        return Command(self, environment, .file(path: Array("\(directory)/".utf8) + name))
    }

    private init(_ command: Command, _ environment: Environment, _ input: Input? = nil) {
        arguments = command.arguments
        workingDirectory = command.workingDirectory
        standardInput = input ?? command.standardInput
        niceness = command.niceness
        self.environment = environment
    }

    private static func check(
        _ arguments: [[UInt8]], _ workingDirectory: [UInt8]?, _ environment: Environment,
        _ standardInput: Input
    ) throws(InvalidCommand) {
        guard !arguments.isEmpty else { throw .noProgram }
        guard arguments.count <= countBound else { throw .tooMany(arguments.count) }
        if let index = arguments.firstIndex(where: { $0.hasZeroByte }) {
            throw .zeroByte(in: "argument \(index)")
        }
        if let workingDirectory, workingDirectory.hasZeroByte {
            throw .zeroByte(in: "the working directory")
        }
        if case .file(let path) = standardInput, path.hasZeroByte {
            throw .zeroByte(in: "the path of standard input")
        }
        if case .range(let range) = standardInput, range.path.hasZeroByte || !range.isSound {
            throw .badRange
        }
        if case .stored(let name) = standardInput, !StoredInputs.isName(name) {
            throw .badRange
        }
        let variables: [Variable]
        switch environment {
        case .inherited: variables = []
        case .inheritedWith(let some), .exactly(let some): variables = some
        }
        guard variables.count <= countBound else { throw .tooMany(variables.count) }
        for variable in variables {
            guard !variable.name.isEmpty, !variable.name.contains(UInt8(ascii: "=")) else {
                throw .badVariableName
            }
            if variable.name.hasZeroByte || variable.value.hasZeroByte {
                throw .zeroByte(in: "the environment")
            }
        }
    }
}

extension [UInt8] {
    fileprivate var hasZeroByte: Bool {
        withUnsafeBytes { $0.count > 0 && memchr($0.baseAddress!, 0, $0.count) != nil }
    }
}

/// Why no child could ever be started from these values.
package enum InvalidCommand: Error, Equatable, CustomStringConvertible {
    case noProgram
    case zeroByte(in: String)
    case badVariableName
    case tooMany(Int)
    /// A part of no file, or not within it.
    case badRange

    package var description: String {
        switch self {
        case .noProgram: "a command needs at least one argument, the program"
        case .zeroByte(let place): "\(place) of the command holds a zero byte, which ends a string"
        case .badRange: "standard input is a part of a file that cannot be"
        case .badVariableName: "the name of an environment variable is empty or holds '='"
        case .tooMany(let count):
            "a command takes at most \(Command.countBound) arguments or variables, not \(count)"
        }
    }
}
