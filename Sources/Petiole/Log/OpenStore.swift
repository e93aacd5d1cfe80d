import CPetiole
import PetioleStorage
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A store that this process has open: its environment, its small files and its writer. One for a directory, however
/// often it is opened.
final class OpenStore: Sendable {
    let path: String
    let format: FormatRecord
    let environment: Environment
    let tables: StoreTables
    let signals: StoreSignals
    let slots: RunningSlots
    let locks: ByteLocks
    let writer: LogWriter
    let clock: StoreClock
    let names = NameCache()
    let buffered = BufferedFailures()
    let replaced = ReplacedJobs()
    var events: EventHub { writer.events }
    let progress = Mutex<ProgressFile?>(nil)
    /// How many follow events in this process: see `Following.swift`.
    let followers = Mutex<Int>(0)
    private let settingsRecord: Mutex<(record: SettingsRecord, turn: UInt32)>
    private let bellFile: MappedFile
    private let identity: FileIdentity
    let watch: OutcomeWatch
    let refusals = Refusals()
    let room: RoomWaiters
    /// Counts on whenever a runner of this process has let go of the recovery byte.
    let recoveryTurn = SharedWord()
    /// Requests by job type, see ``request(_:_:codec:)``; forgotten when the settings change.
    let requests = Mutex<[ObjectIdentifier: EnqueueRequest]>([:])
    private let targets = Mutex<[TargetKey: JobTarget]>([:])

    struct TargetKey: Hashable {
        let queue: String
        let job: String
        let priority: UInt8
    }

    var settings: SettingsRecord { settingsRecord.withLock { $0.record } }

    fileprivate init(
        path: String, identity: FileIdentity, clock: StoreClock, faults: CommitFaults?
    ) throws(StoreError) {
        self.path = path
        self.identity = identity
        // Closed when the rest fails: a second environment of the directory would drop the first one's locks.
        var opened: Environment?
        do {
            // LMDB trusts its file: what can be told beforehand is an error, not a crash.
            try DataFileCheck.beforeOpening(directory: path)
            environment = try Environment(
                directory: path, tableNames: StoreFormat.tables, creating: false,
                options: Environment.Options())
            opened = environment
            tables = StoreTables(environment)
            format = try Self.readFormat(environment, tables)
            guard format.version <= StoreFormat.version else {
                throw NewerFormat(found: format.version)
            }
            if format.isScratch { environment.neverSync() }
            bellFile = try MappedFile(path: path + "/bell", size: StoreSignals.fileSize)
            signals = StoreSignals(bellFile)
            slots = try RunningSlots(path: path + "/running")
            locks = try ByteLocks.shared(path: path + "/locks")
            let line = try SteadyLine.open(environment, tables.meta, clock)
            var clock = clock
            clock.steadyBase = line.base
            self.clock = clock
            let (settings, turn) = try Self.readSettings(environment, tables)
            settingsRecord = Mutex((settings, turn))
            writer = LogWriter(
                environment: environment, tables: tables, signals: signals, slots: slots,
                locks: locks, clock: clock, line: line, faults: faults,
                byteLimit: Int(clamping: settings.byteLimit), settingsTurn: turn)
            watch = OutcomeWatch(signals: signals, waiters: writer.waiters)
            room = RoomWaiters(signals)
            opened = nil
            try readKeptEvents()
        } catch let error as NewerFormat {
            opened?.close()
            throw .newerFormat(
                path: path, found: Int(error.found), supported: Int(StoreFormat.version))
        } catch let error as DataFileProblem {
            throw StoreError(error, path: path)
        } catch let error as StorageError {
            opened?.close()
            throw StoreError(error, path: path)
        } catch {
            opened?.close()
            throw .failed(path: path, reason: "\(error)")
        }
        environment.clearDeadReaders()
        writer.whenSettingsChange { [weak self] in self?.adopt($0, turn: $1) }
    }

    private static func readFormat(
        _ environment: Environment, _ tables: StoreTables
    ) throws(StorageError) -> FormatRecord {
        try environment.view { (reader) throws(StorageError) in
            guard
                let bytes = try reader.value(
                    tables.meta, RecordKey.format.withUnsafeBytes { Key(copying: $0) })
            else { throw .damaged("it has no format record") }
            return try formatted { () throws(FormatError) in try FormatRecord(bytes) }
        }
    }

