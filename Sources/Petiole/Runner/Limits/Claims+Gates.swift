import PetioleDispatch
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Jobs that are moved to a gate: from a range that was claimed from, into the gate's sublane.
struct GateMove: Sendable {
    let tag: UInt32
    let first: UInt64
    var count: UInt64
    let gate: GateKey
    let priority: UInt8
}

/// What one claim moves to gates at most, so that who claims is not long about it: 256 runs, in 64 blocks.
struct MoveBudget {
    private(set) var moves: [(queue: Int, move: GateMove)] = []
    private var blocks = 64
    var isSpent: Bool { moves.count >= 256 || blocks <= 0 }

    mutating func look() { blocks -= 1 }

    /// Returns whether it is a move of its own, and not more of the last one.
    mutating func add(_ move: GateMove, queue: Int) -> Bool {
        if let last = moves.last, last.queue == queue, last.move.tag == move.tag,
            last.move.gate == move.gate, last.move.priority == move.priority,
            last.move.first + last.move.count == move.first
        {
            moves[moves.count - 1].move.count += move.count
            return false
        }
        moves.append((queue, move))
        return true
    }
}

// Claims of queues with limits: see `Gates.swift` for the rules.
extension Claims {
    /// A job at the front of a lane or a sublane, with the gates that it has to pass.
    private struct Front {
        let id: UInt64
        /// Up to where the jobs behind it may be taken with it.
        let end: UInt64
        let block: JobBlockView
        let name: UInt32
        var size: Int
        var type: GateKey?
        var key: GateKey?
    }

    /// The next ticket of a queue that some limits bind.
    func nextThroughGates(
        _ state: inout State, _ index: Int, _ reader: Reader, _ core: RunnerCore
    ) throws(StorageError) -> Ticket? {
        let now = store.clock.ticks
        state.queues[index].gates.wake(at: now)
        let idle = state.queues[index].gates.idleOnes()
        if !idle.isEmpty {
            for gate in idle { try dropIfIdle(gate, &state.queues[index], reader, now) }
            state.queues[index].gates.haveSwept()
        }
        try search(&state.queues[index], reader)
        let room = state.queues[index].gates.roomOfQueue(at: now)
        if room == 0 { return nil }
        var ticket: Ticket?
        if state.queues[index].options.ageing != nil,
            let priority = try aged(&state.queues[index], &state.suspectPositions, reader)
        {
            ticket = try take(&state, index, priority, room, reader, core, now)
        }
        var priority = 0
        while ticket == nil,
            let found = try advance(
                &state.queues[index], &state.suspectPositions, reader, from: priority)
        {
            ticket = try take(&state, index, found, room, reader, core, now)
            if ticket != nil { state.queues[index].lanes[found].waitsSince = nil }
            priority = found + 1
        }
        guard var ticket else { return nil }
        state.queues[index].gates.takeOfQueue(ticket.first, count: Int(ticket.count), at: now)
        if state.queues[index].gates.holdsSomething(ticket.first) {
            ticket.tag |= Ticket.wholeBit
        }
        return ticket
    }

    /// Takes a ticket of one priority; nil when nothing of it may start.
    private func take(
        _ state: inout State, _ index: Int, _ priority: Int, _ room: Int, _ reader: Reader,
        _ core: RunnerCore, _ now: Int64
    ) throws(StorageError) -> Ticket? {
        if state.queues[index].lanes[priority].isListed {
            // Whoever lies behind the others in the lane is to have its turn.
            try distribute(&state, index, priority, reader, core, now)
        }
        while true {
            if state.budget.isSpent {
                state.isUnfinished = true
                return nil
            }
            if let key = state.queues[index].gates.nextCandidate(priority) {
                if let ticket = try visit(
                    &state, index, key, UInt8(priority), room, reader, core, now)
                {
                    return ticket
                }
                continue
            }
            guard try hasRange(&state, index, priority, reader) else { return nil }
            if let ticket = try takeFromLane(&state, index, priority, room, reader, core, now) {
                return ticket
            }
        }
    }

    /// Reads the lane's next row when the last one has been read.
    private func hasRange(
        _ state: inout State, _ index: Int, _ priority: Int, _ reader: Reader
    ) throws(StorageError) -> Bool {
        if state.queues[index].lanes[priority].hasCurrent { return true }
        let found = try advance(
            &state.queues[index], &state.suspectPositions, reader, from: priority)
        return found == priority && state.queues[index].lanes[priority].hasCurrent
    }

