import CPetiole
import PetioleDispatch
import PetioleStorage
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// The log's writer
//
// One thread of our own makes all write transactions of the process. It takes whatever has gathered, applies it, commits,
// then tells everybody: group commit without a timer, since while the disk syncs, the next batch gathers.
//
// Sleeping. `word` is 0 while the writer is awake, 1 while it sleeps, 2 while it lingers for more outcomes, 3 while it sleeps
// and a caller writes in its place.
//
//     writer                                  submitter
//     finds the inbox empty
//                                             pushes, fences, reads word 0: wakes nobody
//     word = 1, fences
//     looks once more, finds it               ← without this second look the submission would wait for the next one
//
// Both put a sequentially consistent operation between their write and their read, so at least one sees the other's.
//
// In its place. A thread that waits for its own submission would wake the writer and be woken by it, which costs as much as a
// quarter of the commit. When the writer sleeps, such a thread makes 3 of 1 instead, commits what has gathered, and makes 1
// of 3 again; then it looks once more, as the writer does before it sleeps, and wakes the writer for what came meanwhile and
// for a stop: at 3 nobody else wakes it. So there is one who writes at any time, and a transaction begins and ends on one
// thread. Whoever leaves 1, to 0 or to 3, does it by an exchange: one of them is it.
//
// Coming back. Callers that are answered together wake up one after the other while the writer, who finds the first of them
// in the inbox, is committing already: each commit then serves a part of them, and each of them waits for two. So after a
// commit of several lone enqueues the writer naps, 20 µs at a time, as long as more of them come during a nap.
//
// No shared fate. When a commit fails, what it held is tried again in parts: outcomes and operations first, then each enqueue
// by itself. So only who asked for what cannot be done sees an error, and outcomes are recorded even when jobs are refused.
//
// Nobody blocks in a circle. The writer waits for nobody but the disk and other processes' writers; a full inbox makes
// buffered enqueues wait or fail by their own choice, and all others go to an overflow list that their callers bound.

/// Owns all writes of the process to one store.
final class LogWriter: Sendable {
    let environment: Environment
    let tables: StoreTables
    let signals: StoreSignals
    let slots: RunningSlots
    let runners: Runners
    let plans = PlanCache()
    let waiters = WaiterTable()
    let observers = CommitObservers()
    let events = EventHub()
    let progress = ProgressTable()
    let clock: StoreClock
    /// Where the steady line was known to stand.
    private let line: Mutex<SteadyLine>
    /// Nil but in tests.
    private let faults: CommitFaults?

    /// 16 MiB: more does not commit faster, and makes those who come next wait longer.
    private static let batchBytes = 16 << 20
    /// Outcomes that nobody awaits may ride this long with the next commit.
    private static let lingerNanoseconds: Int64 = 10_000_000
    /// A tenth of what a commit takes. In it a caller that was answered wakes up and comes back, and many do.
    private static let napNanoseconds: Int64 = 20_000
    /// Fewer do not gain what the nap costs.
    private static let returningCallers = 4
    /// 64 KiB: the commit of more takes so long that nobody is worth waiting for.
    private static let returningBytes = 65_536
    /// 16,384 places of 16 bytes: a commit of lone jobs rarely gathers more.
    private static let inboxSize = 16_384

    let inbox = Ring<UInt>(capacity: inboxSize)
    private let overflow = Mutex<[UInt]>([])
    private let overflowCount = Atomic<Int>(0)
    private let word: SharedWord
    /// Bytes in the inbox that buffered enqueues put there.
    let bufferedBytes = Atomic<Int>(0)
    /// Buffered enqueues that are decided behind an operation that came after them: dropped for in several transactions, or
    /// refused together and tried again alone. Who flushes asks again while there are some.
    let late = Atomic<Int>(0)
    private let space: SharedWord
    /// Always 0; naps are waits that nobody ends.
    private let nap = SharedWord()
    private let isStopping = Atomic<Bool>(false)
    private let hasLeftFollowers = Atomic<Bool>(false)
    /// Set when the disk failed: nothing more is accepted by this process.
    private let broken = Mutex<StorageError?>(nil)
    /// Bytes of the file that jobs may fill.
    let byteLimit: Mutex<Int>
    /// The settings that were taken over last: see ``Sequences/settingsTurn``.
    private let settingsTurn: Atomic<UInt32>
    private let settingsChanged = Mutex<(@Sendable (SettingsRecord, UInt32) -> Void)?>(nil)
    /// 1 once the thread takes nothing more.
    private let endedWord: SharedWord
    /// Of whoever writes.
    private let reserve: Mutex<DiskReserve>

