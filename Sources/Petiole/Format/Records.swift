import PetioleStorage

/// Keys of the small rows.
enum RecordKey {
    static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
    static let format = bytes("format")
    static let settings = bytes("settings")
    static let sequences = bytes("sequences")
    /// `meta`: there when events are kept also while nobody follows.
    static let events = bytes("events")

    /// `meta`: a queue's counters.
    static func counters(_ queue: UInt32) -> Key {
        Key().appending(UInt8(ascii: "c")).appending(queue)
    }
    /// `names`: the text of a name's number; the number of its text is under the text itself, after an "n".
    static func name(_ number: UInt32) -> Key {
        Key().appending(UInt8(ascii: "i")).appending(number)
    }
    static func lane(_ queue: UInt32, _ priority: UInt8, _ position: UInt64) -> Key {
        Key().appending(queue).appending(priority).appending(position)
    }
    static func timer(_ queue: UInt32, _ due: StoreTime, _ id: UInt64) -> Key {
        Key().appending(queue).appending(UInt64(max(0, due.rawValue))).appending(id)
    }
    /// `meta`: up to where a queue's lanes have been searched for jobs to drop.
    static func dropPlaces(_ queue: UInt32) -> Key {
        Key().appending(UInt8(ascii: "d")).appending(queue)
    }
    /// A job that is marked to be dropped: for the runner of the queue to find.
    static func dropping(_ queue: UInt32, _ id: UInt64) -> Key {
        Key().appending(queue).appending(UInt8(ascii: "d")).appending(id)
    }
    /// A job that may have ended its process: it runs alone.
    static func suspect(_ queue: UInt32, _ id: UInt64) -> Key {
        Key().appending(queue).appending(UInt8(ascii: "s")).appending(id)
    }
    /// The jobs of a gate's that wait for a place, at one priority, in their order.
    static func sublane(
        _ queue: UInt32, _ priority: UInt8, _ gate: GateKey, _ position: UInt64
    ) -> Key {
        Key().appending(queue).appending(UInt8(ascii: "g")).appending(priority)
            .appending(gate.kind.rawValue).appending(gate.hash).appending(position)
    }
    /// Before all sublanes of a queue.
    static func sublanes(_ queue: UInt32) -> Key {
        Key().appending(queue).appending(UInt8(ascii: "g"))
    }
    /// Behind all rows of a sublane.
    static func sublaneEnd(_ queue: UInt32, _ priority: UInt8, _ gate: GateKey) -> Key {
        sublane(queue, priority, gate, .max)
    }
    /// The job that holds an ordered key while it waits for another attempt.
    static func holder(_ queue: UInt32, _ gate: GateKey) -> Key {
        Key().appending(queue).appending(UInt8(ascii: "o")).appending(gate.hash)
    }
    /// `meta`: how many there are of a named resource.
    static func resource(_ name: UInt32) -> Key {
        Key().appending(resourceLetter).appending(name)
    }
    static let resourceLetter = UInt8(ascii: "t")
    /// A job that lies aside, for a reason and a name.
    static func parked(
        _ why: ActiveRecord.Parking, _ queue: UInt32, _ name: UInt32, _ position: UInt64
    ) -> Key {
        Key().appending(queue).appending(why.letter).appending(UInt64(name)).appending(position)
    }
}

/// A queue, by name.
struct QueueRecord: Equatable, Sendable {
    var id: UInt32
    /// Goes up with each takeover; outcomes of an older epoch are refused.
    var epoch: UInt64 = 0
    var isPaused = false

    static let size = 24

    init(id: UInt32) { self.id = id }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.size else { throw FormatError("a queue's row is cut short") }
        id = bytes.littleEndian(at: 0)
        isPaused = bytes[4] & 1 != 0
        epoch = bytes.littleEndian(at: 8)
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        writer.append(littleEndian: id)
        writer.append(littleEndian: UInt32(isPaused ? 1 : 0))
        writer.append(littleEndian: epoch)
        writer.append(littleEndian: UInt64(0))
        return writer.withBytes { Array($0) }
    }
}

/// What the log does not tell of a job that has not ended: a row of `active`. It goes before `outcomes`.
struct ActiveRecord: Equatable {
    enum State: UInt8 {
        /// In the lane, at ``position`` (0: still in the range that it was accepted in).
        case ready = 1
        /// In `timers`, until ``due``.
        case waiting = 2
        /// In `parked`, at ``position``, for the reason ``parking``.
        case parked = 3
    }

    /// Why a job is parked.
    enum Parking: UInt8, Sendable {
        /// No runner of its queue knows its name.
        case unknownName = 0
        /// Its job type is paused.
        case pausedType = 1
        /// It stands for a workflow that has not ended; ``ActiveRecord/position`` is that one's token. Or it waits for others
        /// of its workflow: such a job has no row, see `UnstartedJobs`.
        case workflow = 2
        /// It is held, until others have ended or by hand: see `HeldJobs`.
        case held = 3

