// Gates
//
// A gate stands for what a limit binds. Who claims asks the gates of a job whether it may start; a job that may not is moved out
// of its lane into the *sublane* of the gate that is shut, on the disk, so that what comes behind it goes on. A gate that
// opens becomes a candidate of each lane in which something waits at it, and candidates go before what the lane still has.
//
// | arrow | when |
// |---|---|
// | lane → runs | all gates are open, and nobody waits at them |
// | lane → sublane of the type | something waits at the type already, or the type is shut |
// | lane → sublane of the key | the key is fair or ordered; or something waits at the key already, or the key is shut |
// | sublane of the type → sublane of the key | as above, when it comes to the front |
// | sublane → runs | its gate has become a candidate, and all gates are open |
//
// Jobs go from the lane to the type to the key, each step in order, and none goes back: so at each gate they come in the order
// of the lane. A job that waits at a key whose type is shut stays there; the key waits at the type.
//
// Jobs of an ordered key always go through its sublane: there the one that runs lies before the others until its outcome is
// recorded, so that after a crash it is found before them. One that has failed comes back through the lane, and is let through
// as the key's holder.
//
// All of this is in memory, but for the rows of the sublanes and the holders of ordered keys: counts cannot leak in a crash.

/// Who may start in one queue. Decides and counts; reads and writes no store. Guarded by the lock of the claims.
struct Gates {
    /// What waits at a gate in one lane.
    struct Sublane {
        /// Whether there are rows beyond `position`, as far as is known.
        var hasRows: Bool
        /// Moves into it that are not committed yet.
        var moves = 0
        /// The position of the row that was read last; 0: there are none that were read.
        var position: UInt64 = 0
        var current: Claims.Current?
        /// Whether it waits for its type.
        var isWaiting = false
        /// Whether it is among the lane's candidates.
        var isCandidate = false
        var hasCurrent: Bool { current.map { $0.next < $0.end } ?? false }
        /// Whether who comes now comes behind somebody.
        var isOccupied: Bool { hasRows || hasCurrent || moves > 0 }
    }

    struct Gate {
        var rules: GateRules
        /// Tickets that have been let through and have not ended.
        var running = 0
        var bucket: TokenBucket?
        /// Of an ordered key: the job that waits for its next attempt.
        var holder: UInt64?
        /// Whether the store was asked who holds it.
        var knowsHolder = false
        /// By priority: those looked at so far.
        var sublanes: [UInt8: Sublane] = [:]
        /// Keys that wait for this type, with the lanes that they wait in.
        var waiters: [(key: GateKey, priority: UInt8)] = []
        var isAsleep = false

        init(_ rules: GateRules) { self.rules = rules }

        /// Whether nothing runs and nothing waits. Rows that were read may still be there: until what they name is recorded.
        var isIdle: Bool {
            running == 0 && holder == nil && !isAsleep
                && !sublanes.values.contains { $0.isOccupied || $0.isCandidate }
        }

        /// How many jobs may start: as one ticket, when it holds a place.
        mutating func room(for id: UInt64, at now: Int64) -> Int {
            if let holder, holder != id { return 0 }
            // Tickets of the holder itself that run are of rows that it has left behind: they pass over it.
            let isOwn = holder == id && rules.isOrdered
            if let concurrency = rules.concurrency, running >= concurrency, !isOwn { return 0 }
            if let tokens = bucket?.tokens(at: now), tokens < 1 { return 0 }
            if rules.isOrdered { return 1 }
            return bucket?.tokens(at: now) ?? .max
        }
    }

    private(set) var gates: [GateKey: Gate] = [:]
    /// Gates to visit, by priority, in turn.
    private(set) var candidates = [Turns](
        repeating: Turns(), count: Int(StoreFormat.lowestPriority) + 1)
    private(set) var sleepers = Sleepers()
    /// Whether somebody is to be woken earlier than was known before.
    var hasEarlierSleeper = false
    /// What tickets hold, by their first id: one set for each ticket, of which there are two where a job is met in a row that
    /// it has left behind.
    private var holds: [UInt64: [[GateKey]]] = [:]
    private let startedAt: Int64
    /// The number of gates from which on idle ones are looked for.
    private var sweepAt = 1_024

    init(startedAt: Int64) { self.startedAt = startedAt }

    subscript(key: GateKey) -> Gate? { gates[key] }
    var isEmpty: Bool { gates.isEmpty }

    /// Makes a gate, or changes the rules of one.
    mutating func use(_ key: GateKey, _ rules: GateRules, at now: Int64) {
        guard var gate = gates[key] else {
            var gate = Gate(rules)
            gate.bucket = rules.rate.map { TokenBucket($0, emptyAt: startedAt) }
            gates[key] = gate
            return
        }
        guard gate.rules != rules else { return }
        gate.rules = rules
        switch (rules.rate, gate.bucket) {
        case (nil, _): gate.bucket = nil
        case (let rate?, nil): gate.bucket = TokenBucket(rate, emptyAt: now)
        case (let rate?, _): gate.bucket!.change(to: rate, at: now)
        }
        // Until when it was to sleep was the old rate's. What is left of that wakes it once for nothing.
        gate.isAsleep = false
        gates[key] = gate
        awaken(key)
    }