    init(
        environment: Environment, tables: StoreTables, signals: StoreSignals, slots: RunningSlots,
        locks: ByteLocks, clock: StoreClock, line: SteadyLine, faults: CommitFaults? = nil,
        byteLimit: Int, settingsTurn: UInt32
    ) {
        self.settingsTurn = Atomic(settingsTurn)
        runners = Runners(slots: slots, locks: locks)
        self.environment = environment
        self.tables = tables
        self.signals = signals
        self.slots = slots
        self.clock = clock
        self.line = Mutex(line)
        self.faults = faults
        self.byteLimit = Mutex(byteLimit)
        word = SharedWord()
        space = SharedWord()
        endedWord = SharedWord()
        reserve = Mutex(DiskReserve(dataFile: environment.dataFile))
        OSThread.start(named: "petiole-log") { [self] in work() }
    }

    /// - Parameter body: told within a commit; it only takes them over.
    func whenSettingsChange(_ body: @escaping @Sendable (SettingsRecord, UInt32) -> Void) {
        settingsChanged.withLock { $0 = body }
    }

    // MARK: Submitting

    /// Hands a submission over. Never waits.
    func submit(_ submission: Submission) {
        push(submission)
        wake(urgently: submission.isUrgent)
    }

    /// Hands a submission over for a thread that is going to wait for it: it commits here, unless somebody else is about to.
    /// Never on Swift's cooperative pool, but by the choice of who calls what blocks.
    func submitBlocking(_ submission: Submission) {
        push(submission)
        petiole_fence()
        guard word.swap(from: 1, to: 3) else { return wake(urgently: true) }
        var batch: [Submission] = []
        _ = gather(&batch, bytes: 0)
        // Empty: the writer took it, and fell asleep again.
        if !batch.isEmpty { write(batch) }
        word.publish(1)
        if hasWork, word.swap(from: 1, to: 0) { word.wakeAll() }
    }

    private func push(_ submission: Submission) {
        let reference = UInt(bitPattern: Unmanaged.passRetained(submission).toOpaque())
        // Behind what lies in the overflow already, so that what one thread hands over is committed in its order.
        // Relaxed: a thread sees its own additions.
        if overflowCount.load(ordering: .relaxed) > 0 || !inbox.push(reference) {
            // Relaxed: the mutex orders the list; the count only says whether to look.
            overflowCount.add(1, ordering: .relaxed)
            overflow.withLock { $0.append(reference) }
        }
    }

    /// Hands a buffered enqueue over. False when the inbox or its share of memory is full.
    func trySubmit(_ submission: Submission, byteCount: Int, byteBound: Int) -> Bool {
        // Never above the bound for a moment: another caller, refused on account of one that is refused itself, would wait
        // for a commit that does not come. Relaxed: a bound on memory, not an order.
        var before = bufferedBytes.load(ordering: .relaxed)
        while true {
            guard before + byteCount <= byteBound || before == 0 else { return false }
            // Relaxed: as above.
            let result = bufferedBytes.weakCompareExchange(
                expected: before, desired: before + byteCount, ordering: .relaxed)
            if result.exchanged { break }
            before = result.original
        }
        let reference = Unmanaged.passRetained(submission)
        guard inbox.push(UInt(bitPattern: reference.toOpaque())) else {
            reference.release()
            // Relaxed: as above.
            bufferedBytes.subtract(byteCount, ordering: .relaxed)
            return false
        }
        wake(urgently: true)
        return true
    }

