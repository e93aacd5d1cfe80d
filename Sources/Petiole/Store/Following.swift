import CPetiole
import PetioleDispatch
import PetioleStorage
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// Following
//
// Events are written by commits that find the word *followed* of the store's file `bell` set, and by no others: who is not
// followed pays nothing. A process that follows holds a lock byte of its own and sets the word; when it stops and nobody else
// holds such a byte, it takes the word back. Should it die, the next who stops does that, or the steward of a runner. Both are
// done under another byte, one at a time:
//
//     stops                                   begins
//     finds nobody else's byte
//                                             takes its byte, sets the word
//     takes the word back                     ← what is committed now is not written, and nobody knows
//
// When a follower has set the word, it commits a row of its own. One process writes at a time, and looks at the word within
// its transaction: so every commit behind that row has seen it.

extension OpenStore {
    /// Bits of the word.
    private static let present: UInt32 = 1
    private static let kept: UInt32 = 2

    /// Begins to follow, blocking the thread.
    /// - Returns: the position behind which everything is written.
    func beginFollowing() throws(StoreError) -> UInt64 {
        let wasFollowed = try setFollowing(1)
        do throws(StoreError) {
            return try writeBeginning(wasFollowed: wasFollowed)
        } catch {
            endFollowing()
            throw error
        }
    }

    /// The store is being closed: whoever has not ended his stream by now is not told of more.
    func endAllFollowing() {
        for _ in 0..<followers.withLock({ $0 }) { endFollowing() }
    }

    func endFollowing() {
        // A byte that cannot be locked leaves the word to the next who stops.
        _ = try? setFollowing(-1)
    }

    /// Counts a follower of this process in or out. Returns whether the word was set before.
    private func setFollowing(_ change: Int) throws(StoreError) -> Bool {
        let result: Result<Bool, StorageError> = followers.withLock { count in
            do throws(StorageError) {
                while try !locks.lockWaiting(StoreFormat.followingLock) {}
                defer { locks.unlock(StoreFormat.followingLock) }
                let own = StoreFormat.followerLock(getpid())
                let before = signals.followed
                if change > 0 {
                    if count == 0 { _ = try locks.tryLock(own) }
                    signals.setFollowed(Self.present, true)
                } else if count == 0 {
                    // Ended already, when the store was closed.
                    return .success(before != 0)
                } else if count == 1 {
                    locks.unlock(own)
                    if !locks.isAnyHeld(in: StoreFormat.followerLocks) {
                        signals.setFollowed(Self.present, false)
                    }
                }
                count += change
                return .success(before != 0)
            } catch { return .failure(error) }
        }
        do throws(StorageError) { return try result.get() } catch { throw storeError(error) }
    }

    /// Takes the word back that a follower has left who died.
    func forgetDeadFollowers() {
        guard signals.followed & Self.present != 0 else { return }
        followers.withLock { count in
            // Somebody begins or stops just now: the next tick looks again.
            guard count == 0, (try? locks.tryLock(StoreFormat.followingLock)) == .taken else {
                return
            }
            defer { locks.unlock(StoreFormat.followingLock) }
            if !locks.isAnyHeld(in: StoreFormat.followerLocks) {
                signals.setFollowed(Self.present, false)
            }
        }
    }

    /// Sets the word as the store's row says: after a restart of the machine it is gone.
    func readKeptEvents() throws(StorageError) {
        let isKept = try environment.view { (reader) throws(StorageError) in
            try reader.value(tables.meta, RecordKey.events.withUnsafeBytes { Key(copying: $0) })
                != nil
        }
        if isKept { signals.setFollowed(Self.kept, true) }
    }

    /// - Returns: whether the word was set before.
    fileprivate func setKept(_ isKept: Bool) throws(StoreError) -> Bool {
        let result: Result<Bool, StorageError> = followers.withLock { _ in
            do throws(StorageError) {
                while try !locks.lockWaiting(StoreFormat.followingLock) {}
                defer { locks.unlock(StoreFormat.followingLock) }
                let before = signals.followed
                signals.setFollowed(Self.kept, isKept)
                return .success(before != 0)
            } catch { return .failure(error) }
        }
        do throws(StorageError) { return try result.get() } catch { throw storeError(error) }
    }

    /// From here on everything is written; what came before is there when somebody followed already.
    /// - Returns: the position of the row that says so.
    fileprivate func writeBeginning(wasFollowed: Bool) throws(StoreError) -> UInt64 {
        let tables = tables
        return try performBlocking { (transaction, state) throws(StorageError) in
            var row = EventLog()
            row.add(wasFollowed ? EventCode.begun : EventCode.begunAnew, 0, 1)
            try row.append(at: state.now, &transaction, tables)
            return try EventLog.last(transaction, tables)
        }
    }
}

extension JobStore {
    /// Lets events be kept also while nobody follows, so that who comes back finds what happened meanwhile: the newest 16 MiB.
    /// Until it is taken back, each commit of any process writes a row for it.
    /// - Returns: whether that has changed.
    @discardableResult
    public func keepEvents(_ keeps: Bool) async throws(StoreError) -> Bool {
        let tables = open.tables
        let hasChanged = try await open.perform { (transaction, _) throws(StorageError) -> Bool in
            let key = RecordKey.events.withUnsafeBytes { Key(copying: $0) }
            let isKept = try transaction.value(tables.meta, key) != nil
            if isKept == keeps { return false }
            if keeps {
                try transaction.put(tables.meta, key, count: 1) {
                    $0.storeBytes(of: 1, as: UInt8.self)
                }
            } else {
                try transaction.delete(tables.meta, key)
            }
            return true
        }
        let open = open
        do {
            try await onThread("petiole-follow") {
                let wasFollowed = try open.setKept(keeps)
                if keeps, hasChanged { _ = try open.writeBeginning(wasFollowed: wasFollowed) }
            }
        } catch let error as StoreError { throw error } catch {
            throw .failed(path: path, reason: "\(error)")
        }
        return hasChanged
    }