    private static func readSettings(
        _ environment: Environment, _ tables: StoreTables
    ) throws(StorageError) -> (SettingsRecord, turn: UInt32) {
        try environment.view { (reader) throws(StorageError) in
            (
                try SettingsRecord.read(reader, tables),
                try CommitState.readSequences(reader, tables).settingsTurn
            )
        }
    }

    /// Takes over what another process may have set since this one last wrote.
    func refreshSettings() throws(StoreError) {
        do throws(StorageError) {
            let (settings, turn) = try Self.readSettings(environment, tables)
            adopt(settings, turn: turn)
        } catch { throw storeError(error) }
    }

    /// Takes over settings, unless newer ones were already.
    private func adopt(_ settings: SettingsRecord, turn: UInt32) {
        requests.withLock { $0 = [:] }
        settingsRecord.withLock { current in
            guard Int32(bitPattern: turn &- current.turn) >= 0 else { return }
            current = (settings, turn)
            writer.byteLimit.withLock { $0 = Int(clamping: settings.byteLimit) }
        }
    }

    private struct NewerFormat: Error { let found: UInt16 }

    // MARK: Using it

    /// Runs a closure within a view of what is committed now.
    func read<Value>(
        _ body: (Reader) throws(StorageError) -> Value
    ) throws(StoreError) -> Value {
        do throws(StorageError) {
            return try environment.view(body)
        } catch {
            throw StoreError(error, path: path)
        }
    }

    /// Runs an operation in the writer's next transaction, and returns when it is durable.
    /// - Parameter bytes: what it brings and a full store may refuse.
    func perform<Value: Sendable>(
        bringing bytes: Int = 0,
        _ operation:
            @escaping @Sendable (inout WriteTransaction, inout CommitState)
            throws(StorageError) -> Value
    ) async throws(StoreError) -> Value {
        let result: Result<Value, StorageError> = await withUnsafeContinuation { continuation in
            submit(operation, bringing: bytes) { continuation.resume(returning: $0) }
        }
        do throws(StorageError) { return try result.get() } catch { throw storeError(error) }
    }

    /// The same for a thread that waits: blocks it. Never on the writer's thread.
    func performBlocking<Value: Sendable>(
        _ operation:
            @escaping @Sendable (inout WriteTransaction, inout CommitState)
            throws(StorageError) -> Value
    ) throws(StoreError) -> Value {
        let promise = Promise<Result<Value, StorageError>>()
        submit(operation, blocking: true) { promise.give($0) }
        do throws(StorageError) { return try promise.wait().get() } catch {
            throw storeError(error)
        }
    }

    private func submit<Value: Sendable>(
        _ operation:
            @escaping @Sendable (inout WriteTransaction, inout CommitState)
            throws(StorageError) -> Value,
        bringing bytes: Int = 0, blocking: Bool = false,
        _ completion: @escaping @Sendable (Result<Value, StorageError>) -> Void
    ) {
        let box = Mutex<Value?>(nil)
        let holder = ValueHolder(box)
        let submission = OperationSubmission(bringing: bytes) {
            (transaction, state) throws(StorageError) in
            let value = try operation(&transaction, &state)
            holder.box.withLock { $0 = value }
        } completion: { error in
            if let error { return completion(.failure(error)) }
            completion(.success(holder.box.withLock { $0! }))
        }
        if blocking { writer.submitBlocking(submission) } else { writer.submit(submission) }
    }

    private final class ValueHolder<Value: Sendable>: Sendable {
        let box: Mutex<Value?>
        init(_ box: consuming Mutex<Value?>) { self.box = box }
    }

    func storeError(_ error: StorageError) -> StoreError {
        // Of a store that is closed nothing is read any more.
        StoreError(
            error, path: path, usage: error == .mapFull ? environment.usage : nil,
            limit: Int(clamping: settings.byteLimit))
    }

    /// The one target for a queue, a name and a priority.
    func target(queue: String, job: String, priority: UInt8) -> JobTarget {
        let key = TargetKey(queue: queue, job: job, priority: priority)
        return targets.withLock { targets in
            if let target = targets[key] { return target }
            let target = JobTarget(queueName: queue, jobName: job, priority: priority)
            // A program that makes up names without end is not given memory without end.
            if targets.count > 10_000 { targets.removeAll() }
            targets[key] = target
            return target
        }
    }