    /// Moves what is at the front of a lane to its keys, as far as the budget goes.
    private func distribute(
        _ state: inout State, _ index: Int, _ priority: Int, _ reader: Reader, _ core: RunnerCore,
        _ now: Int64
    ) throws(StorageError) {
        while !state.budget.isSpent, try hasRange(&state, index, priority, reader) {
            let current = state.queues[index].lanes[priority].current!
            guard
                let front = try front(
                    &state.queues[index], current, UInt8(priority), reader, core, now),
                let key = front.key, state.queues[index].gates[key]!.rules.isListed,
                state.queues[index].gates[key]!.holder != front.id
            else {
                state.queues[index].lanes[priority].isListed = false
                return
            }
            let count = move(front, from: current, to: key, UInt8(priority), &state, index)
            state.queues[index].lanes[priority].current!.next = front.id + count
        }
    }

    private func takeFromLane(
        _ state: inout State, _ index: Int, _ priority: Int, _ room: Int, _ reader: Reader,
        _ core: RunnerCore, _ now: Int64
    ) throws(StorageError) -> Ticket? {
        let current = state.queues[index].lanes[priority].current!
        state.budget.look()
        guard
            let front = try front(
                &state.queues[index], current, UInt8(priority), reader, core, now)
        else {
            state.queues[index].lanes[priority].current!.next = nextUndone(current) + 1
            return unread(current)
        }
        switch admit(front, nil, UInt8(priority), room, &state.queues[index], now) {
        case .admitted(let count):
            state.queues[index].lanes[priority].current!.next = front.id + UInt64(count)
            return Ticket(first: front.id, count: UInt32(count), tag: current.tag)
        case .waits(let gate):
            if gate.kind == .key, state.queues[index].gates[gate]!.rules.isListed {
                state.queues[index].lanes[priority].isListed = true
            }
            let count = move(front, from: current, to: gate, UInt8(priority), &state, index)
            state.queues[index].lanes[priority].current!.next = front.id + count
            return nil
        case .stays: return nil
        }
    }

    /// Takes a ticket from a gate's sublane; nil when nothing of it may start.
    private func visit(
        _ state: inout State, _ index: Int, _ gate: GateKey, _ priority: UInt8, _ room: Int,
        _ reader: Reader, _ core: RunnerCore, _ now: Int64
    ) throws(StorageError) -> Ticket? {
        while let current = try range(of: gate, priority, &state.queues[index], reader) {
            if state.budget.isSpent {
                // At the next claim.
                state.queues[index].gates.propose(gate, priority)
                return nil
            }
            state.budget.look()
            guard
                let front = try front(
                    &state.queues[index], current, priority, reader, core, now)
            else {
                let next = nextUndone(current) + 1
                state.queues[index].gates.change(gate, priority) { $0.current!.next = next }
                state.queues[index].gates.propose(gate, priority)
                return unread(current)
            }
            switch admit(front, gate, priority, room, &state.queues[index], now) {
            case .admitted(let count):
                let next = front.id + UInt64(count)
                state.queues[index].gates.change(gate, priority) { $0.current!.next = next }
                // Behind the others that wait: they take turns.
                state.queues[index].gates.propose(gate, priority)
                return Ticket(first: front.id, count: UInt32(count), tag: current.tag)
            case .waits(let other) where other != gate:
                let count = move(front, from: current, to: other, priority, &state, index)
                state.queues[index].gates.change(gate, priority) {
                    $0.current!.next = front.id + count
                }
            case .waits, .stays: return nil
            }
        }
        try dropIfIdle(gate, &state.queues[index], reader, now)
        return nil
    }

    /// What is left of a sublane's current row, or its next row.
    private func range(
        of gate: GateKey, _ priority: UInt8, _ queue: inout Queue, _ reader: Reader
    ) throws(StorageError) -> Current? {
        while let sublane = queue.gates[gate]?.sublanes[priority] {
            if let current = sublane.current, nextUndone(current) < current.end { return current }
            let rows = try reader.cursor(store.tables.parked)
            let found = try rows.ceiling(
                RecordKey.sublane(queue.owned.id, priority, gate, sublane.position + 1))
            var row: LaneRow?
            if let found {
                row = try formatted { () throws(FormatError) in try LaneRow(parked: found) }
            }
            guard let row, row.queue == queue.owned.id, row.priority == priority, row.gate == gate
            else {
                queue.gates.change(gate, priority) {
                    $0.current = nil
                    // A move that is committed after this view was opened makes it a candidate anew.
                    $0.hasRows = false
                }
                return nil
            }
            let current = follow(row, after: sublane.position)
            queue.gates.change(gate, priority) {
                $0.position = row.position
                $0.current = current
            }
        }
        return nil
    }

