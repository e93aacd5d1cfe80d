import PetioleDispatch
import PetioleStorage

/// The locks that make a process the one that runs some queues, from the takeover to the giving up.
final class Ownership: Sendable {
    private let store: OpenStore
    private let queueLocks: [Int64]
    private let seatLock: Int64
    private let queues: [UInt32]
    private let seat: Int
    private let claims: Claims

    private init(
        _ store: OpenStore, _ claims: Claims, queueLocks: [Int64], queues: [UInt32], seat: Int
    ) {
        self.claims = claims
        self.store = store
        self.queueLocks = queueLocks
        self.queues = queues
        self.seat = seat
        seatLock = StoreFormat.seatLock(seat)
    }

    /// Takes the queues over and starts the pool.
    static func take(
        _ names: [String], _ core: RunnerCore, whenOwned: JobRunner.WhenOwned, workers: Int?,
        marksCrashes: Bool
    ) async throws(RunnerError) -> Ownership {
        let open = core.store
        do {
            let entryNames = core.registry.entries.map { $0.name }
            let (ids, numbers) = try await open.perform {
                (transaction, state) throws(StorageError) in
                var ids: [UInt32] = []
                for name in names { ids.append(try state.queue(named: name, &transaction).id) }
                var numbers: [String: UInt32] = [:]
                for name in entryNames {
                    numbers[name] = try state.number(ofName: name, &transaction)
                }
                return (ids, numbers)
            }
            let locks = ids.map { StoreFormat.queueLock($0) }
            try await lock(Array(zip(names, locks)), core, whenOwned)
            var givenSeat: Int64?
            do {
                let seat = try await recover(names, core)
                givenSeat = StoreFormat.seatLock(seat)
                core.prepare(
                    seat: seat, workers: workers, numbers: numbers,
                    installsCrashHandler: marksCrashes)
                for id in ids {
                    for number in numbers.values { try await unpark(id, number, open) }
                }
                // What somebody who let a job type go on and died has left.
                try await onThread("petiole-resume") {
                    while try !PausedTypes.moveBackLeftOvers(ids, open) {}
                }
                let suspects = try Takeover.suspects(ids, open)
                core.claims.begin(
                    core.claims.ownedQueues, suspects: suspects, options: core.queueOptions)
                // Before the first of them is fired.
                do throws(ScheduleError) {
                    try await core.declared?.reconcile(open, core.logger)
                } catch { throw RunnerError.schedule(error) }
                do throws(ThreadError) { try core.pool.start() } catch {
                    throw RunnerError.store(
                        .failed(path: open.path, reason: "no thread could be started: \(error)"))
                }
                core.poolHasStarted()
                return Ownership(
                    open, core.claims, queueLocks: locks, queues: ids, seat: seat)
            } catch {
                if let givenSeat { open.locks.unlock(givenSeat) }
                for byte in locks { open.locks.unlock(byte) }
                throw error
            }
        } catch let error as RunnerError {
            throw error
        } catch let error as StoreError {
            throw .store(error)
        } catch {
            throw .store(.failed(path: open.path, reason: "\(error)"))
        }
    }

    private static func lock(
        _ queues: [(name: String, byte: Int64)], _ core: RunnerCore,
        _ whenOwned: JobRunner.WhenOwned
    ) async throws {
        let open = core.store
        var taken: [Int64] = []
        do {
            // In ascending order, so that no two starters wait for what the other has.
            for (name, byte) in queues.sorted(by: { $0.byte < $1.byte }) {
                let attempt = try open.locks.tryLock(byte)
                if case .heldBy(let pid) = attempt {
                    // As a standby, unless this very process owns it: nobody will tell, so it is an error.
                    var isTaken = false
                    if case .standby = whenOwned {
                        isTaken = try await waitForLock(byte, open.locks)
                    }
                    guard isTaken else {
                        throw RunnerError.queueOwned(
                            queue: name, pid: Int(pid),
                            jobs: core.registry.entries.filter { $0.queue == name }.map { $0.name })
                    }
                }
                taken.append(byte)
            }
        } catch {
            for byte in taken { open.locks.unlock(byte) }
            throw error
        }
    }

