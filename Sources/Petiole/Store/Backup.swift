import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// A backup of a store in use
//
// The data file is copied in one view, so it shows the store as it was at one commit. What commands wrote beyond what an
// outcome holds lies in files, which are copied behind it: those that the copy speaks of were there at that commit, and as
// long as the backup holds its lock byte nobody deletes one.
//
//     sweep (any process)                     backup
//     finds in a view that a job is gone
//                                             takes the byte
//                                             opens its view: the job is gone there too
//     looks at the byte: held, deletes none   ← had it looked before, what it deletes is not in the copy
//
// The copy gets a number of its own, since by a store's number a runner finds and ends what a dead one's commands left running:
// a copy that is used beside its original must not end that one's. It is filled under another name, checked, synced and
// renamed into place, so that what has the name is whole.

/// What a backup has written.
public struct BackupReport: Sendable, Hashable {
    /// The data file's bytes.
    public var bytes = 0
    /// Files that commands wrote, and their bytes.
    public var outputs = 0
    /// Their bytes.
    public var outputBytes = 0
    /// The jobs in it, each compared with its checksum; nil when that was not asked for.
    public var jobs: Int?
}

extension JobStore {
    /// Copies the store as it is at one commit, while others go on with it, to a directory that is a store then. When this
    /// returns, the copy is on the disk, and whole.
    /// - Parameters:
    ///   - path: where there is nothing yet, on a local file system; its directory is there.
    ///   - compacting: leaves out what is free inside the file. Where the file does not allow that, all of it is copied.
    ///   - checking: reads each page and compares each checksum of the copy.
    /// - Throws: ``StoreError/copyFailed(path:reason:)``; nothing is there then.
    /// - Complexity: O(bytes). A view is open as long as the data file is copied, so that pages that are freed meanwhile are
    ///   not reused.
    @discardableResult
    public func backup(
        to path: String, compacting: Bool = true, checking: Bool = true
    ) async throws(StoreError) -> BackupReport {
        let open = open
        let target = StoreCreation.absolute(path)
        do {
            return try await onThread("petiole-backup") {
                try StoreBackup(open, target).run(compacting: compacting, checking: checking)
            }
        } catch let failure as FileCopy.Failure {
            throw .copyFailed(path: target, reason: failure.reason)
        } catch {
            throw .copyFailed(path: target, reason: "\(error)")
        }
    }
}

private struct StoreBackup {
    private let store: OpenStore
    private let target: String
    private let draft: String

    init(_ store: OpenStore, _ target: String) {
        self.store = store
        self.target = target
        draft = StoreCreation.draft(of: target)
    }

    func run(compacting: Bool, checking: Bool) throws(FileCopy.Failure) -> BackupReport {
        var info = stat()
        if lstat(target, &info) == 0 {
            throw FileCopy.Failure(reason: "there is something already")
        }
        guard mkdir(draft, 0o700) == 0 else { throw FileCopy.Failure("mkdir \(draft)", errno) }
        do throws(FileCopy.Failure) {
            var report = BackupReport()
            try fill(&report, compacting: compacting)
            CrashPoint.pass(.backupFilled)
            if checking { report.jobs = try check() }
            try sync(draft)
            guard rename(draft, target) == 0 else { throw FileCopy.Failure("rename", errno) }
            CrashPoint.pass(.backupRenamed)
            try sync(StoreCreation.parent(of: target))
            return report
        } catch {
            FileCopy.remove(draft)
            throw error
        }
    }

    private func sync(_ directory: String) throws(FileCopy.Failure) {
        do throws(StorageError) { try StoreCreation.sync(directory) } catch {
            throw FileCopy.Failure(error)
        }
    }

    private func fill(
        _ report: inout BackupReport, compacting: Bool
    ) throws(FileCopy.Failure) {
        try lock()
        defer { store.locks.unlock(StoreFormat.backupLock) }
        report.bytes = try copyData(compacting: compacting)
        CrashPoint.pass(.backupCopied)
        for folder in ["outputs", StoredInputs.folder] { try copy(folder, &report) }
        try renumber()
    }

    /// What lies beside the data of jobs.
    private func copy(
        _ folder: String, _ report: inout BackupReport
    ) throws(FileCopy.Failure) {
        let names = FileCopy.names(in: "\(store.path)/\(folder)")
        if names.isEmpty { return }
        guard mkdir("\(draft)/\(folder)", 0o700) == 0 else {
            throw FileCopy.Failure("mkdir \(draft)/\(folder)", errno)
        }
        for name in names {
            let bytes = try FileCopy.copy(
                "\(store.path)/\(folder)/\(name)", to: "\(draft)/\(folder)/\(name)")
            guard let bytes else { continue }
            report.outputs += 1
            report.outputBytes += bytes
        }
        try sync("\(draft)/\(folder)")
    }

    private func lock() throws(FileCopy.Failure) {
        let attempt: ByteLocks.Attempt
        do throws(StorageError) {
            attempt = try store.locks.tryLock(StoreFormat.backupLock)
        } catch { throw FileCopy.Failure(error) }
        if case .heldBy(let pid) = attempt {
            throw FileCopy.Failure(reason: "process \(pid) makes another backup of this store")
        }
    }

    private func copyData(compacting: Bool) throws(FileCopy.Failure) -> Int {
        let path = draft + "/data.mdb"
        var info = stat()
        try FileCopy.make(path) { (file) throws(FileCopy.Failure) in
            do throws(StorageError) {
                try store.environment.copy(to: file, compacting: compacting)
            } catch {
                // A full disk is the same without it.
                guard compacting, error != .diskFull else { throw FileCopy.Failure(error) }
                guard ftruncate(file, 0) == 0, lseek(file, 0, SEEK_SET) == 0 else {
                    throw FileCopy.Failure("ftruncate \(path)", errno)
                }
                do throws(StorageError) {
                    try store.environment.copy(to: file, compacting: false)
                } catch { throw FileCopy.Failure(error) }
            }
            guard fstat(file, &info) == 0 else { throw FileCopy.Failure("fstat \(path)", errno) }
        }
        return Int(info.st_size)
    }

    /// Gives the copy a number of its own. What is sealed in it stays bound to the old one.
    private func renumber() throws(FileCopy.Failure) {
        let format = FormatRecord(
            version: store.format.version, isScratch: store.format.isScratch,
            storeID: UInt64.random(in: 1...UInt64.max), createdAt: store.format.createdAt,
            sealingID: store.format.sealingID)
        do throws(StorageError) {
            let environment = try Environment(
                directory: draft, tableNames: StoreFormat.tables, creating: false,
                options: Environment.Options())
            defer { environment.close() }
            let tables = StoreTables(environment)
            try environment.write { (transaction) throws(StorageError) in
                try withBytes(format.bytes) { (value) throws(StorageError) in
                    try transaction.put(
                        tables.meta, RecordKey.format.withUnsafeBytes { Key(copying: $0) }, value)
                }
            }
        } catch { throw FileCopy.Failure(error) }
        // Whoever opens the copy makes its own.
        unlink(draft + "/lock.mdb")
    }

    /// Returns how many jobs are in the copy.
    private func check() throws(FileCopy.Failure) -> Int {
        let check: StoreCheck
        do throws(StoreError) { check = try StoreCheck.run(directory: draft) } catch {
            throw FileCopy.Failure(reason: error.description)
        }
        guard check.verdict == .whole else {
            throw FileCopy.Failure(
                reason: "what was copied is not whole: \(check.findings.first ?? "it changed")")
        }
        return check.jobs
    }
}
