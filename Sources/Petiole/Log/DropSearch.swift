import PetioleStorage

// Where jobs to drop are looked for
//
// By priority, the lowest first: what waits at a limit, one of each gate in turn, since it was accepted before what still
// lies in the lane; then the lane. Behind all priorities what waits for its time, and what is parked.
//
// A lane is searched from where the last search has ended, so that it does not pass over what has ended there again and
// again; the place is a row of `meta`, and only a hint. A takeover deletes it: rows may have been split off by then. Of a
// sublane the rows themselves shrink by what has ended in front, and so do those of a lane that nobody owns. An owner follows
// its rows in memory and may write the longer one again, whose ids he passes over.

/// Looks for jobs of a queue that may be dropped: see ``Capacity/WhenFull/dropOldest`` for the order.
struct DropSearch {
    struct Found {
        var id: UInt64
        var active: ActiveRecord
        var bytes: UInt64
    }

    private let queue: UInt32
    private let priority: UInt8
    private let wanted: JobLoad
    private let isOwned: Bool
    private let running: Set<UInt64>
    private(set) var found: [Found] = []
    private var load = JobLoad()
    private var looks = 0
    /// What is left is to be read another time.
    private var isStopped = false
    private var places = DropPlaces()
    private var placesAsRead = DropPlaces()
    /// Rows whose front has ended, or will have when what was found has.
    private var fronts: [(row: LaneRow, low: UInt64)] = []

    init(
        queue: UInt32, priority: UInt8, wanted: JobLoad, isOwned: Bool, running: Set<UInt64>
    ) {
        self.queue = queue
        self.priority = priority
        self.wanted = wanted
        self.isOwned = isOwned
        self.running = running
    }

    var hasEnough: Bool { load.covers(wanted) }
    /// Whether there is not enough, and another search would not come further. What waits for its time or is parked is looked
    /// for anew each time: what lies beyond the bound there is not found.
    var isExhausted: Bool {
        if hasEnough || found.count >= Dropping.dropLimit { return false }
        return !isStopped || found.isEmpty && fronts.isEmpty && places == placesAsRead
    }
    private var isAtLimit: Bool { looks >= Dropping.lookLimit }
    private var isOver: Bool {
        hasEnough || found.count >= Dropping.dropLimit || isAtLimit
    }

    mutating func read(
        _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        if let bytes = try transaction.value(tables.meta, RecordKey.dropPlaces(queue)) {
            places = DropPlaces(bytes)
        }
        placesAsRead = places
        let hasParked = try transaction.count(tables.parked) > 0
        var lane = StoreFormat.lowestPriority
        while !isOver, lane >= priority {
            if hasParked { try readSublanes(lane, transaction, tables) }
            if !isOver { try readLane(lane, transaction, tables) }
            if lane == 0 { break }
            lane -= 1
        }
        isStopped = isAtLimit
        if isStopped { return }
        looks = 0
        try readTimers(transaction, tables)
        looks = 0
        if hasParked { try readParked(transaction, tables) }
    }

    // MARK: Ready

    private enum Look {
        /// Nothing of it is left in the row.
        case gone
        case found
        /// It may not be dropped, or is about to end.
        case stays
    }

    private mutating func readLane(
        _ lane: UInt8, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let rows = try transaction.cursor(tables.lanes)
        var place = places.lanes[Int(lane)]
        var entry = try rows.ceiling(RecordKey.lane(queue, lane, place.position))
        var block: JobBlockView?
        while !isOver, let found = entry {
            let row = try formatted { () throws(FormatError) in try LaneRow(found) }
            guard row.queue == queue, row.priority == lane else { break }
            place = DropPlaces.Place(
                position: row.position,
                id: row.position == place.position ? max(row.first, place.id) : row.first)
            try readRow(row, &place.id, &block, upTo: .max, transaction, tables)
            if place.id == row.end { entry = try rows.next() }
        }
        places.lanes[Int(lane)] = place
    }