    /// Blocks the calling thread until a commit has made room for buffered enqueues.
    func waitForSpace(since turn: UInt32) { space.wait(while: turn) }
    var spaceTurn: UInt32 { space.value }

    /// Whether the last commit of this process could not let all go that follow jobs which have ended.
    var leavesFollowers: Bool {
        // Relaxed: stored before anybody is told of that commit, by which who asks is behind it.
        hasLeftFollowers.load(ordering: .relaxed)
    }

    var hasLate: Bool {
        // Sequentially consistent: pairs with what adds and subtracts.
        late.load(ordering: .sequentiallyConsistent) > 0
    }

    /// Makes the writer commit what it lingers for.
    func hurry() { wake(urgently: true) }

    private func wake(urgently: Bool) {
        petiole_fence()
        if endedWord.value == 1 { return refuseRest() }
        let state = word.value
        guard state == 1 || (state == 2 && urgently) else { return }
        if word.swap(from: state, to: 0) { word.wakeAll() }
    }

    /// Answers what came after the end. Both the thread, behind its last word, and whoever finds that word look: one of
    /// them sees each submission, and what the ring gives out it gives out once.
    private func refuseRest() {
        var rest: [Submission] = []
        _ = gather(&rest, bytes: .min)
        for submission in rest { finish(submission, .closed) }
        space.add(1)
        space.wakeAll()
    }

    /// Commits what was submitted, then ends the thread, and waits for its end.
    func stop() {
        // Sequentially consistent: seen by the writer's second look before it sleeps.
        isStopping.store(true, ordering: .sequentiallyConsistent)
        wake(urgently: true)
        while endedWord.value == 0 { endedWord.wait(while: 0) }
    }

    // MARK: The thread

    private func work() {
        // While workers keep all processors busy, whoever enqueues waits for this thread.
        petiole_ask_for_short_slices()
        petiole_ask_for_exact_waits()
        var batch: [Submission] = []
        while true {
            var bytes = gather(&batch, bytes: 0)
            if batch.isEmpty {
                // Sequentially consistent: pairs with `stop`.
                if isStopping.load(ordering: .sequentiallyConsistent) { break }
                sleep()
                continue
            }
            if shouldLinger(batch, bytes) {
                let deadline = petiole_steady_time() + Self.lingerNanoseconds
                while shouldLinger(batch, bytes), linger(until: deadline) {
                    bytes = gather(&batch, bytes: bytes)
                }
                bytes = gather(&batch, bytes: bytes)
            }
            write(batch)
            let callers = Self.callersToReturn(batch)
            batch.removeAll(keepingCapacity: true)
            if callers >= Self.returningCallers { awaitReturn(of: callers) }
        }
        endedWord.publish(1)
        refuseRest()
        endedWord.wakeAll()
    }

    /// How many waited for their small enqueues in a batch.
    private static func callersToReturn(_ batch: [Submission]) -> Int {
        var callers = 0
        var bytes = 0
        for submission in batch {
            guard let enqueue = submission as? EnqueueSubmission, !enqueue.isBuffered else {
                continue
            }
            callers += 1
            bytes += enqueue.byteCount
        }
        return bytes <= returningBytes ? callers : 0
    }

    /// Gives those who were answered together the time to come back together. They come while the next commit is under way
    /// otherwise, and each waits for two. Ends when they are there, or when nobody came during a nap.
    private func awaitReturn(of callers: Int) {
        var seen = 0
        // Five at most: what comes need not be they.
        for _ in 0..<5 where seen < callers {
            nap.wait(while: 0, for: Self.napNanoseconds)
            let waiting = inbox.count
            if waiting <= seen { return }
            seen = waiting
        }
    }

    /// Takes what is there, up to the bound. Returns the bytes of the batch.
    private func gather(_ batch: inout [Submission], bytes before: Int) -> Int {
        var bytes = before
        while bytes < Self.batchBytes, let reference = inbox.pop() {
            bytes += take(reference, &batch)
        }
        // Relaxed: see `submit`; a count that comes late is seen at the second look.
        if overflowCount.load(ordering: .relaxed) > 0, bytes < Self.batchBytes {
            let references = overflow.withLock { list in
                defer { list = [] }
                return list
            }
            // Relaxed: as above.
            overflowCount.subtract(references.count, ordering: .relaxed)
            for reference in references { bytes += take(reference, &batch) }
        }
        return bytes
    }

