import PetioleStorage

@testable import Petiole

/// Reads every row of a store and says what does not hold together: a job in no place or in two, two outcomes of one job,
/// a row that points nowhere, a counter that does not add up. Nobody may write meanwhile but for jobs in flight.
struct Audit {
    private(set) var problems: [String] = []
    /// Jobs in the log and among those kept, but for staged ones.
    private(set) var jobs: Set<UInt64> = []
    private(set) var outcomes: [UInt64: OutcomeBlock.State] = [:]
    private(set) var active: [UInt64: ActiveRecord] = [:]
    /// Under what each failure is counted.
    private var failures: [UInt64: UInt64] = [:]
    /// Bytes of each job, payload and what lies beside it.
    private var sizes: [UInt64: Int] = [:]
    private var lanes: [LaneRow] = []
    private var sublanes: [LaneRow] = []
    private var places: [UInt64: (queue: UInt32, priority: UInt8)] = [:]
    private var staged: [(first: UInt64, count: UInt64)] = []
    /// Jobs that wait for others of their workflow.
    private var unstarted: Set<UInt64> = []
    private var head: UInt64 = 1
    private var nextJob: UInt64 = 1

    init(_ store: JobStore) throws {
        let tables = store.open.tables
        var audit = Audit()
        try store.open.read { (reader) throws(StorageError) in
            try audit.readStages(reader, tables)
            try audit.readJobs(reader, tables)
            try audit.readOutcomes(reader, tables)
            try audit.checkFailures(reader, tables)
            try audit.readActive(reader, tables)
            try audit.readWorkflows(reader, tables)
            for problem in try AuditedSchedules(reader, tables).problems { audit.note(problem) }
            try audit.readLanes(reader, tables)
            try audit.checkLineage(reader, tables)
            audit.checkPlaces()
            try audit.checkCounters(reader, tables)
        }
        self = audit
    }

    private init() {}

    private mutating func note(_ problem: String) {
        // The first few say enough.
        if problems.count < 20 { problems.append(problem) }
    }

    // MARK: Reading

    private func forEach(
        _ table: Table, _ reader: Reader,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        let cursor = try reader.cursor(table)
        var entry = try cursor.first()
        while let (key, value) = entry {
            try body(key, value)
            entry = try cursor.next()
        }
    }

    private mutating func readStages(_ reader: Reader, _ tables: StoreTables) throws(StorageError) {
        var found: [(first: UInt64, count: UInt64)] = []
        try forEach(tables.stages, reader) { (_, value) throws(StorageError) in
            found += try formatted { () throws(FormatError) in try StageRecord(value) }.ranges
        }
        staged = found
    }

    private mutating func readJobs(_ reader: Reader, _ tables: StoreTables) throws(StorageError) {
        var end: UInt64 = 0
        var audit = self
        for (table, isLog) in [(tables.jobs, true), (tables.kept, false)] {
            try forEach(table, reader) { (key, value) throws(StorageError) in
                let block = try formatted { () throws(FormatError) in
                    try JobBlockView(first: key.bigEndian(at: 0), value: value)
                }
                if isLog, block.first < end { audit.note("block \(block.first) overlaps another") }
                if isLog { end = block.end }
                for id in block.first..<block.end {
                    do throws(FormatError) { _ = try block.entry(id) } catch {
                        audit.note(error.description)
                    }
                    if audit.staged.contains(where: { id >= $0.first && id - $0.first < $0.count })
                    {
                        continue
                    }
                    if !audit.jobs.insert(id).inserted { audit.note("job \(id) is there twice") }
                    audit.places[id] = (block.queue, block.priority)
                    audit.sizes[id] = block.contentSize(id)
                }
            }
        }
        self = audit
    }

