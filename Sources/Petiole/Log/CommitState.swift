import PetioleStorage

/// What a transaction has read and changed so far: the writer's, for one commit. Becomes true when the commit is durable.
struct CommitState {
    let tables: StoreTables
    /// One reading for all that the commit accepts.
    let time: ClockReading
    /// The system's clock, microseconds since 1970.
    var now: Int64 { time.wall }
    /// Who runs what now, for what ends jobs that may be claimed.
    let runners: Runners
    let plans: PlanCache
    /// How many jobs of workflows that do not go on may still be recorded one by one; the rest is left to whoever runs their
    /// queue. 50,000 outcomes: some 20 ms.
    var cancelBudget: UInt64 = 50_000
    /// There once a job that cannot be read has ended in this commit.
    var memberRanges: MemberRanges?
    var sequences: Sequences
    private let sequencesAsRead: Sequences
    private var counters: [(queue: UInt32, value: QueueCounters, read: QueueCounters)] = []
    /// What the store held in all before this commit, once it was asked for.
    private var totalAsRead: QueueCounters?

    // What to do when it is durable.
    var hasNewWork = false
    private(set) var hasCounted = false
    var controlMoved = false
    /// A job was parked: a drain does not wait for it any more.
    var hasParked = false
    /// Not all that follow jobs which have ended could be let go: another commit is to do that.
    var leavesFollowers = false
    /// There is room where there was none, without a job's end: who waits for some looks.
    var hasRoom = false
    var ended: [(first: UInt64, count: UInt64)] = []
    /// So many of `ended` were met by ``HeldJobs/follow(_:_:_:)``.
    var followed = 0
    var progress: [UInt32: RangeProgress] = [:]
    private(set) var newNames: [String: UInt32] = [:]
    private(set) var newQueues: [String: QueueRecord] = [:]
    private(set) var resolved: [(JobTarget, queue: UInt32, name: UInt32)] = []
    /// What followers are told; nil: nobody follows.
    private(set) var events: EventLog?
    /// Whether a timer was set, or a schedule's time, so that whoever sleeps until a later one is woken.
    var hasSetTimer = false
    /// What listeners are to hear; nil when nobody listens.
    var notes: [EventNote]?

    init(
        _ transaction: borrowing WriteTransaction, tables: StoreTables, time: ClockReading,
        runners: Runners, plans: PlanCache, isFollowed: Bool = false
    ) throws(StorageError) {
        self.tables = tables
        events = isFollowed ? EventLog() : nil
        self.time = time
        self.runners = runners
        self.plans = plans
        sequences = try Self.readSequences(transaction, tables)
        sequencesAsRead = sequences
    }