    /// Forgets a gate when nothing of it is left, in memory or on the disk.
    private func dropIfIdle(
        _ gate: GateKey, _ queue: inout Queue, _ reader: Reader, _ now: Int64
    ) throws(StorageError) {
        guard gate.kind == .key, let found = queue.gates[gate], found.isIdle else { return }
        for (priority, sublane) in found.sublanes where sublane.position > 0 {
            if try hasRows(gate, priority, queue, reader) { return }
            queue.gates.change(gate, priority) { $0.position = 0 }
        }
        queue.gates.dropIfIdle(gate, at: now)
    }

    private func hasRows(
        _ gate: GateKey, _ priority: UInt8, _ queue: borrowing Queue, _ reader: Reader
    ) throws(StorageError) -> Bool {
        let rows = try reader.cursor(store.tables.parked)
        let first = RecordKey.sublane(queue.owned.id, priority, gate, 0)
        guard let (found, _) = try rows.ceiling(first), found.count == 23 else { return false }
        return first.withBytes { found.prefix(15).elementsEqual($0.prefix(15)) }
    }

    // MARK: The job in front

    private func nextUndone(_ current: Current) -> UInt64 {
        store.writer.progress[current.tag]?.undone(from: current.next).next ?? current.next
    }

    /// A ticket of one job whose block cannot be read: the attempt finds out what is wrong.
    private func unread(_ current: Current) -> Ticket? {
        let id = nextUndone(current)
        return id < current.end ? Ticket(first: id, count: 1, tag: current.tag) : nil
    }

    /// The next job of a range and its gates, which are made and looked at. Nil when it cannot be read.
    private func front(
        _ queue: inout Queue, _ current: Current, _ priority: UInt8, _ reader: Reader,
        _ core: RunnerCore, _ now: Int64
    ) throws(StorageError) -> Front? {
        let (id, end) =
            store.writer.progress[current.tag]?.undone(from: current.next)
            ?? (current.next, current.end)
        // Damage is the attempt's matter, job by job.
        guard id < current.end, let block = try? Lookup.block(id, reader, store.tables) else {
            return nil
        }
        let name = block.nameHint(id)
        let entry = core.registry.entry(name)?.takeUnretainedValue()
        var front = Front(
            id: id, end: min(end, block.end), block: block, name: name,
            size: core.stepper == nil ? entry?.ticketSize ?? 1 : 1)
        let rules = queue.rules[name]
        if let rules, !rules.type.areNone || queue.gates[.type(name)] != nil {
            front.type = .type(name)
            try use(.type(name), rules.type, priority, &queue, reader, now)
        }
        if let rules, !rules.key.areNone, block.flagsHint(id) & JobBlock.hasLimitKey != 0,
            let key = Self.key(of: id, name, block)
        {
            front.key = key
            try use(key, rules.key, priority, &queue, reader, now)
        }
        let holds =
            [front.type, front.key, .queue].contains {
                $0.map { queue.gates[$0]?.rules.hold } == true
            }
        // An asynchronous job outlives its ticket, and gives back what that one held.
        if holds, entry?.isAsync == true { front.size = 1 }
        return front
    }

    private static func key(of id: UInt64, _ name: UInt32, _ block: JobBlockView) -> GateKey? {
        // A job that is damaged has no key that anybody could rely on: its attempt finds the damage.
        guard let fields = block.optionsHint(id), let bytes = try? JobOptions.limitKey(in: fields)
        else { return nil }
        return .key(bytes, of: name)
    }

    /// Makes a gate with what the store knows of it: whether somebody waits there, and who holds it.
    private func use(
        _ key: GateKey, _ rules: GateRules, _ priority: UInt8, _ queue: inout Queue,
        _ reader: Reader, _ now: Int64
    ) throws(StorageError) {
        queue.gates.use(key, rules, at: now)
        guard try reader.count(store.tables.parked) > 0 else {
            if rules.isOrdered, !queue.gates[key]!.knowsHolder { queue.gates.hold(key, by: nil) }
            return queue.gates.open(key, priority, hasRows: false)
        }
        if rules.isOrdered, !queue.gates[key]!.knowsHolder {
            let row = try reader.value(
                store.tables.parked, RecordKey.holder(queue.owned.id, key))
            let holder: UInt64? = row.flatMap { $0.count < 8 ? nil : $0.littleEndian(at: 0) }
            queue.gates.hold(key, by: holder)
        }
        guard queue.gates[key]!.sublanes[priority] == nil else { return }
        let hasRows = try hasRows(key, priority, queue, reader)
        queue.gates.open(key, priority, hasRows: hasRows)
        if hasRows { queue.gates.propose(key, priority) }
    }

