import CPetiole
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Finds a store's directory, or makes one so that no power cut leaves half of it: under another name, committed,
/// renamed into place, its directory synced.
///
/// - Source: tried with LMDB 0.9.24: a cut while `data.mdb` is being made can leave a file that it refuses for ever, and
///   LMDB never syncs a directory.
enum StoreCreation {
    /// The absolute path of the store's directory, made if it is missing and may be.
    static func locate(_ path: String, _ options: StoreOptions) throws(StoreError) -> String {
        let path = absolute(path)
        if petiole_is_remote(parent(of: path)) == 1 { throw .remoteFileSystem(path: path) }
        switch kind(of: path) {
        case .store: return path
        case .other(let reason): throw .notAStore(path: path, reason: reason)
        case .missing, .emptyDirectory:
            guard options.createsStore else { throw .noStore(path: path) }
        }
        try make(path, options)
        return path
    }

    private enum Kind {
        case missing, emptyDirectory, store
        case other(String)
    }

    private static func kind(of path: String) -> Kind {
        var info = stat()
        guard lstat(path, &info) == 0 else { return .missing }
        if info.st_mode & S_IFMT == S_IFLNK {
            guard stat(path, &info) == 0 else { return .other("it is a link that leads nowhere") }
        }
        guard info.st_mode & S_IFMT == S_IFDIR else { return .other("it is a file") }
        if info.st_uid != geteuid() {
            return .other("its owner is user \(info.st_uid), not this one (\(geteuid()))")
        }
        if info.st_mode & 0o022 != 0 {
            return .other("others may write there (mode \(String(info.st_mode & 0o777, radix: 8)))")
        }
        if FileIdentity(path + "/data.mdb") != nil { return .store }
        guard let directory = opendir(path) else { return .other("it cannot be read") }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { return .other("the directory holds other files") }
        }
        return .emptyDirectory
    }

    private static func make(_ path: String, _ options: StoreOptions) throws(StoreError) {
        let parent = parent(of: path)
        let draft = draft(of: path)
        guard mkdir(draft, 0o700) == 0 else {
            if errno == ENOSPC { throw .diskFull(path: path) }
            throw .notPermitted(path: path, reason: "mkdir: \(systemMessage(errno))")
        }
        do throws(StorageError) {
            try fill(draft, options)
            try sync(draft)
            if rename(draft, path) != 0 {
                let code = errno
                // Another process was quicker: its store is as good as ours.
                guard code == EEXIST || code == ENOTEMPTY else {
                    throw .system(call: "rename", code: code)
                }
                remove(draft)
                return
            }
            try sync(parent)
        } catch {
            remove(draft)
            throw StoreError(error, path: path)
        }
    }

    /// The name under which a store is made that is to be at a path.
    static func draft(of path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? "store"
        let random = UInt32.random(in: 0...UInt32.max)
        return "\(parent(of: path))/.\(name).new-\(getpid())-\(random)"
    }

    private static func fill(
        _ directory: String, _ options: StoreOptions
    ) throws(StorageError) {
        var opening = Environment.Options()
        opening.neverSyncs = options.durability == .scratch
        let environment = try Environment(
            directory: directory, tableNames: StoreFormat.tables, creating: true, options: opening)
        defer { environment.close() }
        let tables = StoreTables(environment)
        let format = FormatRecord(
            version: StoreFormat.version, isScratch: opening.neverSyncs,
            storeID: UInt64.random(in: 1...UInt64.max), createdAt: StoreClock().now)
        var options = options
        options.retention = options.retention ?? options.retentionWhenMade
        let settings = options.applied(to: StoreOptions.defaults)
        try environment.write { (transaction) throws(StorageError) in
            for (key, value) in [
                (RecordKey.format, format.bytes), (RecordKey.settings, settings.bytes),
            ] {
                try withBytes(value) { (value) throws(StorageError) in
                    try transaction.put(
                        tables.meta, key.withUnsafeBytes { Key(copying: $0) }, value)
                }
            }
        }
        _ = try MappedFile(path: directory + "/bell", size: StoreSignals.fileSize)
        _ = try MappedFile(path: directory + "/running", size: RunningSlots.fileSize)
        let locks = open(directory + "/locks", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard locks >= 0 else { throw .system(call: "open locks", code: errno) }
        close(locks)
    }

    /// Syncs a directory: the names in it, not what the files hold.
    static func sync(_ directory: String) throws(StorageError) {
        let file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard file >= 0 else { throw .system(call: "open \(directory)", code: errno) }
        defer { close(file) }
        guard fsync(file) == 0 else { throw .system(call: "fsync \(directory)", code: errno) }
    }

    private static func remove(_ draft: String) {
        for name in ["data.mdb", "lock.mdb", "bell", "running", "locks"] {
            unlink("\(draft)/\(name)")
        }
        rmdir(draft)
    }

    static func absolute(_ path: String) -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        if !path.hasPrefix("/") {
            guard let here = getcwd(nil, 0) else { return path }
            defer { free(here) }
            path = String(cString: here) + "/" + path
        }
        return path
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }
}
