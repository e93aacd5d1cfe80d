import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Why a command did not start. Nothing of it ran.
package enum SpawnError: Error, Equatable, CustomStringConvertible {
    case noSuchProgram(String)
    /// It is there, and may not be executed, or is no program that this system can run (no shell is
    /// tried).
    case notExecutable(String, code: Int32)
    /// The script is there; what its first line names, or the program's loader, is not.
    case noInterpreter(String)
    case badWorkingDirectory(String, code: Int32)
    case unreadableInput(String, code: Int32)
    /// Standard input is a part of a file that was written to, or put in place of another, since. Found at the end of what was
    /// read too: then the command has run.
    case changedInput(String)
    /// Standard input was kept in the store until the job succeeded.
    case removedInput
    /// Arguments and environment exceed what the system takes (E2BIG).
    case tooLong(byteCount: Int)
    /// No processes, memory or descriptors are left: worth another attempt later.
    case outOfResources(code: Int32)
    case system(code: Int32)

    package var description: String {
        switch self {
        case .noSuchProgram(let name):
            "cannot start \(name): there is no such program, or it is not in the PATH of the command"
        case .notExecutable(let name, let code):
            "cannot start \(name): it cannot be executed   [\(Self.text(code))]"
        case .noInterpreter(let name):
            "cannot start \(name): the interpreter that it names does not exist"
        case .badWorkingDirectory(let path, let code):
            "cannot work in \(path)   [\(Self.text(code))]"
        case .unreadableInput(let path, let code):
            "cannot read standard input from \(path)   [\(Self.text(code))]"
        case .changedInput(let path):
            "\(path) has changed since its blocks were listed; "
                + "start the same line again, which lists it anew, or put the file back as it was"
        case .removedInput:
            "its standard input came from a pipe and was kept until the job succeeded; "
                + "start the line that made it anew, with --fresh and the same input"
        case .tooLong(let byteCount):
            "the arguments and the environment, \(byteCount) bytes, are more than the system takes; "
                + "hand the data over in standard input or a file   [\(Self.text(E2BIG))]"
        case .outOfResources(let code):
            "cannot start another process now   [\(Self.text(code))]"
        case .system(let code):
            "cannot start the command   [\(Self.text(code))]"
        }
    }

    static func text(_ code: Int32) -> String {
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            petiole_error_text(code, buffer.baseAddress!, buffer.count)
            return String(cString: buffer.baseAddress!)
        }
        return "\(text), error \(code)"
    }
}