    private func admit(
        _ front: Front, _ from: GateKey?, _ priority: UInt8, _ room: Int, _ queue: inout Queue,
        _ now: Int64
    ) -> Gates.Admission {
        var count = min(front.size, room)
        if count > 1 {
            let isHeld = front.type == nil && queue.gates[.queue]?.rules.hold == true
            let alike: Alike = front.key != nil ? .key : isHeld ? .name : .gates
            count = run(front, upTo: count, by: alike, queue)
        }
        return queue.gates.admit(
            front.id, count: count, type: front.type, key: front.key, priority: priority,
            from: from, at: now)
    }

    private enum Alike {
        /// The same name.
        case name
        /// The same name and key.
        case key
        /// The same name and no key; or any names that no limits bind.
        case gates
    }

    /// How many jobs from the front on are alike, at most `limit`.
    private func run(
        _ front: Front, upTo limit: Int, by alike: Alike, _ queue: borrowing Queue
    ) -> Int {
        let end = min(front.end, front.id + UInt64(limit))
        var id = front.id + 1
        let options = alike == .key ? front.block.optionsHint(front.id) : nil
        loop: while id < end {
            let name = front.block.nameHint(id)
            switch alike {
            case .name: if name != front.name { break loop }
            case .key:
                guard name == front.name,
                    front.block.flagsHint(id) & JobBlock.hasLimitKey != 0
                else { break loop }
                // Those that were accepted together mostly have the same options.
                if let options, let others = front.block.optionsHint(id),
                    isSame(options, others)
                {
                    break
                }
                guard Self.key(of: id, name, front.block) == front.key else { break loop }
            case .gates:
                if front.type == nil {
                    if name != front.name, queue.rules[name] != nil { break loop }
                } else if name != front.name {
                    break loop
                }
                if front.block.flagsHint(id) & JobBlock.hasLimitKey != 0,
                    queue.rules[name]?.key.areNone == false
                {
                    break loop
                }
            }
            id += 1
        }
        return Int(id - front.id)
    }

    private func isSame(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        one.count == other.count
            && (one.isEmpty || memcmp(one.baseAddress!, other.baseAddress!, one.count) == 0)
    }

    // MARK: Moves

    /// Moves the job in front and those behind it that are alike to a gate. Returns how many.
    private func move(
        _ front: Front, from current: Current, to gate: GateKey, _ priority: UInt8,
        _ state: inout State, _ index: Int
    ) -> UInt64 {
        let count = UInt64(
            run(front, upTo: .max >> 1, by: gate.kind == .key ? .key : .name, state.queues[index]))
        let move = GateMove(
            tag: current.tag, first: front.id, count: count, gate: gate, priority: priority)
        if state.budget.add(move, queue: index) {
            state.queues[index].gates.change(gate, priority) { $0.moves += 1 }
        }
        if let holder = state.queues[index].gates[gate]!.holder, holder >= front.id,
            holder < front.id + count
        {
            // It comes behind others of its key now, and must not keep them waiting: see `LogCommit`.
            state.queues[index].gates.hold(gate, by: nil)
        }
        return count
    }

    /// Hands the moves of a claim to the writer, in the order in which they were decided: under the lock of the claims.
    func submitMoves(_ state: inout State, _ core: RunnerCore) {
        guard !state.budget.moves.isEmpty else { return }
        for index in state.queues.indices {
            let moves = state.budget.moves.filter { $0.queue == index }.map { $0.move }
            if moves.isEmpty { continue }
            let queue = state.queues[index].owned
            state.movesUnderWay += 1
            state.writings += 1
            let submission = OutcomeSubmission(queue, OutcomeBlockBuilder())
            submission.moves = moves
            submission.whenDurable = { [self] _ in
                haveMoved(moves, queue.id)
                core.pool.lookAgain()
            }
            store.writer.submit(submission)
        }
        state.budget = MoveBudget()
    }

    /// On the writer's thread: what was moved is there.
    private func haveMoved(_ moves: [GateMove], _ queue: UInt32) {
        let commit = store.environment.usage.lastCommit
        state.withLock { state in
            state.newestView = max(state.newestView, commit)
            state.movesUnderWay -= 1
            // The queue may have been given up meanwhile.
            guard let index = state.queues.firstIndex(where: { $0.owned.id == queue }) else {
                return
            }
            for move in moves {
                state.queues[index].gates.change(move.gate, move.priority) {
                    $0.moves -= 1
                    $0.hasRows = true
                }
                state.queues[index].gates.propose(move.gate, move.priority)
            }
        }
    }

