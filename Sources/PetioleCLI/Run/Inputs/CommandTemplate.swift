import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What `run` makes a command of for each input.
struct CommandTemplate {
    /// Words given straight to the system, or a line for a shell.
    enum Form {
        case words([[UInt8]])
        case shell(ShellTemplate)
    }
    let form: Form
    let words: [[UInt8]]
    private let directory: [UInt8]

    /// One word is a line for the shell, unless it can be nothing but the name of a program; several are a program and its
    /// arguments, and no shell sees them.
    init(words: [[UInt8]], directory: [UInt8]) throws {
        guard let first = words.first, !first.isEmpty else {
            throw Failure.usage(
                "there is no command to run\nfor example: petiole run 'gzip -9 {}' ::: *.log")
        }
        if let word = words.first(where: { $0.contains(0) }) {
            throw Failure.usage("\(Command.quoted(word)) holds a zero byte")
        }
        self.words = words
        self.directory = directory
        if words.count == 1, !Self.isProgramName(first) {
            form = .shell(try ShellTemplate(first))
        } else {
            form = .words(words)
        }
    }

    private static func isProgramName(_ word: [UInt8]) -> Bool {
        word.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
                true
            default: "/._-+@%,".utf8.contains(byte)
            }
        }
    }

    var usesShell: Bool { if case .shell = form { true } else { false } }

    /// - Parameter number: which of the inputs it is, from 1.
    func command(for input: [UInt8], number: Int) throws(InvalidCommand) -> Command {
        switch form {
        case .words(let words):
            var arguments: [[UInt8]] = []
            arguments.reserveCapacity(words.count + 1)
            var isPlaced = false
            for word in words {
                arguments.append(Self.replacing(word, by: input, number, &isPlaced))
            }
            if !isPlaced { arguments.append(input) }
            return try Command(arguments: arguments, workingDirectory: directory)
        case .shell(let template):
            return try Command(
                arguments: [Array("/bin/sh".utf8), Array("-c".utf8), template.line],
                workingDirectory: directory,
                environment: .inheritedWith(
                    template.forms.map { form in
                        Command.Variable(
                            name: Array(form.variable.utf8),
                            value: form.value(of: input, number: number))
                    }))
        }
    }

    private static func replacing(
        _ word: [UInt8], by input: [UInt8], _ number: Int, _ isPlaced: inout Bool
    ) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        while index < word.count {
            if let form = InputForm.at(index, of: word) {
                result += form.value(of: input, number: number)
                index += form.length
                isPlaced = true
            } else {
                result.append(word[index])
                index += 1
            }
        }
        return result
    }

    /// Looks whether the program is there, where that can be told before anything runs.
    func checkProgram() throws {
        guard case .words(let words) = form else { return }
        let program = words[0]
        if program.indices.contains(where: { InputForm.at($0, of: program) != nil }) { return }
        let name = Command.quoted(program)
        switch ProgramSearch.find(program) {
        case .found: return
        case .notExecutable:
            throw Failure(
                "\(name) cannot be executed\nsee its mode, or name another program", status: 126)
        case .missing where program.contains(UInt8(ascii: "/")):
            throw Failure("there is no program \(name)\nnothing was enqueued", status: 127)
        case .missing:
            throw Failure(
                """
                there is no program \(name) in PATH
                nothing was enqueued; a line for the shell is given as one word: petiole run 'line with {}'
                """, status: 127)
        }
    }
}

/// Looks for a program as the system will.
enum ProgramSearch {
    enum Answer { case found, notExecutable, missing }

    static func find(_ program: [UInt8]) -> Answer {
        if program.contains(UInt8(ascii: "/")) { return look(program) }
        let path = Surroundings.variable("PATH") ?? Array("/bin:/usr/bin".utf8)
        var answer = Answer.missing
        for folder in path.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false) {
            let candidate = folder.isEmpty ? program : folder + [UInt8(ascii: "/")] + program
            switch look(candidate) {
            case .found: return .found
            case .notExecutable: answer = .notExecutable
            case .missing: continue
            }
        }
        return answer
    }

    private static func look(_ path: [UInt8]) -> Answer {
        (path + [0]).withUnsafeBytes { bytes in
            let path = bytes.assumingMemoryBound(to: CChar.self).baseAddress!
            var info = stat()
            guard stat(path, &info) == 0 else { return errno == EACCES ? .notExecutable : .missing }
            guard info.st_mode & S_IFMT == S_IFREG, access(path, X_OK) == 0 else {
                return .notExecutable
            }
            return .found
        }
    }
}