    /// Whether the path still names the directory that is open.
    var isReplaced: Bool { FileIdentity(path + "/data.mdb") != identity }

    fileprivate func close() {
        endAllFollowing()
        writer.stop()
        room.stop()
        events.drain()
        watch.stop()
        // Versions 0.9.26 to 0.9.31 destroy the shared mutexes when a process thinks it is the last to close (ITS#10095):
        // there the map is left to the end of the process.
        if !Environment.destroysSharedMutexes { environment.close() }
    }
}

/// Which file this is, whatever its path.
struct FileIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64

    init?(_ path: String) {
        var info = stat()
        guard stat(path, &info) == 0 else { return nil }
        device = UInt64(truncatingIfNeeded: info.st_dev)
        inode = UInt64(info.st_ino)
    }
}

/// The stores that this process has open: one environment a directory, since a second one would drop the first one's
/// locks without a word.
enum StoreRegistry {
    private struct Entry {
        let store: OpenStore
        var uses: Int
    }
    private static let entries = Mutex<[FileIdentity: Entry]>([:])
    /// The data files that this process is compacting.
    private static let excluded = Mutex<Set<FileIdentity>>([])

    /// Opens a store or gives back the one that is open.
    static func open(
        _ path: String, _ options: StoreOptions, clock: StoreClock, faults: CommitFaults? = nil
    ) throws(StoreError) -> OpenStore {
        let path = try StoreCreation.locate(path, options)
        // While somebody compacts the store one waits here, with nothing of it open: see `Compact.swift`.
        let locks = try passGate(path)
        defer { locks.unshare(StoreFormat.gateLock) }
        let result: Result<OpenStore, StoreError> = entries.withLock { entries in
            do throws(StoreError) {
                guard let identity = FileIdentity(path + "/data.mdb") else {
                    throw .noStore(path: path)
                }
                // Between its start and the closing of its gate.
                if excluded.withLock({ $0.contains(identity) }) {
                    throw .inUse(path: path, pids: [Int(getpid())])
                }
                if entries[identity] != nil {
                    entries[identity]!.uses += 1
                    return .success(entries[identity]!.store)
                }
                let store = try OpenStore(
                    path: path, identity: identity, clock: clock, faults: faults)
                entries[identity] = Entry(store: store, uses: 1)
                return .success(store)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// All that are open.
    static var all: [OpenStore] { entries.withLock { $0.values.map { $0.store } } }

    private static func passGate(_ path: String) throws(StoreError) -> ByteLocks {
        do throws(StorageError) {
            let locks = try ByteLocks.shared(path: path + "/locks")
            if try locks.share(StoreFormat.gateLock) { return locks }
        } catch { throw StoreError(error, path: path) }
        throw .inUse(path: path, pids: [Int(getpid())])
    }

    /// Runs a closure while this process does not have a store open, and does not open it.
    static func excluding<Value>(_ path: String, _ body: () throws -> Value) throws -> Value {
        guard let identity = FileIdentity(path + "/data.mdb") else {
            throw StoreError.noStore(path: path)
        }
        let isFree = entries.withLock { entries in
            entries[identity] == nil && excluded.withLock { $0.insert(identity).inserted }
        }
        guard isFree else { throw StoreError.inUse(path: path, pids: [Int(getpid())]) }
        defer { excluded.withLock { _ = $0.remove(identity) } }
        return try body()
    }

    /// Gives one use back; the last closes the store.
    /// - Parameter listeners: who heard of it by this use; told of what has happened first.
    static func close(_ store: OpenStore, andForget listeners: [Int] = []) {
        // Committed first, so that they hear of it.
        if !listeners.isEmpty {
            // What cannot be committed is told to whoever waits for it.
            try? store.performBlocking { (_, _) throws(StorageError) in }
        }
        store.events.remove(listeners)
        entries.withLock { entries in
            guard let identity = entries.first(where: { $0.value.store === store })?.key else {
                return
            }
            entries[identity]!.uses -= 1
            guard entries[identity]!.uses == 0 else { return }
            entries[identity] = nil
            store.close()
        }
    }
}