    /// What happens to the jobs of the store, whoever does it, as it is committed. Starts are not told, since nothing is written
    /// of them: an end tells when its attempt began.
    ///
    /// Following costs each commit of any process a row. What the reader has not taken yet waits on the disk, the newest 16 MiB
    /// of it; who is slower than that, or comes back when nobody followed, is told ``JobEvent/Kind/missed``.
    /// - Parameter position: nil: from now on; else what came behind that event. One that no event of this store has yet, since it is
    ///   of another store, begins now, with ``JobEvent/Kind/missed``.
    /// - Throws: ``StoreError``. The stream itself ends when the store cannot be read any more.
    /// - Complexity: a thread for each wait.
    public func events(after position: UInt64? = nil) async throws(StoreError) -> AsyncStream<
        JobEvent
    > {
        try await events(after: position) { _ in }
    }

    /// The same.
    /// - Parameter whenBroken: told why the store cannot be read any more, before the stream ends for that.
    package func events(
        after position: UInt64?, whenBroken: @escaping @Sendable (StoreError) -> Void
    ) async throws(StoreError) -> AsyncStream<JobEvent> {
        let store = JobStore(open)
        let open = open
        let begin: UInt64
        do {
            begin = try await onThread("petiole-follow") { try open.beginFollowing() }
        } catch let error as StoreError { throw error } catch {
            throw .failed(path: path, reason: "\(error)")
        }
        let follower = EventFollower(
            store, after: position, begin: begin, whenBroken: whenBroken)
        return AsyncStream {
            await follower.next()
        } onCancel: {
            follower.cancel()
        }
    }
}

/// Reads what was written since it last did. One `next` at a time.
private final class EventFollower: Sendable {
    private struct State {
        var position: UInt64
        var buffer: [JobEvent] = []
        /// How many of the buffer were given out.
        var given = 0
    }
    private let store: JobStore
    private let whenBroken: @Sendable (StoreError) -> Void
    private let state: Mutex<State>
    private let isOver = SharedFlag()
    private let hasEnded = Mutex(false)

    /// - Parameters:
    ///   - position: nil: from the beginning on.
    ///   - begin: the newest position.
    ///   - whenBroken: told why the store cannot be read any more.
    init(
        _ store: JobStore, after position: UInt64?, begin: UInt64,
        whenBroken: @escaping @Sendable (StoreError) -> Void
    ) {
        self.store = store
        self.whenBroken = whenBroken
        var first = State(position: min(position ?? begin, begin))
        // Written just now for this follower: nobody can have been told of it.
        if let position, position >= begin {
            let now = WallTime(microseconds: store.open.clock.now)
            first.buffer = [JobEvent(position: begin, at: now, kind: .missed, ids: 0...0)]
        }
        state = Mutex(first)
    }

    deinit { end() }

    /// Counts this follower out, once.
    private func end() {
        let isFirst = hasEnded.withLock { hasEnded in
            defer { hasEnded = true }
            return !hasEnded
        }
        if isFirst { store.open.endFollowing() }
    }

    func cancel() {
        // Before anybody is told that the stream has ended: a process that exits then leaves no word behind, for which each
        // commit of the others would write a row.
        end()
        isOver.set()
        store.open.signals.counted.ring()
    }

    func next() async -> JobEvent? {
        if let event = take() { return event }
        return await withUnsafeContinuation { continuation in
            OSThread.start(named: "petiole-follow") { [self] in
                continuation.resume(returning: waitForNext())
            }
        }
    }

    private func take() -> JobEvent? {
        state.withLock { state in
            guard state.given < state.buffer.count else { return nil }
            state.given += 1
            return state.buffer[state.given - 1]
        }
    }

    private func waitForNext() -> JobEvent? {
        let open = store.open
        while true {
            // Read before looking, at the flag too: what comes in between makes the wait return at once.
            let seen = open.signals.counted.value
            if isOver.isSet { return nil }
            let position = state.withLock { $0.position }
            let rows: [EventLog.Row]
            do throws(StoreError) {
                rows = try open.read { (reader) throws(StorageError) in
                    try EventLog.rows(after: position, reader, open.tables)
                }
            } catch {
                // The stream ends with the store.
                whenBroken(error)
                return nil
            }
            if !rows.isEmpty {
                read(rows)
                if let event = take() { return event }
                continue
            }
            open.writer.hurry()
            // Ten seconds: a process may have died between its commit and its ring.
            open.signals.counted.wait(whileAt: seen, until: petiole_real_time() + 10_000_000_000)
        }
    }

    private func read(_ rows: [EventLog.Row]) {
        state.withLock { state in
            state.buffer = []
            state.given = 0
            for row in rows {
                let at = WallTime(microseconds: row.at)
                func add(_ kind: JobEvent.Kind, _ ids: ClosedRange<UInt64>) {
                    state.buffer.append(
                        JobEvent(position: row.position, at: at, kind: kind, ids: ids))
                }
                let isAnew = row.entries.contains { $0.kind == EventCode.begunAnew }
                // Rows that have given way, or a time in which nobody followed.
                if row.position > state.position + 1 || isAnew { add(.missed, 0...0) }
                state.position = row.position
                for entry in row.entries where entry.count > 0 {
                    guard let kind = JobEvent.Kind(code: entry.kind) else { continue }
                    add(kind, entry.first...(entry.first + entry.count - 1))
                }
            }
        }
    }
}
