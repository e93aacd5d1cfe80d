import CLMDB
import CPetiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// An LMDB environment: one memory map over `data.mdb` in the store's directory, many read views, one write at a time.
///
/// - Important: One environment a process for a directory: a second one, or any `open` and `close` of `lock.mdb`, drops
///   LMDB's locks without a word (POSIX record locks belong to the process). The registry of stores sees to it.
// What guards it: `handle` is set once and LMDB synchronises its own state; `write` is called by one thread alone.
@safe package final class Environment: @unchecked Sendable {
    let handle: OpaquePointer
    package let tables: [String: Table]
    /// The process that opened it; a child by `fork` must not use it.
    private let process: pid_t
    /// Views that are not in use, for lookups from any thread.
    private let idleReaders = Mutex<[Lent]>([])
    package let pageSize: Int
    /// The file descriptor of `data.mdb`, LMDB's own.
    package let dataFile: Int32

    /// Readers are used by one thread at a time; while they lie here nobody uses them.
    private struct Lent: @unchecked Sendable { let reader: Reader }

    package struct Options: Sendable {
        /// Never synced: a power cut can damage it. For stores whose format says so.
        package var neverSyncs = false
        /// Address space to map, in bytes. Smaller powers of two are tried when the system refuses.
        package var mapSize: Int
        package init() {
            // Relaxed: set before the first environment, or of no consequence.
            mapSize = Environment.standardMapSize.load(ordering: .relaxed)
        }
    }

    /// 1 TiB; some 120 of them fit into a process. Tests, which have more stores open at once, take less.
    package static let standardMapSize = Atomic<Int>(1 << 40)

    /// 1,024 views in all processes together; the size is fixed by whoever makes the lock file.
    package static let readerLimit: UInt32 = 1_024

    /// Opens the environment in a directory that exists.
    /// - Parameters:
    ///   - tableNames: the named databases that it must have.
    ///   - creating: makes `data.mdb` and the tables; otherwise a missing one is an error.
    package init(
        directory: String, tableNames: [String], creating: Bool, options: Options
    ) throws(StorageError) {
        var environment: OpaquePointer?
        var mapSize = options.mapSize
        while true {
            try check(unsafe mdb_env_create(&environment), "mdb_env_create")
            do throws(StorageError) {
                try check(
                    unsafe mdb_env_set_maxreaders(environment, Self.readerLimit),
                    "mdb_env_set_maxreaders")
                try check(
                    unsafe mdb_env_set_maxdbs(environment, UInt32(tableNames.count + 1)),
                    "mdb_env_set_maxdbs")
                try check(
                    unsafe mdb_env_set_mapsize(environment, mapSize), "mdb_env_set_mapsize")
                // Default flags but for views that are not bound to threads. Never NOSYNC, WRITEMAP or MAPASYNC where
                // work must survive a power cut: each lost acknowledged commits when tried.
                let flags =
                    UInt32(MDB_NOTLS) | (options.neverSyncs ? UInt32(MDB_NOSYNC) : 0)
                try check(
                    unsafe mdb_env_open(environment, directory, flags, 0o600), "mdb_env_open")
                break
            } catch {
                unsafe mdb_env_close(environment)
                // Under a limit of address space a smaller map may still do.
                if error == .system(call: "mdb_env_open", code: ENOMEM), mapSize > 1 << 30 {
                    mapSize /= 4
                    continue
                }
                throw error
            }
        }
        let handle = unsafe environment!
        unsafe self.handle = unsafe handle
        process = getpid()
        var file: Int32 = -1
        unsafe mdb_env_get_fd(handle, &file)
        dataFile = file
        // LMDB 0.9 leaves this descriptor to child processes, writable.
        _ = petiole_close_on_exec(file)
        var stat = MDB_stat()
        unsafe mdb_env_stat(handle, &stat)
        pageSize = Int(stat.ms_psize)
        do throws(StorageError) {
            tables = try unsafe Self.openTables(handle, tableNames, creating: creating)
        } catch {
            unsafe mdb_env_close(handle)
            throw error
        }
    }

    private static func openTables(
        _ environment: OpaquePointer, _ names: [String], creating: Bool
    ) throws(StorageError) -> [String: Table] {
        var transaction: OpaquePointer?
        try check(
            unsafe mdb_txn_begin(
                environment, nil, creating ? 0 : UInt32(MDB_RDONLY), &transaction),
            "mdb_txn_begin")
        var tables: [String: Table] = [:]
        for name in names {
            var table: MDB_dbi = 0
            let code = unsafe mdb_dbi_open(
                transaction, name, creating ? UInt32(MDB_CREATE) : 0, &table)
            if code != 0 {
                unsafe mdb_txn_abort(transaction)
                // LMDB before 0.9.33 answers a missing name with either.
                if code == MDB_NOTFOUND || code == MDB_BAD_DBI {
                    throw .tableMissing(name)
                }
                throw StorageError(code, in: "mdb_dbi_open")
            }
            tables[name] = Table(handle: table)
        }
        // Handles stay good only when the transaction that opened them is committed, a reading one too.
        try check(unsafe mdb_txn_commit(transaction), "mdb_txn_commit")
        return tables
    }

    /// From now on commits are not synced: only for a store whose format says so. Before the first write.
    package func neverSync() { unsafe mdb_env_set_flags(handle, UInt32(MDB_NOSYNC), 1) }

    /// Closes the environment. Nobody may be using it.
    package func close() {
        idleReaders.withLock { $0 = [] }
        unsafe mdb_env_close(handle)
    }

    // MARK: Reading

    /// A reader with an open view, for one thread's own use.
    package func makeReader() throws(StorageError) -> Reader {
        precondition(
            getpid() == process, "a store must be opened anew after fork: start programs instead")
        var transaction: OpaquePointer?
        var code = unsafe mdb_txn_begin(handle, nil, UInt32(MDB_RDONLY), &transaction)
        if code == MDB_READERS_FULL {
            // Killed readers keep their slots until somebody looks.
            clearDeadReaders()
            code = unsafe mdb_txn_begin(handle, nil, UInt32(MDB_RDONLY), &transaction)
        }
        try check(code, "mdb_txn_begin")
        return unsafe Reader(transaction!)
    }

    /// Runs a closure within a view of what is committed now; from any thread.
    package func view<Value>(
        _ body: (Reader) throws(StorageError) -> Value
    ) throws(StorageError) -> Value {
        let idle = idleReaders.withLock { $0.popLast() }
        let reader: Reader
        if let idle {
            reader = idle.reader
            try reader.begin()
        } else {
            reader = try makeReader()
        }
        defer {
            reader.end()
            let lent = Lent(reader: reader)
            idleReaders.withLock { if $0.count < 64 { $0.append(lent) } }
        }
        return try body(reader)
    }

    /// Frees the slots of processes that died while reading, so that pages freed since can be reused.
    /// - Returns: how many there were.
    @discardableResult
    package func clearDeadReaders() -> Int {
        var dead: Int32 = 0
        unsafe mdb_reader_check(handle, &dead)
        return Int(dead)
    }

    // MARK: Writing

    /// Runs a closure within a write transaction and commits it durably. Waits for other processes' writes.
    ///
    /// Called by the log's one writer thread (or before that thread exists). Nothing slow or foreign inside.
    /// - Throws: what the closure throws, or what the commit does; then nothing of it has happened.
    package func write<Value>(
        _ body: (inout WriteTransaction) throws(StorageError) -> Value
    ) throws(StorageError) -> Value {
        var began: OpaquePointer?
        try check(unsafe mdb_txn_begin(handle, nil, 0, &began), "mdb_txn_begin")
        let transaction = unsafe began!
        var write = unsafe WriteTransaction(transaction)
        let value: Value
        do throws(StorageError) {
            value = try body(&write)
        } catch {
            unsafe mdb_txn_abort(transaction)
            throw error
        }
        let code = unsafe mdb_txn_commit(transaction)
        if code == EIO, isDiskFull() { throw .diskFull }
        try check(code, "mdb_txn_commit")
        return value
    }

    /// LMDB reports a short write as EIO; the file system knows better.
    private func isDiskFull() -> Bool {
        var info = statvfs()
        guard unsafe fstatvfs(dataFile, &info) == 0 else { return false }
        return UInt64(info.f_bavail) * UInt64(info.f_frsize) < 1 << 20
    }

    // MARK: Size

    package struct Usage: Sendable {
        /// Bytes of the file in use or free for reuse, up to the last page ever written.
        package var usedBytes: Int
        package var mapBytes: Int
        package var lastCommit: Int
        package var readers: Int
    }

    package var usage: Usage {
        var info = unsafe MDB_envinfo()
        unsafe mdb_env_info(handle, &info)
        return unsafe Usage(
            usedBytes: (info.me_last_pgno + 1) * pageSize, mapBytes: info.me_mapsize,
            lastCommit: info.me_last_txnid, readers: Int(info.me_numreaders))
    }

    /// Bytes of the pages that the tables have now: what is left when those free for reuse are taken off. Cost: O(tables).
    package func liveBytes() throws(StorageError) -> Int {
        try view { (reader) throws(StorageError) in
            var pages = 0
            for table in tables.values { pages += try reader.pageCount(table) }
            return pages * pageSize
        }
    }

    /// Pages that are free for reuse inside the file. Cost: reads the whole free list.
    package func freePages() throws(StorageError) -> Int {
        try view { (reader) throws(StorageError) in
            var pages = 0
            // Database 0 is LMDB's list of free pages: each value begins with the number of pages it names.
            let cursor = try reader.cursor(Table(handle: 0))
            var entry = try unsafe cursor.first()
            while let (_, value) = unsafe entry {
                if value.count >= 8 {
                    pages += unsafe Int(
                        truncatingIfNeeded: value.littleEndian(at: 0, as: UInt64.self))
                }
                unsafe entry = try unsafe cursor.next()
            }
            return pages
        }
    }

    /// Pages inside the file that the next write transaction may take, counted in runs of at least `length` pages, since a
    /// long value needs pages that lie together.
    ///
    /// LMDB takes a page again when the transaction that freed it is older than the oldest open view of any process, and
    /// older than the last commit, which must stay whole until the next one is.
    /// - Parameters:
    ///   - bound: no more pages of the free list are read than this, and those of one transaction. Cost: reads and sorts
    ///     them, 8 bytes each.
    ///   - afterNextCommit: counts those too that the last commit freed.
    /// - Source: LMDB, mdb.c, mdb_page_alloc and mdb_find_oldest.
    package func reusablePages(
        inRunsOf length: Int, bound: Int, afterNextCommit: Bool = false
    ) throws(StorageError) -> Int {
        let next = usage.lastCommit + (afterNextCommit ? 1 : 0)
        // Before our own view begins, which is as new as the last commit.
        let oldest = min(oldestView ?? next, next)
        var free: [UInt64] = []
        try view { (reader) throws(StorageError) in
            let cursor = try reader.cursor(Table(handle: 0))
            var entry = try unsafe cursor.first()
            // Keys are numbers of transactions, values a count and so many page numbers.
            while let (key, value) = unsafe entry, free.count < bound, key.count == 8,
                unsafe key.littleEndian(at: 0, as: UInt64.self) < UInt64(oldest),
                value.count >= 8
            {
                let count = min(
                    unsafe Int(truncatingIfNeeded: value.littleEndian(at: 0, as: UInt64.self)),
                    value.count / 8 - 1)
                for index in 0..<max(0, count) {
                    free.append(unsafe value.littleEndian(at: 8 + 8 * index, as: UInt64.self))
                }
                unsafe entry = try unsafe cursor.next()
            }
        }
        free.sort()
        var pages = 0
        var start = 0
        for index in free.indices
        where index + 1 == free.count || free[index + 1] != free[index] + 1 {
            let run = index + 1 - start
            if run >= length { pages += run }
            start = index + 1
        }
        return pages
    }

    /// The number of the oldest commit that an open view of any process shows; nil when none is open.
    private var oldestView: Int? { readers.compactMap { $0.commit }.min() }

    /// Who has places for views, and which commit an open one shows.
    private var readers: [(process: pid_t, commit: Int?)] {
        // One line a reader: pid, thread, number of the commit or "-". LMDB tells it in no other way.
        final class Readers { var list: [(process: pid_t, commit: Int?)] = [] }
        let readers = Readers()
        let context = unsafe Unmanaged.passUnretained(readers).toOpaque()
        unsafe mdb_reader_list(
            handle,
            { line, context in
                guard let line = unsafe line, let context = unsafe context else { return 0 }
                let fields = unsafe String(cString: line).split { $0 == " " || $0 == "\n" }
                if fields.count == 3, let process = pid_t(fields[0]) {
                    unsafe Unmanaged<Readers>.fromOpaque(context).takeUnretainedValue()
                        .list.append((process, Int(fields[2])))
                }
                return 0
            }, context)
        return withExtendedLifetime(readers) { readers.list }
    }

    /// Writes a consistent copy of what is committed now into an empty file while others go on; not synced. A view is open as
    /// long as it takes, so that pages that are freed meanwhile are not reused.
    /// - Parameter compacting: leaves out the pages that are free. Refused where pages are neither free nor in use.
    package func copy(to file: Int32, compacting: Bool) throws(StorageError) {
        try check(
            unsafe mdb_env_copyfd2(handle, file, compacting ? UInt32(MDB_CP_COMPACT) : 0),
            "mdb_env_copyfd2")
    }

    /// The processes that have the environment open, but for those that died: each has had a view since it opened it.
    package var processes: Set<pid_t> {
        clearDeadReaders()
        return Set(readers.map { $0.process })
    }

    /// Whether this version destroys the mutexes shared by processes when one that closes thinks it is the last.
    /// - Source: LMDB's CHANGES, ITS#10095: from 0.9.26, taken out in 0.9.32.
    package static var destroysSharedMutexes: Bool {
        var major: Int32 = 0
        var minor: Int32 = 0
        var patch: Int32 = 0
        unsafe mdb_version(&major, &minor, &patch)
        return major == 0 && minor == 9 && (26...31).contains(patch)
    }

    package static var version: String {
        unsafe String(cString: mdb_version(nil, nil, nil))
    }
}