    // MARK: What waits since before our time

    /// Looks for sublanes that another owner has left, 64 at a time and not before those found are visited.
    private func search(_ queue: inout Queue, _ reader: Reader) throws(StorageError) {
        guard var next = queue.search else { return }
        guard try reader.count(store.tables.parked) > 0 else { return queue.search = nil }
        if queue.gates.candidates.contains(where: { !$0.isEmpty }) { return }
        let rows = try reader.cursor(store.tables.parked)
        for _ in 0..<64 {
            var row: LaneRow?
            if let found = try rows.ceiling(next) {
                row = try formatted { () throws(FormatError) in try LaneRow(parked: found) }
            }
            guard let row, row.queue == queue.owned.id, let gate = row.gate else {
                return queue.search = nil
            }
            // Its rules are found with its first job.
            if queue.gates[gate] == nil { queue.gates.use(gate, GateRules(), at: 0) }
            queue.gates.open(gate, row.priority, hasRows: true)
            queue.gates.propose(gate, row.priority)
            next = RecordKey.sublaneEnd(row.queue, row.priority, gate)
        }
        queue.search = next
    }

    // MARK: Limits

    /// Reads what limits hold in a queue: those of the program, and in their place those that were set.
    func lookAtLimits(
        _ queue: inout Queue, _ reader: Reader, _ core: RunnerCore
    ) throws(StorageError) {
        var whole = GateRules(concurrency: queue.options.concurrency, rate: queue.options.rate)
        var rules = core.registry.limits
        for (name, limits) in try SetLimits.read(queue.owned.id, reader, store.tables) {
            if let name {
                rules[name] = limits.rules
            } else {
                whole = limits.rules.type
            }
        }
        queue.rules = rules
        let now = store.clock.ticks
        if !whole.areNone || queue.gates[.queue] != nil { queue.gates.use(.queue, whole, at: now) }
        for (key, gate) in queue.gates.gates {
            // Who waited for its next attempt may have ended otherwise.
            if let holder = gate.holder {
                let hasEnded = try Lookup.outcomes(holder, reader, store.tables) != nil
                let isGone = try Lookup.block(holder, reader, store.tables) == nil
                if hasEnded || isGone { queue.gates.hold(key, by: nil) }
            }
            queue.gates.awaken(key)
        }
    }

    // MARK: What comes back

    /// A ticket that held something has ended.
    /// - Returns: whether somebody may start who could not before.
    func end(_ first: UInt64, queue: UInt32, _ end: TicketHold.End) -> Bool {
        let now = store.clock.ticks
        return state.withLock { state in
            guard let index = state.queues.firstIndex(where: { $0.owned.id == queue }) else {
                return false
            }
            return state.queues[index].gates.end(first, end, at: now)
        }
    }

    /// What is left of a ticket is given back; what it holds stays with it.
    func rename(_ first: UInt64, to id: UInt64, queue: UInt32) {
        state.withLock { state in
            guard let index = state.queues.firstIndex(where: { $0.owned.id == queue }) else {
                return
            }
            state.queues[index].gates.rename(first, to: id)
        }
    }

    /// A job that ran alone, past all gates, keeps its ordered key while it waits for its next attempt. Returns whether it has one.
    func keep(_ key: GateKey, of name: UInt32, by id: UInt64, queue: UInt32) -> Bool {
        let now = store.clock.ticks
        return state.withLock { state in
            guard let index = state.queues.firstIndex(where: { $0.owned.id == queue }),
                let rules = state.queues[index].rules[name]?.key, rules.isOrdered
            else { return false }
            state.queues[index].gates.use(key, rules, at: now)
            state.queues[index].gates.hold(key, by: id)
            return true
        }
    }

    /// The ordered key that a ticket holds.
    func orderedKey(of first: UInt64, queue: UInt32) -> GateKey? {
        state.withLock { state in
            state.queues.first { $0.owned.id == queue }?.gates.orderedKey(of: first)
        }
    }

    /// Whether a claim has found that somebody is to be woken earlier than was known before. Told once.
    func hasEarlierSleeper() -> Bool {
        state.withLock { state in
            var isSo = false
            for index in state.queues.indices where state.queues[index].gates.hasEarlierSleeper {
                state.queues[index].gates.hasEarlierSleeper = false
                isSo = true
            }
            return isSo
        }
    }

    /// When the next token of any gate is there, nanoseconds of the steady clock.
    var nextToken: Int64? {
        state.withLock { state in state.queues.compactMap { $0.gates.sleepers.next }.min() }
    }
}