    /// Waits in the kernel, on a thread of its own. A task that is cancelled meanwhile leaves that thread behind: it lets go
    /// of the lock as soon as it has it.
    private static func waitForLock(_ byte: Int64, _ locks: ByteLocks) async throws -> Bool {
        let waiting = TaskWaiter()
        let outcome = LockOutcome()
        OSThread.start(named: "petiole-standby") {
            let result = Result { () throws(StorageError) in try locks.lockWaiting(byte) }
            if !outcome.settle(result), case .success(true) = result { locks.unlock(byte) }
            waiting.wake()
        }
        await withTaskCancellationHandler {
            await withUnsafeContinuation { waiting.wait($0) }
        } onCancel: {
            outcome.abandon()
            waiting.wake()
        }
        guard let result = outcome.result else { throw CancellationError() }
        return try result.get()
    }

    private static func recover(
        _ names: [String], _ core: RunnerCore
    ) async throws -> Int {
        let open = core.store
        let epochs: ([QueueRecord], Int) = try await onThread("petiole-recover") {
            try open.lockRecovery()
            defer { open.unlockRecovery() }
            let (cut, dead) = try Takeover.collect(open)
            CrashPoint.pass(.takeoverCollected)
            let tables = open.tables
            let records = try open.performBlocking { (transaction, state) throws(StorageError) in
                try Takeover.apply(names, cut, tables, &transaction, &state)
            }
            CrashPoint.pass(.takeoverApplied)
            for seat in dead {
                for slot in open.slots.occupied(seat: seat) { slot.clear() }
            }
            CrashPoint.pass(.takeoverCleared)
            for seat in 0..<RunningSlots.seatCount
            where open.slots.occupied(seat: seat).isEmpty {
                if try open.locks.tryLock(StoreFormat.seatLock(seat)) == .taken {
                    return (records, seat)
                }
            }
            throw RunnerError.noSeat
        }
        let queues = zip(names, epochs.0).map { name, record in
            OwnedQueue(name: name, id: record.id, epoch: record.epoch, path: open.path) {
                // Let go of when the queue is given up.
                core.fail($0)
            }
        }
        core.claims.begin(queues, suspects: [], options: core.queueOptions)
        return epochs.1
    }

    private static func unpark(
        _ queue: UInt32, _ name: UInt32, _ open: OpenStore
    ) async throws {
        // Mostly nothing of that name is parked: found out without a write transaction.
        let isThere = try open.read { (reader) throws(StorageError) in
            let cursor = try reader.cursor(open.tables.parked)
            let first = RecordKey.parked(.unknownName, queue, name, 0)
            guard let (key, _) = try cursor.ceiling(first) else { return false }
            return key.count == 21 && key.bigEndian(at: 0, as: UInt32.self) == queue
                && key[4] == UInt8(ascii: "n")
                && key.bigEndian(at: 5, as: UInt64.self) == UInt64(name)
        }
        guard isThere else { return }
        let tables = open.tables
        var isDone = false
        while !isDone {
            isDone = try await open.perform { (transaction, state) throws(StorageError) in
                try Takeover.unpark(
                    .unknownName, queue: queue, name: name, tables, &transaction, &state)
            }
        }
    }

    /// Lets the next owner come.
    func giveUp() {
        for slot in store.slots.occupied(seat: seat) { slot.clear() }
        store.slots.setPlaces(seat: seat, 0)
        claims.begin([], suspects: [])
        for queue in queues { store.writer.progress.forget(queue: queue) }
        store.locks.unlock(seatLock)
        for byte in queueLocks { store.locks.unlock(byte) }
    }
}
