import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Where the inputs of `run` come from, and what ends one.
struct RunInputOptions: ParsableArguments {
    @Flag(name: .customShort("0"), help: "Inputs that are read end with a zero byte.")
    var isZeroSeparated = false

    @Option(
        name: [.customShort("d"), .customLong("delimiter")], parsing: .unconditional,
        help: ArgumentHelp(
            "Inputs that are read end with this character: one, or \\n, \\t, \\0.",
            valueName: "character"))
    var delimiter: String?

    @Option(
        name: [.customShort("a"), .customLong("arg-file")],
        help: ArgumentHelp(
            "Read the inputs from this file; -: from standard input.", valueName: "file"))
    var inputFile: String?

    func validate() throws {
        if let delimiter {
            _ = try InputSeparator(delimiter)
            if isZeroSeparated { throw ValidationError("-0 and -d both say what ends an input") }
        }
    }

    /// - Parameter stop: becomes readable when reading is to end.
    func reader(stop: Int32) throws -> InputReader {
        let separator =
            try delimiter.map { try InputSeparator($0) } ?? InputSeparator(zero: isZeroSeparated)
        if let list = Arguments.inputs {
            if inputFile != nil {
                throw Failure.usage("inputs come after ::: or from a file, not both: leave one out")
            }
            return InputReader(list, stop: stop)
        }
        if let inputFile, inputFile != "-" {
            let path = Arguments.bytes(of: inputFile)
            let file = (path + [0]).withUnsafeBytes { bytes in
                open(bytes.assumingMemoryBound(to: CChar.self).baseAddress!, O_RDONLY | O_CLOEXEC)
            }
            guard file >= 0 else {
                throw Failure(
                    "the file of inputs \(Command.quoted(path)) cannot be read: \(systemText(errno))",
                    status: 125)
            }
            // Open until the end of the process.
            return InputReader(descriptor: file, separator, stop: stop)
        }
        if Standard.isInputTerminal {
            throw Failure.usage(
                """
                there are no inputs: give them after ::: or on standard input
                for example: petiole run 'gzip -9 {}' ::: *.log
                """)
        }
        return InputReader(descriptor: 0, separator, stop: stop)
    }
}
