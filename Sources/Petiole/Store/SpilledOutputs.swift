import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The files in the store's folder `outputs`: what commands wrote beyond what an outcome holds. Each is named by its job and
/// attempt, and is kept as long as the job is.
enum SpilledOutputs {
    /// Deletes the files of jobs that were pruned or purged. After that, and after a start: a crash may have come between it
    /// and this. Cost: a look at the log for each file; nothing where no output was ever that large.
    static func sweep(_ store: OpenStore) {
        StoredInputs.sweep(store)
        let path = store.path + "/outputs"
        guard let directory = opendir(path) else { return }
        defer { closedir(directory) }
        var names: [(id: UInt64, name: String)] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let dash = name.firstIndex(of: "-"), let id = UInt64(name[..<dash]) else {
                continue
            }
            names.append((id, name))
            if names.count == 256 {
                delete(names, path, store)
                names = []
            }
        }
        delete(names, path, store)
    }

    private static func delete(
        _ names: [(id: UInt64, name: String)], _ path: String, _ store: OpenStore
    ) {
        // What cannot be told stays; the next pruning asks again.
        let gone = try? store.read { (reader) throws(StorageError) -> [String] in
            var gone: [String] = []
            for (id, name) in names {
                if try Lookup.block(id, reader, store.tables) == nil,
                    try Lookup.outcomes(id, reader, store.tables) == nil
                {
                    gone.append(name)
                }
            }
            return gone
        }
        guard let gone, !gone.isEmpty else { return }
        // A backup copies them, this process's or another's: see `Backup.swift`. The next pruning asks again.
        if store.locks.holder(of: StoreFormat.backupLock) != nil { return }
        for name in gone { unlink("\(path)/\(name)") }
    }
}
