import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Where the attempts of a job type run.
///
/// In a process of its own a job that traps, exits, or is killed for its memory costs one attempt, which fails with
/// ``ChildProcessEnded``, and not the runner; and it can be ended at a hard ``TimeLimit``. An attempt costs some 15 µs
/// more than on a thread, a child's start some 15 ms.
public struct Isolation: Sendable, Hashable {
    enum Place: Sendable, Hashable {
        case thread
        case process(ChildSettings)
    }
    let place: Place

    /// On threads of the runner, or as its Swift tasks.
    public static let thread = Isolation(place: .thread)

    /// In child processes of the same program, whose first line is ``serveChild(jobs:)``. A child is kept and given one job after
    /// the other; there are as many as attempts run at once.
    public static let process = Isolation.process(executable: nil)

    /// In child processes.
    /// - Parameters:
    ///   - executable: the path of the program whose first line is ``serveChild(jobs:)``; nil: this one's.
    ///   - maxJobs: a child is replaced by a new one after so many jobs, 1 or more; nil: never for that.
    ///   - maxResidentBytes: a child is replaced when it has more memory than this after a job, 1 MiB or more; nil: never for
    ///     that.
    public static func process(
        executable: String? = nil, maxJobs: Int? = nil, maxResidentBytes: Int? = nil
    ) -> Isolation {
        Isolation(
            place: .process(
                ChildSettings(
                    executable: executable, maxJobs: maxJobs, maxResidentBytes: maxResidentBytes)))
    }
}

/// What children of one kind are, and when they are replaced.
struct ChildSettings: Sendable, Hashable {
    var executable: String?
    var maxJobs: Int?
    var maxResidentBytes: Int?

    static let leastResidentBytes = 1 << 20

    /// What is wrong with them for a job type, and what is allowed; nil: nothing.
    /// - Parameter isServed: whether this program serves children that know the type.
    func problem(isServed: Bool) -> String? {
        if let maxJobs, maxJobs < 1 {
            return "its children are replaced after \(maxJobs) jobs; 1 and more are allowed"
        }
        if let maxResidentBytes, maxResidentBytes < Self.leastResidentBytes {
            return "its children are replaced above \(maxResidentBytes) bytes; "
                + "\(Self.leastResidentBytes) (1 MiB) and more are allowed"
        }
        guard let executable else {
            return isServed
                ? nil
                : "it is isolated in a process, and this program serves no children that know it; "
                    + "make `Petiole.serveChild(jobs:)` with all isolated types the program's first "
                    + "line, or give an executable whose first line that is"
        }
        if executable.utf8.contains(0) { return "the path of its executable holds a zero byte" }
        var info = stat()
        guard executable.contains("/"), stat(executable, &info) == 0,
            info.st_mode & S_IFMT == S_IFREG, access(executable, X_OK) == 0
        else {
            return
                "its executable \"\(visible(executable))\" is not the path of a program that this "
                + "user may run"
        }
        return nil
    }

    /// With a path that goes on meaning the same program when the working directory changes.
    var resolved: ChildSettings {
        guard let executable, !executable.hasPrefix("/") else { return self }
        var settings = self
        settings.executable = WorkingDirectory.path.map { $0 + "/" + executable } ?? executable
        return settings
    }
}

/// The job types that this program serves as a child, as its first line has said.
enum ServedJobs {
    private static let names = Mutex<Set<String>>([])

    static func add(_ types: [any JobType.Type]) {
        names.withLock { $0.formUnion(types.map { $0.jobName }) }
    }

    static func contains(_ name: String) -> Bool { names.withLock { $0.contains(name) } }
}

enum WorkingDirectory {
    static var path: String? {
        guard let text = getcwd(nil, 0) else { return nil }
        defer { free(text) }
        return String(cString: text)
    }
}