    /// One of each gate, in turn, as long as there are some.
    private mutating func readSublanes(
        _ lane: UInt8, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let rows = try transaction.cursor(tables.parked)
        let start = RecordKey.sublanes(queue).appending(lane)
        var next = places.gates[Int(lane)].map { RecordKey.sublaneEnd(queue, lane, $0) } ?? start
        var resume: [GateKey: DropPlaces.Place] = [:]
        var block: JobBlockView?
        var hasTurned = false
        var isIdle = true
        while !isOver {
            var row: LaneRow?
            if let found = try rows.ceiling(next) {
                row = try formatted { () throws(FormatError) in try LaneRow(parked: found) }
            }
            guard var row, row.queue == queue, row.priority == lane, let gate = row.gate else {
                // A whole turn, and nothing to drop.
                if hasTurned, isIdle { return }
                hasTurned = true
                isIdle = true
                next = start
                continue
            }
            next = RecordKey.sublaneEnd(queue, lane, gate)
            places.gates[Int(lane)] = gate
            let count = found.count
            var place = resume[gate] ?? DropPlaces.Place(position: row.position, id: row.first)
            // On in its rows until one is found.
            while !isOver, found.count == count, row.gate == gate, row.priority == lane,
                row.queue == queue
            {
                if row.position > place.position {
                    place = DropPlaces.Place(position: row.position, id: row.first)
                }
                if row.position == place.position {
                    place.id = max(place.id, row.first)
                    try readRow(row, &place.id, &block, upTo: 1, transaction, tables)
                }
                if found.count > count { break }
                guard let found = try rows.next(),
                    let other = try formatted({ () throws(FormatError) in
                        try LaneRow(parked: found)
                    })
                else { break }
                row = other
            }
            resume[gate] = place
            if found.count > count { isIdle = false }
        }
    }

    /// Looks at the jobs of a row from an id on.
    private mutating func readRow(
        _ row: LaneRow, _ id: inout UInt64, _ block: inout JobBlockView?, upTo limit: Int,
        _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let most = found.count + min(limit, Dropping.dropLimit)
        let isWhole = id == row.first
        var low = row.first
        while id < row.end, !isOver, found.count < most {
            looks += 1
            let look = try take(id, row, &block, transaction, tables)
            if isWhole, low == id, look == .gone || look == .found && !isOwned { low = id + 1 }
            id += 1
        }
        if low > row.first, row.gate != nil || !isOwned { fronts.append((row, low)) }
    }