    static func readSequences(
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Sequences {
        guard
            let bytes = try transaction.value(
                tables.meta, RecordKey.sequences.withUnsafeBytes { Key(copying: $0) })
        else { return Sequences() }
        return try formatted { () throws(FormatError) in try Sequences(bytes) }
    }

    /// Writes what every commit writes: sequences and counters that changed.
    mutating func finish(_ transaction: inout WriteTransaction) throws(StorageError) {
        if sequences.hasTotal { try finishTotal(&transaction) }
        if sequences != sequencesAsRead {
            let key = RecordKey.sequences.withUnsafeBytes { Key(copying: $0) }
            try transaction.put(tables.meta, key, count: Sequences.size) {
                sequences.write(to: $0)
            }
        }
        for (queue, value, read) in counters where value != read {
            try transaction.put(
                tables.meta, RecordKey.counters(queue), count: QueueCounters.size
            ) { value.write(to: $0) }
        }
        for change in progress.values {
            try change.write(&transaction, tables)
        }
        if let events, !events.isEmpty {
            try events.append(at: now, &transaction, tables)
            // Followers wait for it.
            hasCounted = true
        }
    }

    // MARK: Events

    /// Notes what happened to jobs whose ids follow each other, if somebody follows.
    mutating func note(_ code: UInt8, _ first: UInt64, count: UInt64 = 1) {
        events?.add(code, first, count)
    }

    /// Notes outcomes, if somebody follows.
    mutating func note(_ outcomes: borrowing OutcomeBlockBuilder) {
        if events == nil { return }
        var id = outcomes.first
        outcomes.forEachState { state in
            events!.add(EventCode.ended + state.rawValue, id, 1)
            id += 1
        }
    }

    // MARK: Counting

    /// Changes a queue's counters.
    mutating func count(
        _ transaction: borrowing WriteTransaction, _ queue: UInt32,
        _ change: (inout QueueCounters) -> Void
    ) throws(StorageError) {
        hasCounted = true
        let index = try counterIndex(transaction, queue)
        change(&counters[index].value)
    }

    private mutating func counterIndex(
        _ transaction: borrowing WriteTransaction, _ queue: UInt32
    ) throws(StorageError) -> Int {
        if let index = counters.firstIndex(where: { $0.queue == queue }) { return index }
        let read = try QueueCounters.read(queue, transaction, tables) ?? QueueCounters()
        counters.append((queue, read, read))
        return counters.count - 1
    }

    // MARK: Capacity

    /// Whether a queue, or the store, may hold only so much.
    mutating func hasCapacity(
        _ transaction: borrowing WriteTransaction, _ queue: UInt32
    ) throws(StorageError) -> Bool {
        if sequences.hasTotal { return true }
        let index = try counterIndex(transaction, queue)
        return !counters[index].value.capacity.isNone
    }

    /// Whether there is room for jobs in a queue, and what is to be done when there is not.
    mutating func admission(
        of added: JobLoad, in queue: UInt32, whenFull: CapacityRecord.WhenFull?,
        _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> Admission {
        let counters = counters[try counterIndex(transaction, queue)].value
        let ofQueue = Admission.of(
            added, held: counters.held, capacity: counters.capacity, whenFull: whenFull)
        guard sequences.hasTotal else { return ofQueue }
        let total = try total(transaction)
        let ofStore = Admission.of(
            added, held: total.held, capacity: total.capacity, whenFull: whenFull)
        return ofQueue.and(ofStore.ofStore)
    }

    /// What is marked to be dropped in a queue and has not ended yet.
    mutating func dropping(
        _ transaction: borrowing WriteTransaction, _ queue: UInt32
    ) throws(StorageError) -> UInt64 {
        counters[try counterIndex(transaction, queue)].value.dropping
    }

    /// How many jobs of a queue are in none of its lanes.
    mutating func waitingOrParked(
        _ transaction: borrowing WriteTransaction, _ queue: UInt32
    ) throws(StorageError) -> UInt64 {
        let counters = counters[try counterIndex(transaction, queue)].value
        return counters.waiting &+ counters.parked
    }

    /// What the store holds in all, with what this commit has changed so far.
    private mutating func total(
        _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> QueueCounters {
        if totalAsRead == nil { totalAsRead = try QueueCounters.read(0, transaction, tables) }
        return counters.reduce(totalAsRead ?? QueueCounters()) { total, queue in
            total.changed(from: queue.read, to: queue.value)
        }
    }

    private mutating func finishTotal(
        _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        let total = try total(transaction)
        if total != totalAsRead {
            try transaction.put(tables.meta, RecordKey.counters(0), count: QueueCounters.size) {
                total.write(to: $0)
            }
        }
    }

    /// Sets what the store may hold. Its row is made of the queues' own with the first capacity, and goes with the last.
    mutating func setTotalCapacity(
        _ capacity: CapacityRecord, _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        guard !capacity.isNone else {
            sequences.hasTotal = false
            totalAsRead = nil
            try transaction.delete(tables.meta, RecordKey.counters(0))
            return
        }
        var total = QueueCounters()
        if sequences.hasTotal {
            // As it was before this commit: what it has changed is added behind all.
            _ = try self.total(transaction)
            total = totalAsRead ?? total
        } else {
            for queue in 1..<sequences.nextQueue {
                let known = counters.first { $0.queue == queue }?.read
                var read = known
                if read == nil { read = try QueueCounters.read(queue, transaction, tables) }
                if let read { total = total.changed(from: QueueCounters(), to: read) }
            }
        }
        total.capacity = capacity
        sequences.hasTotal = true
        totalAsRead = total
        try transaction.put(tables.meta, RecordKey.counters(0), count: QueueCounters.size) {
            total.write(to: $0)
        }
    }

    // MARK: Names

    /// The number of a job name, given one if it has none.
    mutating func number(
        ofName name: String, _ transaction: inout WriteTransaction
    ) throws(StorageError) -> UInt32 {
        if let number = newNames[name] { return number }
        let key = RecordKey.bytes("n" + name)
        let found = try withBytes(key) { (key) throws(StorageError) in
            try transaction.value(tables.names, key)
        }
        if let found, found.count >= 4 { return found.littleEndian(at: 0) }
        let number = sequences.nextName
        sequences.nextName += 1
        var bytes = number.littleEndian
        try withUnsafeBytes(of: &bytes) { (value) throws(StorageError) in
            try withBytes(key) { (key) throws(StorageError) in
                try transaction.put(tables.names, key, value)
            }
        }
        try withBytes(RecordKey.bytes(name)) { (value) throws(StorageError) in
            try transaction.put(tables.names, RecordKey.name(number), value)
        }
        newNames[name] = number
        return number
    }

    /// The queue that a target names, without making it; nil: there is none yet.
    func knownQueue(
        of target: JobTarget, _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> UInt32? {
        if let resolved = target.resolved { return resolved.queue }
        return try knownQueue(named: target.queueName, transaction)?.id
    }

    private func knownQueue(
        named name: String, _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> QueueRecord? {
        if let record = newQueues[name] { return record }
        let found = try withBytes(RecordKey.bytes(name)) { (key) throws(StorageError) in
            try transaction.value(tables.queues, key)
        }
        guard let found else { return nil }
        return try formatted { () throws(FormatError) in try QueueRecord(found) }
    }

    /// A queue's row, made if there is none.
    mutating func queue(
        named name: String, _ transaction: inout WriteTransaction
    ) throws(StorageError) -> QueueRecord {
        if let record = try knownQueue(named: name, transaction) { return record }
        let record = QueueRecord(id: sequences.nextQueue)
        sequences.nextQueue += 1
        try put(record, named: name, &transaction)
        newQueues[name] = record
        return record
    }

    mutating func put(
        _ record: QueueRecord, named name: String, _ transaction: inout WriteTransaction
    ) throws(StorageError) {
        if newQueues[name] != nil { newQueues[name] = record }
        try withBytes(record.bytes) { (value) throws(StorageError) in
            try withBytes(RecordKey.bytes(name)) { (key) throws(StorageError) in
                try transaction.put(tables.queues, key, value)
            }
        }
    }

    /// The numbers of a target's queue and name.
    mutating func numbers(
        of target: JobTarget, _ transaction: inout WriteTransaction
    ) throws(StorageError) -> (queue: UInt32, name: UInt32) {
        if let resolved = target.resolved { return resolved }
        let queue = try queue(named: target.queueName, &transaction).id
        let name = try number(ofName: target.jobName, &transaction)
        resolved.append((target, queue, name))
        return (queue, name)
    }

    // MARK: Lanes

    /// Puts jobs that follow each other at the end of a lane. Returns their position.
    @discardableResult
    mutating func makeReady(
        _ transaction: inout WriteTransaction, queue: UInt32, priority: UInt8, first: UInt64,
        count: UInt64
    ) throws(StorageError) -> UInt64 {
        let position = sequences.takePosition()
        let row = LaneRow(
            queue: queue, priority: priority, position: position, first: first, count: count)
        try row.put(&transaction, tables)
        hasNewWork = true
        return position
    }

    mutating func setTimer(
        _ transaction: inout WriteTransaction, queue: UInt32, due: StoreTime, id: UInt64,
        why: TimerReason = .due, _ word: Int64? = nil
    ) throws(StorageError) {
        try transaction.put(
            tables.timers, RecordKey.timer(queue, due, id), count: word == nil ? 1 : 9
        ) {
            $0.storeBytes(of: why.rawValue, as: UInt8.self)
            if let word { $0.storeLittleEndian(word, at: 1) }
        }
        hasSetTimer = true
    }

    /// A timer that takes the row of a unique key away.
    mutating func setUniqueTimer(
        _ transaction: inout WriteTransaction, queue: UInt32, until: StoreTime, id: UInt64,
        row: [UInt8]
    ) throws(StorageError) {
        try transaction.put(
            tables.timers, RecordKey.timer(queue, until, id), count: 1 + row.count
        ) { target in
            target.storeBytes(of: TimerReason.unique.rawValue, as: UInt8.self)
            for (index, byte) in row.enumerated() {
                target.storeBytes(of: byte, toByteOffset: 1 + index, as: UInt8.self)
            }
        }
        hasSetTimer = true
    }
}

/// Turns a record that cannot be read into the storage's word for it.
func formatted<Value>(_ body: () throws(FormatError) -> Value) throws(StorageError) -> Value {
    do throws(FormatError) {
        return try body()
    } catch {
        throw .damaged(error.description)
    }
}

/// Lends an array's bytes to a closure that throws what storage throws.
func withBytes<Value>(
    _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Value
) throws(StorageError) -> Value {
    var result: Result<Value, StorageError>?
    bytes.withUnsafeBytes { bytes in
        do throws(StorageError) { result = .success(try body(bytes)) } catch {
            result = .failure(error)
        }
    }
    return try result!.get()
}

extension QueueCounters {
    /// The store's own, when those of a queue have changed.
    fileprivate func changed(from old: QueueCounters, to new: QueueCounters) -> QueueCounters {
        var sum = self
        sum.accepted = sum.accepted &+ new.unfinished &- old.unfinished
        sum.bytes = sum.bytes &+ new.bytes &- old.bytes
        sum.dropping = sum.dropping &+ new.dropping &- old.dropping
        sum.droppingBytes = sum.droppingBytes &+ new.droppingBytes &- old.droppingBytes
        return sum
    }
}

extension Admission {
    /// The same when it is the store's capacity that was asked.
    fileprivate var ofStore: Admission {
        func store(_ reached: CapacityRecord.Reached) -> CapacityRecord.Reached {
            var reached = reached
            reached.isOfStore = true
            return reached
        }
        switch self {
        case .wait(let limit, let reached): return .wait(limit, store(reached))
        case .refuse(let reached): return .refuse(store(reached))
        case .accept, .drop: return self
        }
    }
}