    private func take(_ reference: UInt, _ batch: inout [Submission]) -> Int {
        let submission = Unmanaged<Submission>.fromOpaque(
            UnsafeRawPointer(bitPattern: reference)!
        ).takeRetainedValue()
        batch.append(submission)
        return submission.byteCount
    }

    private var isInboxEmpty: Bool {
        // Relaxed: a fence or a sequentially consistent store stands before each call that matters.
        inbox.isEmpty && overflowCount.load(ordering: .relaxed) == 0
    }

    /// Whether the writer has to be awake. Behind the word that says that it sleeps.
    private var hasWork: Bool {
        // Sequentially consistent: pairs with `stop`.
        !isInboxEmpty || isStopping.load(ordering: .sequentiallyConsistent)
    }

    private func sleep() {
        word.publish(1)
        if hasWork, word.swap(from: 1, to: 0) { return }
        while true {
            let state = word.value
            if state == 0 { return }
            word.wait(while: state)
        }
    }

    /// Whether all of it is outcomes that nobody awaits, and not so many that they are worth a commit of their own.
    private func shouldLinger(_ batch: [Submission], _ bytes: Int) -> Bool {
        bytes < 1 << 20 && batch.allSatisfy { !$0.isUrgent } && waiters.isEmpty
            // Sequentially consistent: pairs with `stop`.
            && !isStopping.load(ordering: .sequentiallyConsistent)
    }

    /// Waits for something urgent. False at the deadline.
    private func linger(until deadline: Int64) -> Bool {
        word.publish(2)
        var more = true
        // What came before the word said so has woken nobody.
        if isInboxEmpty, waiters.isEmpty, word.value == 2 {
            more = word.wait(while: 2, for: deadline - petiole_steady_time())
        }
        word.store(0)
        return more && petiole_steady_time() < deadline
    }

    // MARK: Committing

    private func write(_ batch: [Submission]) {
        reserve.withLock { commit(batch, &$0) }
        space.add(1)
        space.wakeAll()
    }

    private func commit(_ batch: [Submission], _ reserve: inout DiskReserve) {
        if let error = broken.withLock({ $0 }) {
            for submission in batch { finish(submission, error) }
            return
        }
        let enqueues = batch.filter { $0.needsRoom }
        if enqueues.isEmpty || hasRoom(for: enqueues, &reserve) {
            guard let error = attempt(batch) else { return }
            if Self.isOfTheDisk(error) {
                // What is on the disk is unknown: nothing is tried again.
                for submission in batch { fail(submission, error) }
                return
            }
        }
        // In parts: what ends jobs first, alone if need be, then each enqueue by itself.
        let late = batch.count { ($0 as? EnqueueSubmission)?.isBuffered == true }
        // Sequentially consistent, both: whoever is told of an operation behind the first finds the count, and whoever finds
        // it gone behind the second finds what was refused.
        self.late.add(late, ordering: .sequentiallyConsistent)
        defer { self.late.subtract(late, ordering: .sequentiallyConsistent) }
        let rest = batch.filter { !($0 is EnqueueSubmission) }
        if rest.contains(where: { $0.needsRoom }) {
            // In their order: an operation may count on what came before it.
            for submission in rest {
                if let error = broken.withLock({ $0 }) {
                    fail(submission, error)
                } else if submission.needsRoom, !hasRoom(for: [submission], &reserve) {
                    fail(submission, isPastLimit(submission.byteCount) ? .mapFull : .diskFull)
                } else if let error = attempt([submission]) {
                    fail(submission, error)
                }
            }
        } else if !rest.isEmpty, let error = attempt(rest) {
            for submission in rest {
                if Self.isOfTheDisk(error) {
                    fail(submission, error)
                } else if let error = broken.withLock({ $0 }) ?? attempt([submission]) {
                    fail(submission, error)
                }
            }
        }
        for submission in batch where submission is EnqueueSubmission {
            if let error = broken.withLock({ $0 }) {
                fail(submission, error)
                continue
            }
            guard hasRoom(for: [submission], &reserve) else {
                fail(submission, isPastLimit(submission.byteCount) ? .mapFull : .diskFull)
                continue
            }
            if let error = attempt([submission]) { fail(submission, error) }
        }
    }

