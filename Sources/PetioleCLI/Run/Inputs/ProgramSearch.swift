#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Looks for a program as the system will.
enum ProgramSearch {
    enum Answer { case found, notExecutable, missing }

    static func find(_ program: [UInt8]) -> Answer {
        var answer = Answer.missing
        for candidate in candidates(program) {
            switch look(candidate) {
            case .found: return .found
            case .notExecutable: answer = .notExecutable
            case .missing: continue
            }
        }
        return answer
    }

    /// Whether it is there and the system can start it: a text without `#!` is run by a shell alone.
    static func startsByItself(_ program: [UInt8]) -> Bool {
        guard let path = candidates(program).first(where: { look($0) == .found }) else {
            return false
        }
        let file = (path + [0]).withUnsafeBytes { bytes in
            open(bytes.assumingMemoryBound(to: CChar.self).baseAddress!, O_RDONLY | O_CLOEXEC)
        }
        // What may be executed and not read is no text for a shell.
        guard file >= 0 else { return true }
        defer { close(file) }
        var start: [UInt8] = [0, 0]
        guard read(file, &start, 2) == 2 else { return false }
        // Programs of machines begin with a byte that no line of text does: ELF, Mach-O and its kinds.
        return start == Array("#!".utf8) || [0x7F, 0xCA, 0xCF, 0xCE, 0xFE].contains(start[0])
    }

    private static func candidates(_ program: [UInt8]) -> [[UInt8]] {
        if program.contains(UInt8(ascii: "/")) { return [program] }
        let path = Surroundings.variable("PATH") ?? Array("/bin:/usr/bin".utf8)
        return path.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map {
            $0.isEmpty ? program : $0 + [UInt8(ascii: "/")] + program
        }
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
