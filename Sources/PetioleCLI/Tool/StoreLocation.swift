import ArgumentParser
import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Which store a command works on, found as git finds its folder.
struct StoreLocation: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The store's directory; else PETIOLE_STORE, else the nearest .petiole upward.",
            valueName: "path"), completion: .directory)
    var store: String?

    /// Opens the store that is there.
    func openExisting() throws -> JobStore {
        guard let path = try path() else {
            throw Failure(
                """
                there is no store: neither --store nor PETIOLE_STORE is given, no directory from here \
                upward has a .petiole, and no configuration names one
                make one with `petiole run` or `petiole add`, or name one with --store
                """, status: 66)
        }
        var options = StoreOptions()
        options.createsStore = false
        return Self.explainingFaults(try JobStore(at: path, options: options))
    }

    /// Opens the store, or makes it: `./.petiole` when nothing names another.
    func openOrMake() throws -> JobStore {
        let path = try path() ?? ".petiole"
        try Self.checkParent(of: path)
        var options = StoreOptions()
        options.retentionWhenMade = Self.retention
        return Self.explainingFaults(try JobStore(at: path, options: options))
    }

    /// For how long a store that the tool makes keeps what has ended, while there is room: a run knows by it what is done.
    private static let retention = Duration.seconds(365 * 86_400)

    /// A store is made with its own directory, and with none above it: that might be a slip of the pen.
    private static func checkParent(of path: String) throws {
        var name = path[...]
        while name.count > 1, name.hasSuffix("/") { name.removeLast() }
        guard let slash = name.lastIndex(of: "/"), slash > name.startIndex else { return }
        let parent = String(name[..<slash])
        var info = stat()
        if stat(parent, &info) == 0 || errno != ENOENT { return }
        throw Failure(
            """
            no store can be made at \(visible(String(name))): there is no directory \(visible(parent))
            make it first: mkdir -p \(Command.quoted(Array(parent.utf8)))
            """, status: 73)
    }

    /// A path without `..` and links, as far as it can be followed.
    static func resolved(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(validatingCString: resolved) ?? path
    }

    /// What is in the inner pages of a store is seen only when LMDB follows it. Noise there may lead it out of the file, which
    /// ends the process: with a sentence then.
    private static func explainingFaults(_ store: JobStore) -> JobStore {
        JobStore.explainFaults(
            """
            petiole: a page of the store \(visible(store.path)) cannot be read: it is damaged, most likely
            see what is left with: petiole doctor --store \(visible(store.path))

            """, status: 65)
        return store
    }

    /// The path of the store: given, or found; nil when there is none.
    func path() throws -> String? { try Self.path(given: store) }

    /// The same, by what --store says.
    static func path(given store: String?) throws -> String? {
        if let store {
            guard let path = String(validating: Arguments.bytes(of: store), as: UTF8.self),
                !path.isEmpty
            else { throw Failure.usage("--store needs a path, and in UTF-8") }
            return path
        }
        if let bytes = Surroundings.variable("PETIOLE_STORE"), !bytes.isEmpty {
            guard let path = String(validating: bytes, as: UTF8.self) else {
                throw Failure.usage("PETIOLE_STORE holds a path that is not UTF-8")
            }
            return path
        }
        return try nearest() ?? Settings.store()
    }

    private static func nearest() throws -> String? {
        var directory = try Surroundings.workingDirectory()
        // Relative while it is looked for: a directory above need not have a name in UTF-8.
        var path = ".petiole"
        while true {
            var info = stat()
            if stat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR {
                return path == ".petiole" ? path : resolved(path)
            }
            guard directory.count > 1, let slash = directory.lastIndex(of: UInt8(ascii: "/")) else {
                return nil
            }
            directory.removeSubrange(slash...)
            if directory.isEmpty { directory = [UInt8(ascii: "/")] }
            path = "../" + path
        }
    }
}