    private mutating func readOutcomes(
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) {
        var end: UInt64 = 0
        var audit = self
        // Of dead letters whose block was pruned, one by one.
        try forEach(tables.revised, reader) { (key, value) throws(StorageError) in
            let id: UInt64 = key.bigEndian(at: 0)
            let block = try formatted { () throws(FormatError) in
                try OutcomeBlockView(first: id, value: value)
            }
            do throws(FormatError) {
                let entry = try block.entry(id)
                audit.outcomes[id] = entry.state
                audit.failures[id] = FailureTable.fingerprint(entry)
            } catch { audit.note(error.description) }
        }
        try forEach(tables.outcomes, reader) { (key, value) throws(StorageError) in
            let block = try formatted { () throws(FormatError) in
                try OutcomeBlockView(first: key.bigEndian(at: 0), value: value)
            }
            if block.first < end { audit.note("outcomes from \(block.first) on overlap others") }
            end = block.end
            for id in block.first..<block.end {
                do throws(FormatError) {
                    let entry = try block.entry(id)
                    audit.outcomes[id] = entry.state
                    audit.failures[id] = FailureTable.fingerprint(entry)
                } catch { audit.note(error.description) }
            }
        }
        self = audit
    }

    /// Each kind of failure is counted as often as there are outcomes that have it.
    private mutating func checkFailures(
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) {
        var counts: [UInt64: UInt64] = [:]
        for fingerprint in failures.values { counts[fingerprint, default: 0] += 1 }
        var audit = self
        try forEach(tables.failures, reader) { (key, value) throws(StorageError) in
            let row = try formatted { () throws(FormatError) in try FailureRow(value) }
            let fingerprint: UInt64 = key.bigEndian(at: 0)
            let count = counts.removeValue(forKey: fingerprint) ?? 0
            if row.count != count {
                audit.note("a failure is counted \(row.count) times, and there \(count) times")
            }
            if row.failure.fingerprint != fingerprint {
                audit.note("a failure under another's key")
            }
        }
        if !counts.isEmpty { audit.note("\(counts.count) kinds of failures are not counted") }
        self = audit
    }

    private mutating func readActive(_ reader: Reader, _ tables: StoreTables) throws(StorageError) {
        var audit = self
        var timers: Set<UInt64> = []
        try forEach(tables.timers, reader) { (key, value) throws(StorageError) in
            // The row of an expiry stays until its time.
            if value.first == TimerReason.due.rawValue { timers.insert(key.bigEndian(at: 12)) }
        }
        var parkedRows = 0
        try forEach(tables.active, reader) { (key, value) throws(StorageError) in
            let id: UInt64 = key.bigEndian(at: 0)
            let row = try formatted { () throws(FormatError) in try ActiveRecord(value) }
            audit.active[id] = row
            if audit.outcomes[id] != nil { audit.note("job \(id) has ended and is active") }
            if !audit.jobs.contains(id) { audit.note("active job \(id) is not in the log") }
            let isWorkflow = row.state == .parked && row.parking == .workflow
            if row.state != .ready, !isWorkflow {
                let isPaused =
                    row.state == .parked && (row.parking == .pausedType || row.parking == .held)
                if timers.remove(id) == nil, !isPaused {
                    audit.note("job \(id) waits without a timer")
                }
            }
            if row.state == .parked, !isWorkflow {
                parkedRows += 1
                let key = RecordKey.parked(
                    row.parking, row.queue, row.name, row.position)
                if try reader.value(tables.parked, key) == nil {
                    audit.note("job \(id) is parked nowhere")
                }
            }
            if row.isSuspect {
                parkedRows += 1
                if try reader.value(tables.parked, RecordKey.suspect(row.queue, id)) == nil {
                    audit.note("suspect \(id) has no row")
                }
            }
            if row.isDropped {
                parkedRows += 1
                if try reader.value(tables.parked, RecordKey.dropping(row.queue, id)) == nil {
                    audit.note("job \(id) is to be dropped, and has no row")
                }
            }
        }
        for id in timers { audit.note("a timer of job \(id), which does not wait") }
        try forEach(tables.parked, reader) { (key, value) throws(StorageError) in
            if let row = try formatted({ () throws(FormatError) in
                try LaneRow(parked: (key, value))
            }) {
                audit.sublanes.append(row)
                parkedRows += 1
            } else if let (job, other) = HeldJobs.numbers(key, "w") {
                parkedRows += 1
                let row = audit.active[job]
                if row?.state != .parked || row?.parking != .held {
                    audit.note("job \(job) waits for job \(other), and is not held")
                }
                guard other != HeldJobs.byHand else { return }
                if audit.outcomes[other] != nil, audit.active[other] == nil,
                    try reader.value(tables.parked, HeldJobs.left(other)) == nil
                {
                    audit.note("job \(job) waits for job \(other), which has ended")
                }
                if try reader.value(tables.parked, HeldJobs.follower(other, job)) == nil {
                    audit.note("job \(other) does not know that job \(job) follows it")
                }
            } else if let (other, job) = HeldJobs.numbers(key, "f") {
                parkedRows += 1
                if try reader.value(tables.parked, HeldJobs.wait(job, other)) == nil {
                    audit.note("job \(job) does not wait for job \(other), which it is to follow")
                }
            } else if HeldJobs.numbers(key, "l") != nil {
                parkedRows += 1
            } else if key.count == 13, key[4] == UInt8(ascii: "o") {
                parkedRows += 1
                let id: UInt64 = value.littleEndian(at: 0)
                if audit.active[id]?.holdsKey != true {
                    audit.note("job \(id) holds an ordered key, and does not wait")
                }
            }
        }
        if try reader.count(tables.parked) != parkedRows {
            audit.note("\(try reader.count(tables.parked)) rows are parked, not \(parkedRows)")
        }
        self = audit
    }

