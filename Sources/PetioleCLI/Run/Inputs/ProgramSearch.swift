#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

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