        /// What stands for it in a key of `parked`.
        var letter: UInt8 {
            switch self {
            case .unknownName: UInt8(ascii: "n")
            case .pausedType: UInt8(ascii: "p")
            case .workflow: UInt8(ascii: "w")
            case .held: UInt8(ascii: "h")
            }
        }
    }

    var state: State
    /// Asked to be cancelled: whoever meets it next records that.
    var isCancelRequested = false
    /// It may have ended the process that ran it: it runs alone.
    var isSuspect = false
    /// It waits for its next attempt, or for the start of that, and the jobs behind it at its ordered key wait for it.
    var holdsKey = false
    /// Its expiry passed before it had started, as far as could be told: whoever meets it next records that.
    var isExpired = false
    /// Its due time was edited: that of its options does not count any more.
    var isRescheduled = false
    /// What is to be done with it, ready as it is, instead of running it.
    var pending: PendingChange?
    /// To be dropped, unless it has started already: whoever meets it next records that.
    var isDropped = false
    var queue: UInt32
    var priority: UInt8
    /// Attempts that have ended.
    var attempts: UInt16 = 0
    /// Times that it ended its process by a signal of its own thread.
    var guiltyCrashes: UInt8 = 0
    /// Times that its process died while it ran alone.
    var loneCrashes: UInt8 = 0
    var position: UInt64 = 0
    var due: StoreTime = 0
    var generation: UInt32 = 0
    /// Of a parked job.
    var name: UInt32 = 0
    /// The owner's epoch in which its attempt was recorded to start, of a job that runs at most once; 0: it was not.
    var startEpoch: UInt32 = 0
    var parking = Parking.unknownName
    /// The failed attempts so far: see ``AttemptHistory``.
    var history: [UInt8] = []

    static let fixedSize = 48

    init(state: State, queue: UInt32, priority: UInt8) {
        self.state = state
        self.queue = queue
        self.priority = priority
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.fixedSize, let state = State(rawValue: bytes[0]),
            let parking = Parking(rawValue: bytes[42])
        else { throw FormatError("a row of the active jobs is cut short") }
        self.parking = parking
        self.state = state
        isCancelRequested = bytes[1] & 1 != 0
        isSuspect = bytes[1] & 2 != 0
        isExpired = bytes[1] & 4 != 0
        holdsKey = bytes[1] & 0x40 != 0
        isRescheduled = bytes[1] & 16 != 0
        isDropped = bytes[1] & 8 != 0
        priority = bytes[2]
        guiltyCrashes = bytes[3]
        queue = bytes.littleEndian(at: 4)
        attempts = bytes.littleEndian(at: 8)
        loneCrashes = bytes[10]
        position = bytes.littleEndian(at: 12)
        due = StoreTime(rawValue: bytes.littleEndian(at: 20))
        generation = bytes.littleEndian(at: 28)
        name = bytes.littleEndian(at: 32)
        startEpoch = bytes.littleEndian(at: 36)
        if let pending = PendingChange(kind: bytes[41], priority: bytes[40], due: due) {
            self.pending = pending
            due = 0
        }
        history = Array(bytes[Self.fixedSize...])
    }

    func put(
        _ transaction: inout WriteTransaction, _ table: Table, _ id: UInt64
    ) throws(StorageError) {
        try transaction.put(table, Key(id), count: Self.fixedSize + history.count) { target in
            target.storeBytes(of: state.rawValue, as: UInt8.self)
            let flags: UInt8 =
                (isCancelRequested ? 1 : 0) | (isSuspect ? 2 : 0) | (isExpired ? 4 : 0)
                | (holdsKey ? 0x40 : 0) | (isRescheduled ? 16 : 0) | (isDropped ? 8 : 0)
            let change = pending?.fields ?? (kind: 0, priority: 0, due: due)
            target.storeBytes(of: flags, toByteOffset: 1, as: UInt8.self)
            target.storeBytes(of: priority, toByteOffset: 2, as: UInt8.self)
            target.storeBytes(of: guiltyCrashes, toByteOffset: 3, as: UInt8.self)
            target.storeLittleEndian(queue, at: 4)
            target.storeLittleEndian(attempts, at: 8)
            target.storeLittleEndian(UInt16(loneCrashes), at: 10)
            target.storeLittleEndian(position, at: 12)
            target.storeLittleEndian(change.due.rawValue, at: 20)
            target.storeLittleEndian(generation, at: 28)
            target.storeLittleEndian(name, at: 32)
            target.storeLittleEndian(startEpoch, at: 36)
            target.storeBytes(of: change.priority, toByteOffset: 40, as: UInt8.self)
            target.storeBytes(of: change.kind, toByteOffset: 41, as: UInt8.self)
            target.storeBytes(of: parking.rawValue, toByteOffset: 42, as: UInt8.self)
            target.storeBytes(of: 0, toByteOffset: 43, as: UInt8.self)
            target.storeLittleEndian(UInt32(0), at: 44)
            history.withUnsafeBytes { bytes in
                (target + Self.fixedSize).copyMemory(
                    from: bytes.baseAddress ?? UnsafeRawPointer(target), byteCount: bytes.count)
            }
        }
    }
}