    private mutating func readWorkflows(
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) {
        let found = try AuditedWorkflows(jobs, outcomes, active, reader, tables)
        unstarted = found.unstarted
        for problem in found.problems { note(problem) }
    }

    private mutating func readLanes(_ reader: Reader, _ tables: StoreTables) throws(StorageError) {
        let cursor = try reader.cursor(tables.lanes)
        var entry = try cursor.first()
        while let found = entry {
            let row = try formatted { () throws(FormatError) in try LaneRow(found) }
            lanes.append(row)
            entry = try cursor.next()
        }
        lanes += sublanes
    }

    // MARK: Checking

    /// Each job that has not ended is in one place, from which it will run or be ended.
    private mutating func checkPlaces() {
        var ready: [UInt64: Int] = [:]
        for row in lanes {
            for id in row.first..<row.end where outcomes[id] == nil {
                if row.done.contains(where: { $0.first <= id && id < $0.end }) { continue }
                guard jobs.contains(id), let place = places[id] else {
                    // Purged or swept: whoever meets it settles it.
                    continue
                }
                if let active = active[id] {
                    let isHere =
                        active.state == .ready
                        && (active.position == 0 || active.position == row.position)
                    if !isHere { continue }
                }
                if place.queue != row.queue { note("job \(id) lies in another queue's lane") }
                ready[id, default: 0] += 1
            }
        }
        for id in jobs where outcomes[id] == nil {
            let count = ready[id] ?? 0
            if let active = active[id], active.state != .ready {
                if count > 0 { note("job \(id) waits or is parked, and lies in a lane") }
            } else if unstarted.contains(id) {
                if count > 0 { note("job \(id) waits for others, and lies in a lane") }
            } else if count != 1 {
                note("job \(id) lies in its lane \(count) times")
            }
        }
    }

    /// Each row is that of a job that is there, and names jobs whose parent that is, or which are gone.
    private mutating func checkLineage(
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) {
        var audit = self
        try forEach(tables.lineage, reader) { (key, value) throws(StorageError) in
            let parent: UInt64 = key.bigEndian(at: 0)
            if !audit.jobs.contains(parent) {
                audit.note("lineage of job \(parent), which is gone")
            }
            let lineage = try formatted { () throws(FormatError) in try Lineage(value) }
            for range in lineage.ranges {
                for id in range.first..<range.first + range.count where audit.jobs.contains(id) {
                    guard let block = try Lookup.block(id, reader, tables) else { continue }
                    let options = try formatted { () throws(FormatError) in
                        try block.entry(id).options()
                    }
                    if options.parent != parent { audit.note("job \(id) has another parent") }
                }
            }
        }
        self = audit
    }

