import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// Compacting
//
// LMDB reuses what is free in its file and never makes it shorter. A shorter one is a copy without the free pages, put in the
// place of the old one. Whoever has the old file open then would go on with a file that has no name any more, and what he
// commits would be lost; so nobody may have it open.
//
// Who opens a store shares a lock byte, the *gate*, while he does; a compaction has it alone. Under it nobody is about to open
// the store, and whoever has it open has a place in LMDB's table of readers since then. If that shows nobody else, the file
// is copied, synced and checked beside the old one, LMDB is let go of, and the copy renamed into place. Who wants to open the
// store meanwhile waits in the kernel. LMDB's lock file is made anew by the next to open, who is alone at first.
//
// A process that dies before the rename leaves the old file and one that the next compaction deletes; after it the new one.

/// What a compaction came to.
public struct CompactReport: Sendable, Hashable {
    /// The data file's bytes before.
    public let bytesBefore: Int
    /// And after.
    public let bytesAfter: Int
}

extension JobStore {
    /// Gives what is free inside a store's data file back to the file system. Nobody may have the store open, in this process
    /// or another; who opens it meanwhile waits. The store's directory needs room for the copy.
    /// - Throws: ``StoreError/inUse(path:pids:)`` with those who have it open, and others; the store is as it was then.
    /// - Complexity: O(bytes in use).
    @discardableResult
    public static func compact(at path: String) async throws(StoreError) -> CompactReport {
        var options = StoreOptions()
        options.createsStore = false
        let path = try StoreCreation.locate(path, options)
        do {
            return try await onThread("petiole-compact") {
                try StoreRegistry.excluding(path) { try Compaction(path).run() }
            }
        } catch let error as StoreError {
            throw error
        } catch {
            throw .failed(path: path, reason: "\(error)")
        }
    }
}

private struct Compaction {
    private let path: String
    private var copy: String { path + "/data.mdb.compact" }
    /// Who is just opening the store is done within so long, a hundredth of a second each time.
    private static let looks = 100

    init(_ path: String) { self.path = path }

    func run() throws(StoreError) -> CompactReport {
        do {
            let locks = try ByteLocks.shared(path: path + "/locks")
            try close(locks)
            defer { locks.unlock(StoreFormat.gateLock) }
            unlink(copy)
            let before = try size(path + "/data.mdb")
            try makeCopy()
            CrashPoint.pass(.compactCopied)
            let after = try size(copy)
            guard rename(copy, path + "/data.mdb") == 0 else {
                throw FileCopy.Failure("rename", errno)
            }
            CrashPoint.pass(.compactRenamed)
            try StoreCreation.sync(path)
            return CompactReport(bytesBefore: before, bytesAfter: after)
        } catch let error as StoreError {
            throw error
        } catch let error as DataFileProblem {
            throw StoreError(error, path: path)
        } catch let error as StorageError {
            throw StoreError(error, path: path)
        } catch let failure as FileCopy.Failure {
            throw .copyFailed(path: copy, reason: failure.reason)
        } catch {
            throw .failed(path: path, reason: "\(error)")
        }
    }

    /// Closes the gate to whoever wants to open the store.
    private func close(_ locks: ByteLocks) throws {
        for _ in 0..<Self.looks {
            switch try locks.tryLock(StoreFormat.gateLock) {
            case .taken: return
            case .heldBy: usleep(10_000)
            }
        }
        guard case .heldBy(let pid) = try locks.tryLock(StoreFormat.gateLock) else { return }
        throw StoreError.inUse(path: path, pids: [Int(pid)])
    }

    private func makeCopy() throws {
        try DataFileCheck.beforeOpening(directory: path)
        let environment = try Environment(
            directory: path, tableNames: StoreFormat.tables, creating: false,
            options: Environment.Options())
        // Before the rename: nobody has the old file open then.
        defer { environment.close() }
        let others = environment.processes.filter { $0 != getpid() }.sorted()
        guard others.isEmpty else {
            throw StoreError.inUse(path: path, pids: others.map { Int($0) })
        }
        do {
            try FileCopy.make(copy) { (file) throws(FileCopy.Failure) in
                do throws(StorageError) {
                    try environment.copy(to: file, compacting: true)
                } catch { throw FileCopy.Failure(error) }
            }
            let check = try StoreCheck.run(file: copy)
            guard check.verdict == .whole else {
                throw FileCopy.Failure(
                    reason: "what was copied is not whole: \(check.findings.first ?? "it changed")")
            }
        } catch {
            unlink(copy)
            throw error
        }
    }

    private func size(_ file: String) throws(FileCopy.Failure) -> Int {
        var info = stat()
        guard lstat(file, &info) == 0 else { throw FileCopy.Failure("stat \(file)", errno) }
        return Int(info.st_size)
    }
}