/// What the store was told when it was made, or later by who opened it with other options.
struct SettingsRecord: Equatable, Sendable {
    var retentionSeconds: Int64
    /// Share of the byte limit that ended jobs may fill, in thousandths.
    var retentionShare: UInt16
    var byteLimit: UInt64
    var payloadLimit: UInt32

    init(retentionSeconds: Int64, retentionShare: UInt16, byteLimit: UInt64, payloadLimit: UInt32) {
        self.retentionSeconds = retentionSeconds
        self.retentionShare = retentionShare
        self.byteLimit = byteLimit
        self.payloadLimit = payloadLimit
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= 24 else { throw FormatError("the settings are cut short") }
        retentionSeconds = bytes.littleEndian(at: 0)
        byteLimit = bytes.littleEndian(at: 8)
        payloadLimit = bytes.littleEndian(at: 16)
        retentionShare = bytes.littleEndian(at: 20)
    }

    /// The store's, or what holds for one that says nothing.
    static func read(
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> SettingsRecord {
        let key = RecordKey.settings.withUnsafeBytes { Key(copying: $0) }
        guard let bytes = try transaction.value(tables.meta, key) else {
            return StoreOptions.defaults
        }
        return try formatted { () throws(FormatError) in try SettingsRecord(bytes) }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 24)
        writer.append(littleEndian: retentionSeconds)
        writer.append(littleEndian: byteLimit)
        writer.append(littleEndian: payloadLimit)
        writer.append(littleEndian: retentionShare)
        writer.append(littleEndian: UInt16(0))
        return writer.withBytes { Array($0) }
    }
}

/// The first row that is read of a store.
struct FormatRecord: Equatable, Sendable {
    var version: UInt16
    /// Made as `.scratch`: never synced.
    var isScratch: Bool
    /// A random number that names the store, in what its children carry.
    var storeID: UInt64
    /// Microseconds since 1970.
    var createdAt: Int64
    /// What is sealed is bound to this number: the store's own, or of a backup that of the store it was made of.
    var sealingID: UInt64

    /// - Parameter sealingID: nil: the store's own number.
    init(
        version: UInt16, isScratch: Bool, storeID: UInt64, createdAt: Int64,
        sealingID: UInt64? = nil
    ) {
        self.sealingID = sealingID ?? storeID
        self.version = version
        self.isScratch = isScratch
        self.storeID = storeID
        self.createdAt = createdAt
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= 24, bytes.littleEndian(at: 0, as: UInt32.self) == StoreFormat.magic
        else { throw FormatError("the format record is not one of Petiole's") }
        version = bytes.littleEndian(at: 4)
        isScratch = bytes.littleEndian(at: 6, as: UInt16.self) & 1 != 0
        storeID = bytes.littleEndian(at: 8)
        createdAt = bytes.littleEndian(at: 16)
        let sealing = bytes.count >= 32 ? bytes.littleEndian(at: 24, as: UInt64.self) : 0
        sealingID = sealing == 0 ? storeID : sealing
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 32)
        writer.append(littleEndian: StoreFormat.magic)
        writer.append(littleEndian: version)
        writer.append(littleEndian: UInt16(isScratch ? 1 : 0))
        writer.append(littleEndian: storeID)
        writer.append(littleEndian: createdAt)
        writer.append(littleEndian: sealingID)
        return writer.withBytes { Array($0) }
    }
}

/// Ranges that were written but not published yet: a row of `stages`.
struct StageRecord: Equatable, Sendable {
    var queue: UInt32
    var priority: UInt8
    /// Of their payloads and what lies beside them.
    var byteCount: UInt64 = 0
    var ranges: [(first: UInt64, count: UInt64)] = []

    var jobCount: UInt64 { ranges.reduce(0) { $0 + $1.count } }
    static let headerSize = 16

    static func == (left: StageRecord, right: StageRecord) -> Bool {
        left.queue == right.queue && left.priority == right.priority
            && left.byteCount == right.byteCount
            && left.ranges.elementsEqual(right.ranges, by: ==)
    }

    init(queue: UInt32, priority: UInt8) {
        self.queue = queue
        self.priority = priority
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.headerSize, bytes.count % 16 == 0 else {
            throw FormatError("a stage's row is cut short")
        }
        queue = bytes.littleEndian(at: 0)
        priority = bytes[4]
        byteCount = bytes.littleEndian(at: 8)
        for at in stride(from: Self.headerSize, to: bytes.count, by: 16) {
            ranges.append((bytes.littleEndian(at: at), bytes.littleEndian(at: at + 8)))
        }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: Self.headerSize + ranges.count * 16)
        writer.append(littleEndian: queue)
        writer.append(littleEndian: UInt32(priority))
        writer.append(littleEndian: byteCount)
        for range in ranges {
            writer.append(littleEndian: range.first)
            writer.append(littleEndian: range.count)
        }
        return writer.withBytes { Array($0) }
    }
}