    /// What is known of a sublane that is looked at for the first time.
    mutating func open(_ key: GateKey, _ priority: UInt8, hasRows: Bool) {
        guard gates[key]!.sublanes[priority] == nil else { return }
        gates[key]!.sublanes[priority] = Sublane(hasRows: hasRows)
    }

    mutating func hold(_ key: GateKey, by holder: UInt64?) {
        gates[key]!.holder = holder
        gates[key]!.knowsHolder = true
    }

    // MARK: Letting through

    enum Admission: Equatable {
        /// So many may start.
        case admitted(Int)
        /// They wait in this gate's sublane.
        case waits(at: GateKey)
        /// They stay where they are: the key waits for its type.
        case stays
    }

    /// Decides about jobs that come next, all of one type and one key. The gates are there, and their sublanes of this priority
    /// looked at.
    /// - Parameters:
    ///   - from: in whose sublane they lie; nil: in the lane.
    ///   - count: how many are wanted.
    mutating func admit(
        _ id: UInt64, count: Int, type: GateKey?, key: GateKey?, priority: UInt8,
        from: GateKey?, at now: Int64
    ) -> Admission {
        // Whom the others of its key wait for does not wait behind them.
        let comesLast = key.map { from != $0 && gates[$0]!.holder != id } ?? false
        if let key, comesLast, gates[key]!.rules.isListed { return .waits(at: key) }
        if let type, from == nil, isOccupied(type, priority) { return .waits(at: type) }
        if let key, comesLast, isOccupied(key, priority) { return .waits(at: key) }
        var room = count
        if let key {
            room = min(room, gates[key]!.room(for: id, at: now))
            if room == 0 {
                sleepIfDrained(key, at: now)
                return .waits(at: key)
            }
        }
        if let type {
            room = min(room, gates[type]!.room(for: id, at: now))
            if room == 0 {
                sleepIfDrained(type, at: now)
                guard let key, from == key else { return .waits(at: type) }
                if gates[key]!.sublanes[priority]?.isWaiting == false {
                    gates[key]!.sublanes[priority]!.isWaiting = true
                    gates[type]!.waiters.append((key, priority))
                }
                return .stays
            }
        }
        let passed = [type, key].compactMap { $0 }
        for gate in passed { gates[gate]!.bucket?.take(room, at: now) }
        let held = passed.filter { gates[$0]!.rules.hold }
        for gate in held { gates[gate]!.running += 1 }
        if !held.isEmpty { holds[id, default: []].append(held) }
        return .admitted(room)
    }

    /// Whether the whole queue may start another ticket; how many jobs it may have.
    mutating func roomOfQueue(at now: Int64) -> Int {
        guard var gate = gates[.queue] else { return .max }
        let room = gate.room(for: 0, at: now)
        gates[.queue] = gate
        if room == 0 { sleepIfDrained(.queue, at: now) }
        return room
    }

    /// A ticket was cut from a queue with limits of its own.
    mutating func takeOfQueue(_ first: UInt64, count: Int, at now: Int64) {
        guard gates[.queue] != nil else { return }
        gates[.queue]!.bucket?.take(count, at: now)
        guard gates[.queue]!.rules.hold else { return }
        gates[.queue]!.running += 1
        guard let last = holds[first]?.indices.last else { return holds[first] = [[.queue]] }
        holds[first]![last].append(.queue)
    }

    /// A job that began past all gates goes on beside others, and holds a place at these.
    /// - Returns: whether it holds any.
    mutating func take(_ keys: [GateKey], by first: UInt64) -> Bool {
        let held = keys.filter { key in
            gates[key].map { $0.rules.concurrency != nil && !$0.rules.isOrdered } ?? false
        }
        for key in held { gates[key]!.running += 1 }
        if !held.isEmpty { holds[first, default: []].append(held) }
        return !held.isEmpty
    }

    private func isOccupied(_ key: GateKey, _ priority: UInt8) -> Bool {
        gates[key]!.sublanes[priority]?.isOccupied ?? false
    }

    func holdsSomething(_ first: UInt64) -> Bool { holds[first] != nil }

    /// The ordered key among what a ticket holds.
    func orderedKey(of first: UInt64) -> GateKey? {
        holds[first]?.joined().first { gates[$0]!.rules.isOrdered }
    }

    // MARK: Coming back

