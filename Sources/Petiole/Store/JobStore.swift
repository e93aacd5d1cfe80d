import PetioleStorage

/// A store of jobs: a directory that any number of processes may open to enqueue and to look.
///
/// Opening the same directory twice in one process gives the same environment. A store stays open until ``close()`` or
/// the end of the process; it is never opened across `fork`.
public final class JobStore: Sendable {
    let open: OpenStore
    /// Nil when the opening was told nothing of the kind.
    let setup: StoreSetup?
    private let listeners: [Int]

    /// Opens a store, or makes it.
    /// - Parameters:
    ///   - path: the store's directory; taken from the working directory when it is relative.
    ///   - options: how it is made, and settings to change.
    /// - Throws: ``StoreError``; nothing of an existing store is changed by a failed opening.
    /// - Complexity: O(1) in the jobs kept.
    public convenience init(at path: String, options: StoreOptions = StoreOptions())
        throws(StoreError)
    {
        try self.init(at: path, options: options, clock: StoreClock())
    }

    /// - Parameters:
    ///   - clock: where its time comes from, when it is not open in this process already.
    ///   - faults: what goes wrong in its commits, likewise.
    package init(
        at path: String, options: StoreOptions, clock: StoreClock, faults: CommitFaults? = nil
    ) throws(StoreError) {
        open = try StoreRegistry.open(path, options, clock: clock, faults: faults)
        setup = StoreSetup(options)
        listeners = open.events.add(options.listeners, options.logger, open)
        do throws(StoreError) {
            try prepare(options)
        } catch {
            open.events.remove(listeners)
            StoreRegistry.close(open)
            throw error
        }
    }

    /// Takes over settings that were given, and deletes what dead producers left.
    private func prepare(_ options: StoreOptions) throws(StoreError) {
        try open.refreshSettings()
        if options.applied(to: open.settings) != open.settings {
            try open.performBlocking { (transaction, state) throws(StorageError) in
                try options.apply(&transaction, &state)
            }
            try open.refreshSettings()
        }
        try sweepStages()
    }

    /// Changes those of the store's settings that the options give; at run time, for all processes, from the next commit of
    /// each on. What the options say of a store that is made is passed over.
    /// - Throws: ``StoreError``; nothing has changed then.
    public func change(_ options: StoreOptions) async throws(StoreError) {
        try await open.perform { (transaction, state) throws(StorageError) in
            try options.apply(&transaction, &state)
        }
        try open.refreshSettings()
    }

    init(_ open: OpenStore) {
        self.open = open
        setup = nil
        listeners = []
    }

    /// The store's directory, absolute.
    public var path: String { open.path }

    /// Whether a power cut may cost what was accepted: the store was made as ``StoreOptions/Durability/scratch``.
    public var isScratch: Bool { open.format.isScratch }

    /// Commits what was handed over and closes the store, when it was opened once in this process; otherwise takes one opening
    /// back. Nobody may be using it, and no runner run.
    public func close() {
        StoreRegistry.close(open, andForget: listeners)
    }

    /// Deletes what producers that died left half written.
    private func sweepStages() throws(StoreError) {
        let open = open
        let stages = try open.read { (reader) throws(StorageError) in
            var stages: [UInt32] = []
            let cursor = try reader.cursor(open.tables.stages)
            var entry = try cursor.first()
            while let (key, _) = entry {
                stages.append(UInt32(truncatingIfNeeded: key.bigEndian(at: 0, as: UInt64.self)))
                entry = try cursor.next()
            }
            return stages
        }
        for stage in stages where open.locks.holder(of: StoreFormat.stageLock(UInt64(stage))) == nil
        {
            var isSwept = false
            while !isSwept {
                isSwept = try open.performBlocking { (transaction, state) throws(StorageError) in
                    try Staging.sweep(stage, &transaction, &state)
                }
            }
        }
    }
}