    private func fail(_ submission: Submission, _ error: StorageError) {
        if Self.isOfTheDisk(error) { breakDown(error) }
        finish(submission, error)
    }

    private static func isOfTheDisk(_ error: StorageError) -> Bool {
        if case .system = error { return true }
        return error == .panicked
    }

    /// After an error of the disk nothing more is accepted by this process: what the disk holds is unknown until a fresh one
    /// opens the store and reads it.
    private func breakDown(_ error: StorageError) {
        broken.withLock { $0 = $0 ?? error }
    }

    /// Whether the store's file may take so many bytes of jobs more.
    func hasFileRoom(_ bytes: Int) -> Bool { !isPastLimit(bytes) }

    /// Whether it could not if it was empty.
    func isTooLarge(_ bytes: Int) -> Bool { bytes + bytes / 4 > byteLimit.withLock { $0 } }

    private func isPastLimit(_ bytes: Int) -> Bool {
        if faults?.lacksRoom() == .mapFull { return true }
        let usage = environment.usage
        let limit = min(byteLimit.withLock { $0 }, usage.mapBytes - (64 << 20))
        let needed = bytes + bytes / 4
        if usage.usedBytes + needed <= limit { return false }
        // The file never shrinks: what pruning has freed in it counts as room, else a store that was full once stayed so.
        // When it cannot be told, the file's size stands.
        guard let live = try? environment.liveBytes() else { return true }
        return live + needed > limit
    }

    private func hasRoom(for enqueues: [Submission], _ reserve: inout DiskReserve) -> Bool {
        let bytes = enqueues.reduce(0) { $0 + $1.byteCount }
        if isPastLimit(bytes) || faults?.lacksRoom() != nil { return false }
        // Pages, their keys and the lists of freed ones: a quarter more than the bytes themselves, and 64 KiB.
        let written = bytes + bytes / 4 + 65_536
        let used = environment.usage.usedBytes
        if reserve.prepare(usedBytes: used, writing: written) { return true }
        // The disk is full. What pruning has freed inside the file is room all the same, in runs that hold the longest value:
        // a block, or a payload that needs one of its own.
        let longest = min(bytes, enqueues.reduce(StoreFormat.blockLimit) { max($0, $1.byteCount) })
        // When it cannot be told, the disk's answer stands.
        let fits = try? reserve.fits(usedBytes: used, writing: written) {
            (enough) throws(StorageError) in
            try freeBytes(enough, longest: longest)
        }
        return fits ?? false
    }

    /// Bytes free inside the file for values of a length, when more than `enough` are sought.
    private func freeBytes(_ enough: Int, longest: Int) throws(StorageError) -> Int {
        let page = environment.pageSize
        // A long value has a header of 16 bytes before it.
        let run = (longest + 15) / page + 1
        let wanted = enough / page + 1
        // A list of 2 MiB tells of 1 GiB; what is beyond does not count.
        let bound = 1 << 18
        let pages = try environment.reusablePages(inRunsOf: run, bound: bound)
        if pages >= wanted { return pages * page }
        // What the last commit freed may be used after the next one, which a store that refuses all work might never see.
        let later = try environment.reusablePages(
            inRunsOf: run, bound: bound, afterNextCommit: true)
        guard later >= wanted else { return pages * page }
        let table = tables.meta
        try environment.write { (transaction) throws(StorageError) in
            let key = RecordKey.format.withUnsafeBytes { Key(copying: $0) }
            guard let record = try transaction.value(table, key) else { return }
            // Copied: what a transaction lends is void when it writes.
            try withBytes(Array(record)) { (bytes) throws(StorageError) in
                try transaction.put(table, key, bytes)
            }
        }
        return try page * environment.reusablePages(inRunsOf: run, bound: bound)
    }

