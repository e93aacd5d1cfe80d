#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The process's arguments, byte for byte, and the texts that stand for them in the argument parser.
///
/// The parser takes text; an argument need not be any. One that is no UTF-8 is parsed under a mark that holds its
/// place in the list, and is taken from there by ``bytes(of:)``. Of an option with its value in one word, `--env=A=…`, the value
/// is marked alone, its mark with `=` at the end.
enum Arguments {
    /// All of them, without the tool's own name.
    static let all: [[UInt8]] = {
        var arguments: [[UInt8]] = []
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let argument = CommandLine.unsafeArgv[index] else { break }
            let length = strlen(argument)
            arguments.append(
                argument.withMemoryRebound(to: UInt8.self, capacity: length) {
                    Array(UnsafeBufferPointer(start: $0, count: length))
                })
        }
        return arguments
    }()

    private static let mark = "\u{F8FF}argument "

    /// Words that say that inputs follow: whether these are names of files, and whether they go with those before.
    private static let separators: [(word: [UInt8], isOfFiles: Bool, isLinked: Bool)] = [
        (Array(":::".utf8), false, false), (Array(":::+".utf8), false, true),
        (Array("::::".utf8), true, false), (Array("::::+".utf8), true, true),
    ]

    private static func separator(_ word: [UInt8]) -> (isOfFiles: Bool, isLinked: Bool)? {
        guard word.starts(with: separators[0].word), word.count <= 5 else { return nil }
        return separators.first { $0.word == word }.map { ($0.isOfFiles, $0.isLinked) }
    }

    /// Where the inputs of `run` begin; nil when they come from standard input.
    private static let separatorIndex: Int? =
        command == "run" ? all.firstIndex { separator($0) != nil } : nil

    /// The name of the tool's command, which comes first.
    static var command: String? { all.first.map { String(decoding: $0, as: UTF8.self) } }

    /// Inputs, or files of inputs, that stand at the end of the command line.
    struct Listed {
        let isOfFiles: Bool
        /// With those before it one by one, else each with each.
        let isLinked: Bool
        var words: ArraySlice<[UInt8]>
    }

    /// What stands behind `:::` and its like.
    static var listed: [Listed] {
        var listed: [Listed] = []
        guard let separatorIndex else { return [] }
        for index in all[separatorIndex...].indices {
            if let (isOfFiles, isLinked) = separator(all[index]) {
                listed.append(
                    Listed(
                        isOfFiles: isOfFiles, isLinked: isLinked,
                        words: all[(index + 1)..<(index + 1)]))
            } else if let last = listed.last {
                listed[listed.count - 1].words = all[last.words.startIndex...index]
            }
        }
        return listed
    }

    /// The arguments before `:::`, as texts.
    static var forParser: [String] {
        let words = all[..<(separatorIndex ?? all.count)]
        let end = words.firstIndex(of: Array("--".utf8)) ?? words.endIndex
        return words.enumerated().map { index, bytes in
            if let text = String(validating: bytes, as: UTF8.self), !text.contains(mark) {
                return text
            }
            if index < end, bytes.starts(with: Array("--".utf8)),
                let equals = bytes.firstIndex(of: UInt8(ascii: "=")),
                let option = String(validating: bytes[..<equals], as: UTF8.self),
                !option.contains(mark)
            {
                return "\(option)=\(mark)\(index)="
            }
            return mark + String(index)
        }
    }

    /// Whether a text of the parser's stands for what is no UTF-8.
    static func isMarked(_ text: String) -> Bool { text.contains(mark) }

    /// A text of the parser's, in which marks give way to what they stand for, as far as that is text.
    static func withoutMarks(_ text: String) -> String {
        guard text.contains(mark) else { return text }
        // The greatest first: the mark of 1 is the beginning of that of 12.
        return all.enumerated().reversed().reduce(text) { text, argument in
            let own = mark + String(argument.offset)
            return text.replacing(
                own + "=", with: String(decoding: value(of: argument.element), as: UTF8.self)
            ).replacing(own, with: String(decoding: argument.element, as: UTF8.self))
        }
    }

    /// What stands behind the first `=` of a word.
    private static func value(of word: [UInt8]) -> ArraySlice<UInt8> {
        word.firstIndex(of: UInt8(ascii: "=")).map { word[($0 + 1)...] } ?? []
    }

    /// The bytes of a parsed argument.
    static func bytes(of text: String) -> [UInt8] {
        guard let range = text.firstRange(of: mark) else { return Array(text.utf8) }
        let isValue = text.hasSuffix("=")
        guard let index = Int(text[range.upperBound...].dropLast(isValue ? 1 : 0)),
            all.indices.contains(index)
        else { return Array(text.utf8) }
        // An option that was taken for a word of a command is whole.
        return range.lowerBound == text.startIndex && isValue
            ? Array(value(of: all[index])) : all[index]
    }
}

/// The working directory and the environment, byte for byte.
enum Surroundings {
    static func workingDirectory() throws -> [UInt8] {
        guard let path = getcwd(nil, 0) else {
            throw Failure("the working directory cannot be found: \(systemText(errno))", status: 74)
        }
        defer { free(path) }
        return bytes(path)
    }

    static func variable(_ name: String) -> [UInt8]? { getenv(name).map { bytes($0) } }

    /// All variables, as "name=value".
    static func environment() -> [[UInt8]] {
        var entries: [[UInt8]] = []
        var entry = petioleEnvironment()
        while let text = entry?.pointee {
            entries.append(bytes(text))
            entry = entry?.advanced(by: 1)
        }
        return entries
    }

    private static func bytes(_ text: UnsafePointer<CChar>) -> [UInt8] {
        let length = strlen(text)
        return text.withMemoryRebound(to: UInt8.self, capacity: length) {
            Array(UnsafeBufferPointer(start: $0, count: length))
        }
    }

    private static func petioleEnvironment() -> UnsafePointer<UnsafeMutablePointer<CChar>?>? {
        CommandLine.unsafeArgv.advanced(by: Int(CommandLine.argc) + 1).withMemoryRebound(
            to: UnsafeMutablePointer<CChar>?.self, capacity: 1
        ) { UnsafePointer($0) }
    }
}

/// A system error in words, the number last.
func systemText(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return "\(String(cString: text)), error \(code)"
}