    /// What a ticket held is free again.
    /// - Returns: whether somebody may start who could not before.
    mutating func end(_ first: UInt64, _ end: TicketHold.End, at now: Int64) -> Bool {
        guard let held = holds[first]?.popLast() else { return false }
        if holds[first]!.isEmpty { holds[first] = nil }
        for key in held {
            gates[key]!.running -= 1
            if gates[key]!.rules.isOrdered, end != .passedOver {
                hold(key, by: end == .waits ? first : nil)
            }
            awaken(key)
            dropIfIdle(key, at: now)
        }
        return held.contains(.queue) || candidates.contains { !$0.isEmpty }
    }

    /// What is left of a ticket was given back.
    mutating func rename(_ first: UInt64, to id: UInt64) {
        guard first != id, let held = holds.removeValue(forKey: first) else { return }
        holds[id, default: []] += held
    }

    /// A gate may have opened: who waits at it is a candidate.
    mutating func awaken(_ key: GateKey) {
        guard let gate = gates[key] else { return }
        for (priority, sublane) in gate.sublanes where sublane.isOccupied {
            propose(key, priority)
        }
        if !gate.waiters.isEmpty {
            gates[key]!.waiters = []
            for (key, priority) in gate.waiters {
                gates[key]?.sublanes[priority]?.isWaiting = false
                propose(key, priority)
            }
        }
    }

    /// Puts a gate behind the other candidates of a lane.
    mutating func propose(_ key: GateKey, _ priority: UInt8) {
        guard gates[key]?.sublanes[priority]?.isCandidate == false else { return }
        gates[key]!.sublanes[priority]!.isCandidate = true
        candidates[Int(priority)].append(key)
    }

    /// The next gate to visit in a lane.
    mutating func nextCandidate(_ priority: Int) -> GateKey? {
        guard let key = candidates[priority].popFirst() else { return nil }
        gates[key]?.sublanes[UInt8(priority)]?.isCandidate = false
        return key
    }

    mutating func change(
        _ key: GateKey, _ priority: UInt8, _ body: (inout Sublane) -> Void
    ) {
        body(&gates[key]!.sublanes[priority]!)
    }

    // MARK: Time

    /// Gates whose bucket has a token again are candidates.
    mutating func wake(at now: Int64) {
        while let key = sleepers.popDue(at: now) {
            gates[key]?.isAsleep = false
            awaken(key)
        }
    }

    private mutating func sleepIfDrained(_ key: GateKey, at now: Int64) {
        guard gates[key]!.bucket != nil, !gates[key]!.isAsleep,
            gates[key]!.bucket!.tokens(at: now) < 1
        else { return }
        gates[key]!.isAsleep = true
        let until = gates[key]!.bucket!.nextToken(at: now)
        if until < sleepers.next ?? .max { hasEarlierSleeper = true }
        sleepers.add(key, until: until)
    }

    // MARK: Forgetting

    /// A gate of a key at which nothing runs and nothing waits is as one that was never made. But for one whose rows may be
    /// there still: their jobs have ended and are not recorded yet, and who read the rows anew would run them again.
    mutating func dropIfIdle(_ key: GateKey, at now: Int64) {
        guard key.kind == .key, var gate = gates[key], gate.isIdle,
            gate.sublanes.values.allSatisfy({ $0.position == 0 }),
            gate.bucket?.isFull(at: now) ?? true
        else { return }
        gates[key] = nil
    }

    /// Gates to look at, when they have become many: idle ones whose rows may be gone by now.
    mutating func idleOnes() -> [GateKey] {
        guard gates.count > sweepAt else { return [] }
        return gates.compactMap { $0.key.kind == .key && $0.value.isIdle ? $0.key : nil }
    }

    mutating func haveSwept() { sweepAt = max(1_024, gates.count * 2) }
}

/// Keys in the order in which they came.
struct Turns {
    private var items: [GateKey] = []
    private var head = 0
    var isEmpty: Bool { head == items.count }
    mutating func append(_ key: GateKey) { items.append(key) }
    mutating func popFirst() -> GateKey? {
        guard head < items.count else { return nil }
        defer {
            head += 1
            // Half of it is behind us: each key is moved once for each that was taken.
            if head * 2 > items.count {
                items.removeFirst(head)
                head = 0
            }
        }
        return items[head]
    }
}

/// Gates that wait for their next token: a binary heap by time.
struct Sleepers {
    private var heap: [(until: Int64, key: GateKey)] = []
    var next: Int64? { heap.first?.until }

    mutating func add(_ key: GateKey, until: Int64) {
        heap.append((until, key))
        var at = heap.count - 1
        while at > 0, heap[at].until < heap[(at - 1) / 2].until {
            heap.swapAt(at, (at - 1) / 2)
            at = (at - 1) / 2
        }
    }

    mutating func popDue(at now: Int64) -> GateKey? {
        guard let first = heap.first, first.until <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var at = 0
        while true {
            var least = at
            for child in [2 * at + 1, 2 * at + 2]
            where child < heap.count && heap[child].until < heap[least].until {
                least = child
            }
            if least == at { break }
            heap.swapAt(at, least)
            at = least
        }
        return first.key
    }
}