    /// Commits submissions together and tells everybody. Nil on success; otherwise nothing has happened and nobody was told.
    private func attempt(_ batch: [Submission]) -> StorageError? {
        let time = clock.reading
        let isLineOutdated = line.withLock { $0.isOutdated(time) }
        let isHeard = events.isListening
        if isHeard { events.beginCommit() }
        let state: CommitState
        do throws(StorageError) {
            state = try environment.write { (transaction) throws(StorageError) in
                var state = try CommitState(
                    transaction, tables: tables, time: time, runners: runners, plans: plans,
                    isFollowed: signals.followed != 0)
                if isHeard { state.notes = [] }
                try takeOverSettings(state, batch, transaction)
                try LogCommit(tables: tables, time: time, ranges: progress, slots: slots)
                    .apply(batch, &transaction, &state)
                if isLineOutdated {
                    try line.withLock { $0 }.known(time).put(&transaction, tables.meta)
                }
                CrashPoint.pass(.beforeCommit)
                if let error = faults?.beforeCommit() { throw error }
                return state
            }
        } catch {
            if isHeard { events.endCommit([]) }
            return error
        }
        if isLineOutdated { line.withLock { $0 = $0.known(time) } }
        if isHeard { events.endCommit(state.notes ?? []) }
        CrashPoint.pass(.afterCommit)
        faults?.afterCommit()
        // Relaxed: see `leavesFollowers`.
        hasLeftFollowers.store(state.leavesFollowers, ordering: .relaxed)
        publish(state)
        CrashPoint.pass(.afterBell)
        // Before the submitters: whoever hears that a later one is durable has been told of all outcomes before it.
        if !state.ended.isEmpty { observers.tell(state.ended) }
        for submission in batch { finish(submission, nil) }
        if !state.ended.isEmpty { waiters.notify(state.ended) }
        if state.leavesFollowers {
            // Any commit carries it on; when this one fails, the next does.
            submit(
                OperationSubmission(
                    { (_, _) throws(StorageError) in }, completion: { _ in }))
        }
        return nil
    }

    /// Another process has set something: that holds from this commit on.
    private func takeOverSettings(
        _ state: CommitState, _ batch: [Submission], _ transaction: borrowing WriteTransaction
    ) throws(StorageError) {
        let turn = state.sequences.settingsTurn
        // Relaxed: of whoever writes; one at a time does.
        guard settingsTurn.load(ordering: .relaxed) != turn else { return }
        let settings = try SettingsRecord.read(transaction, tables)
        settingsChanged.withLock { $0 }?(settings, turn)
        // Relaxed: as above.
        settingsTurn.store(turn, ordering: .relaxed)
        // What was let in by the limit before is judged anew, each by itself.
        let bytes = batch.reduce(0) { $0 + ($1.needsRoom ? $1.byteCount : 0) }
        if bytes > 0, isPastLimit(bytes) { throw .mapFull }
    }

    private func finish(_ submission: Submission, _ error: StorageError?) {
        if let enqueue = submission as? EnqueueSubmission, enqueue.isBuffered {
            // Relaxed: a bound on memory, not an order.
            bufferedBytes.subtract(submission.byteCount, ordering: .relaxed)
        }
        submission.finished(error)
    }

    /// What is true now that the commit is durable.
    private func publish(_ state: CommitState) {
        progress.update(state.progress)
        signals.noteCommit(state.now)
        for (target, queue, name) in state.resolved { target.resolve(queue: queue, name: name) }
        CrashPoint.pass(.beforeBell)
        if state.controlMoved { signals.control.ring() }
        if state.hasNewWork || state.hasSetTimer { signals.work.ring() }
        if !state.ended.isEmpty || state.hasParked || state.hasRoom { signals.recorded.ring() }
        if state.hasCounted { signals.counted.ring() }
    }
}