    private mutating func take(
        _ id: UInt64, _ row: LaneRow, _ block: inout JobBlockView?,
        _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> Look {
        if row.done.contains(where: { $0.first <= id && id < $0.end }) { return .gone }
        let active = try Lookup.active(id, transaction, tables)
        if let active {
            if active.state != .ready || active.position != 0 && active.position != row.position {
                return .gone
            }
            // On its way out; or to run alone, or at most once and perhaps begun: they are left to that.
            if active.isSuspect || active.isCancelRequested || active.isDropped
                || active.startEpoch != 0
            {
                return .stays
            }
        } else if try Lookup.outcomes(id, transaction, tables) != nil {
            return .gone
        }
        if running.contains(id) { return .stays }
        if block?.contains(id) != true { block = try Lookup.block(id, transaction, tables) }
        guard let block else { return .gone }
        add(
            id, active ?? ActiveRecord(state: .ready, queue: queue, priority: row.priority),
            UInt64(block.contentSize(id)))
        return .found
    }

    private mutating func add(_ id: UInt64, _ active: ActiveRecord, _ bytes: UInt64) {
        found.append(Found(id: id, active: active, bytes: bytes))
        load += JobLoad(jobs: 1, bytes: bytes)
    }

    // MARK: In no lane

    private mutating func readTimers(
        _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let cursor = try transaction.cursor(tables.timers)
        var entry = try cursor.ceiling(RecordKey.timer(queue, 0, 0))
        while !isOver, let (key, value) = entry, key.count == 20,
            key.bigEndian(at: 0, as: UInt32.self) == queue
        {
            looks += 1
            if value.first == TimerReason.due.rawValue {
                try take(key.bigEndian(at: 12), in: .waiting, transaction, tables)
            }
            entry = try cursor.next()
        }
    }

    private mutating func readParked(
        _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        for why in [ActiveRecord.Parking.unknownName, .pausedType, .held] {
            let cursor = try transaction.cursor(tables.parked)
            var entry = try cursor.ceiling(RecordKey.parked(why, queue, 0, 0))
            while !isOver, let (key, value) = entry, key.count == 21, value.count >= 8,
                key.bigEndian(at: 0, as: UInt32.self) == queue, key[4] == why.letter
            {
                looks += 1
                try take(value.littleEndian(at: 0), in: .parked, transaction, tables)
                entry = try cursor.next()
            }
        }
    }

    private mutating func take(
        _ id: UInt64, in state: ActiveRecord.State, _ transaction: borrowing WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) {
        guard let active = try Lookup.active(id, transaction, tables), active.state == state,
            active.priority >= priority, let block = try Lookup.block(id, transaction, tables)
        else { return }
        add(id, active, UInt64(block.contentSize(id)))
    }

    // MARK: Counting

    /// Whether the rows that may be searched hold as many jobs as are wanted, running ones and those that have ended in them
    /// included. Of bytes nothing is said.
    /// - Parameter aside: how many jobs are in no lane.
    /// - Complexity: O(rows), up to where there are enough.
    func mayFindEnough(
        besides aside: UInt64, _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        var jobs = aside
        let lanes = try transaction.cursor(tables.lanes)
        var entry = try lanes.ceiling(RecordKey.lane(queue, priority, 0))
        while jobs < wanted.jobs, let found = entry {
            let row = try formatted { () throws(FormatError) in try LaneRow(found) }
            guard row.queue == queue else { break }
            jobs += row.left
            entry = try lanes.next()
        }
        let parked = try transaction.cursor(tables.parked)
        entry = try parked.ceiling(RecordKey.sublanes(queue).appending(priority))
        while jobs < wanted.jobs, let found = entry {
            let row = try formatted { () throws(FormatError) in try LaneRow(parked: found) }
            guard let row, row.queue == queue else { break }
            jobs += row.left
            entry = try parked.next()
        }
        return jobs >= wanted.jobs
    }

    // MARK: Keeping

    /// Keeps where the search has ended, and shortens rows.
    func write(
        _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        if places != placesAsRead {
            try transaction.put(
                tables.meta, RecordKey.dropPlaces(queue), count: DropPlaces.size
            ) { places.write(to: $0) }
        }
        for (row, low) in fronts {
            if low == row.end {
                let table = row.gate == nil ? tables.lanes : tables.parked
                try transaction.delete(table, row.key)
            } else {
                var rest = row
                rest.first = low
                rest.count = row.end - low
                rest.done = row.done.compactMap { interval in
                    interval.end <= low
                        ? nil
                        : RangeProgress.Interval(
                            first: max(interval.first, low), end: interval.end)
                }
                try rest.put(&transaction, tables)
            }
        }
    }
}

extension LaneRow {
    /// Jobs in it that are not known to be done.
    fileprivate var left: UInt64 {
        done.reduce(count) { $0 &- ($1.end - $1.first) }
    }
}

/// Where the last search for jobs to drop has ended: a row of `meta`, 32 bytes for each priority.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | position of a row of the lane |
/// | 8 | 8 | an id in it |
/// | 16 | 8 | a gate: 0 none, else one more than its kind |
/// | 24 | 8 | the gate's hash |
struct DropPlaces: Equatable {
    struct Place: Equatable {
        var position: UInt64 = 0
        var id: UInt64 = 0
    }

    static let count = Int(StoreFormat.lowestPriority) + 1
    static let size = count * 32

    var lanes = [Place](repeating: Place(), count: count)
    /// The gate that one was found at last.
    var gates = [GateKey?](repeating: nil, count: count)

    init() {}

    /// A hint: what cannot be read is none.
    init(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.size else { return }
        for index in lanes.indices {
            lanes[index] = Place(
                position: bytes.littleEndian(at: index * 32),
                id: bytes.littleEndian(at: index * 32 + 8))
            let word: UInt64 = bytes.littleEndian(at: index * 32 + 16)
            if word > 0, let kind = GateKey.Kind(rawValue: UInt8(clamping: word - 1)) {
                gates[index] = GateKey(kind: kind, hash: bytes.littleEndian(at: index * 32 + 24))
            }
        }
    }

    func write(to target: UnsafeMutableRawPointer) {
        for index in lanes.indices {
            target.storeLittleEndian(lanes[index].position, at: index * 32)
            target.storeLittleEndian(lanes[index].id, at: index * 32 + 8)
            let gate = gates[index]
            target.storeLittleEndian(
                gate.map { UInt64($0.kind.rawValue) + 1 } ?? 0, at: index * 32 + 16)
            target.storeLittleEndian(gate?.hash ?? 0, at: index * 32 + 24)
        }
    }
}