    private mutating func checkCounters(
        _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) {
        var sum = QueueCounters()
        var total: QueueCounters?
        var unfinishedOfAll: UInt64 = 0
        var audit = self
        try forEach(tables.meta, reader) { (key, value) throws(StorageError) in
            if key.elementsEqual(RecordKey.sequences) {
                let sequences = try formatted { () throws(FormatError) in try Sequences(value) }
                audit.head = sequences.logHead
                audit.nextJob = sequences.nextJob
            }
            guard key.count == 5, key[0] == UInt8(ascii: "c") else { return }
            let one = try formatted { () throws(FormatError) in try QueueCounters(value) }
            let queue: UInt32 = key.bigEndian(at: 1)
            guard queue > 0 else { return total = one }
            audit.checkBytes(one, of: queue)
            unfinishedOfAll += one.unfinished
            sum.bytes += one.bytes
            sum.dropping += one.dropping
            sum.droppingBytes += one.droppingBytes
            sum.dropped += one.dropped
            sum.accepted += one.accepted
            sum.succeeded += one.succeeded
            sum.failed += one.failed
            sum.cancelled += one.cancelled
            sum.deadLetters += one.deadLetters
            sum.expired += one.expired
            sum.discarded += one.discarded
            sum.waiting += one.waiting
            sum.parked += one.parked
        }
        let waiting = audit.active.values.count { $0.state == .waiting }
        let parked =
            audit.active.values.count { $0.state == .parked } + audit.unstarted.count
        let unfinished = audit.jobs.count { audit.outcomes[$0] == nil }
        if sum.waiting != waiting {
            audit.note("\(sum.waiting) are counted to wait, not \(waiting)")
        }
        if sum.parked != parked { audit.note("\(sum.parked) are counted as parked, not \(parked)") }
        if sum.unfinished != unfinished {
            audit.note("\(sum.unfinished) are counted as unfinished, not \(unfinished)")
        }
        // What was pruned or purged stays counted, and what was swept of a stage never was.
        let written = staged.reduce(UInt64(audit.jobs.count)) { $0 + $1.count }
        if audit.head == 1, written + 1 == audit.nextJob {
            for (state, count) in [
                (OutcomeBlock.State.succeeded, sum.succeeded), (.failed, sum.failed),
                (.cancelled, sum.cancelled), (.deadLetter, sum.deadLetters),
                (.expired, sum.expired), (.discarded, sum.discarded), (.dropped, sum.dropped),
            ] {
                let there = audit.outcomes.values.count { $0 == state }
                if count != there { audit.note("\(count) are counted as \(state), not \(there)") }
            }
            if sum.accepted != audit.jobs.count {
                audit.note("\(sum.accepted) are counted as accepted, not \(audit.jobs.count)")
            }
        }
        if let total,
            total.accepted != unfinishedOfAll || total.bytes != sum.bytes
                || total.dropping != sum.dropping || total.droppingBytes != sum.droppingBytes
        {
            audit.note("what the store holds in all is not what its queues do")
        }
        self = audit
    }

    /// What a queue holds in bytes, and what of it is marked to be dropped.
    private mutating func checkBytes(_ counters: QueueCounters, of queue: UInt32) {
        let unfinished = jobs.filter { places[$0]?.queue == queue && outcomes[$0] == nil }
        let bytes = unfinished.reduce(0) { $0 + (sizes[$1] ?? 0) }
        if counters.bytes != bytes {
            note("queue \(queue) is counted to hold \(counters.bytes) bytes, not \(bytes)")
        }
        let marked = active.filter { $0.value.isDropped && $0.value.queue == queue }
        let markedBytes = marked.keys.reduce(0) { $0 + (sizes[$1] ?? 0) }
        if counters.dropping != marked.count || counters.droppingBytes != markedBytes {
            note("\(counters.dropping) are counted to be dropped, not \(marked.count)")
        }
    }
}
