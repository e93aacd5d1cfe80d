import PetioleStorage

/// What a workflow has come to so far: a row of `groups` under its token.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | the job that stands for the workflow |
/// | 8 | 8 | the first of the jobs that it was accepted with |
/// | 16 | 1 | flags: 1 = it has ended, 2 = it is being resumed |
/// | 17 | 1 | how many workflows it lies in |
/// | 18 | 1 | how it is to end when nothing of it runs any more, since somebody has asked for that: an outcome's state; 0: by its plan |
/// | 19 | 1 | 0 |
/// | 20 | 4 | how often it was resumed |
/// | 24 | 8 | jobs |
/// | 32 | 8 | jobs that have ended |
/// | 40 | 8 | of them did not succeed |
/// | 48 | 8 | weight of all jobs |
/// | 56 | 8 | weight of those that have ended |
/// | 64 | 8 | the job whose end ended it before its time; 0: none |
/// | 72 | 8 | when it ended, microseconds since 1970; 0: it has not |
/// | 80 | 8 | jobs that have not ended, without callbacks |
struct WorkflowRecord: Equatable, Sendable {
    var id: UInt64
    var first: UInt64
    var hasEnded = false
    var isResuming = false
    var depth: UInt8 = 0
    var closing: OutcomeBlock.State?
    var resumptions: UInt32 = 0
    var jobs: UInt64 = 0
    var ended: UInt64 = 0
    var failed: UInt64 = 0
    var weight: UInt64 = 0
    var endedWeight: UInt64 = 0
    var cause: UInt64 = 0
    var endedAt: Int64 = 0
    var unfinished: UInt64 = 0

    static let size = 88

    init(id: UInt64, first: UInt64) {
        self.id = id
        self.first = first
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.size else { throw FormatError("a workflow's row is cut short") }
        id = bytes.littleEndian(at: 0)
        first = bytes.littleEndian(at: 8)
        hasEnded = bytes[16] & 1 != 0
        isResuming = bytes[16] & 2 != 0
        depth = bytes[17]
        closing = OutcomeBlock.State(rawValue: bytes[18])
        resumptions = bytes.littleEndian(at: 20)
        jobs = bytes.littleEndian(at: 24)
        ended = bytes.littleEndian(at: 32)
        failed = bytes.littleEndian(at: 40)
        weight = bytes.littleEndian(at: 48)
        endedWeight = bytes.littleEndian(at: 56)
        cause = bytes.littleEndian(at: 64)
        endedAt = bytes.littleEndian(at: 72)
        unfinished = bytes.littleEndian(at: 80)
    }

    func write(to target: UnsafeMutableRawPointer) {
        target.storeLittleEndian(id, at: 0)
        target.storeLittleEndian(first, at: 8)
        let flags: UInt64 =
            (hasEnded ? 1 : 0) | (isResuming ? 2 : 0) | UInt64(depth) << 8
            | UInt64(closing?.rawValue ?? 0) << 16 | UInt64(resumptions) << 32
        target.storeLittleEndian(flags, at: 16)
        target.storeLittleEndian(jobs, at: 24)
        target.storeLittleEndian(ended, at: 32)
        target.storeLittleEndian(failed, at: 40)
        target.storeLittleEndian(weight, at: 48)
        target.storeLittleEndian(endedWeight, at: 56)
        target.storeLittleEndian(cause, at: 64)
        target.storeLittleEndian(endedAt, at: 72)
        target.storeLittleEndian(unfinished, at: 80)
    }
}

/// How far a node of a workflow is: a row of `groups` under token and node, as soon as there is something to say of it.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 1 | state |
/// | 1 | 1 | flags: 1 = those of its jobs that have not started never will |
/// | 2 | 2 | 0 |
/// | 4 | 4 | nodes that it depends on and that have not ended |
/// | 8 | 8 | jobs that have ended; of a join, the job because of which it did not succeed |
/// | 16 | 8 | of them did not succeed; of a scope's exit: how many did not succeed in the scope |
/// | 24 | 16 each | ranges of its jobs, of a node whose jobs do not follow the workflow's first: first id, count |
struct NodeRecord: Equatable, Sendable {
    enum State: UInt8, Sendable {
        /// It waits for those that it depends on.
        case waiting = 0
        /// Its jobs may run.
        case started = 1
        case succeeded = 2
        /// It has ended, and one of its jobs did not succeed.
        case failed = 3
        /// It will not start.
        case cancelled = 4

        var isEnd: Bool { rawValue >= State.succeeded.rawValue }
    }
    var state: State
    var isStopped = false
    var waitsFor: UInt32
    var ended: UInt64 = 0
    var failed: UInt64 = 0
    var ranges: [IDRange] = []

    /// The job because of which a join did not succeed; 0: none.
    var cause: UInt64 {
        get { ended }
        set { ended = newValue }
    }

    static let fixedSize = 24
    var size: Int { Self.fixedSize + ranges.count * 16 }

    /// One that nothing was said of yet.
    init(of node: PlanNode) {
        state = node.dependsOn == 0 && node.kind != .join ? .started : .waiting
        waitsFor = node.dependsOn
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        guard bytes.count >= Self.fixedSize, (bytes.count - Self.fixedSize) % 16 == 0,
            let state = State(rawValue: bytes[0])
        else { throw FormatError("the row of a workflow's node is cut short") }
        self.state = state
        isStopped = bytes[1] & 1 != 0
        waitsFor = bytes.littleEndian(at: 4)
        ended = bytes.littleEndian(at: 8)
        failed = bytes.littleEndian(at: 16)
        for at in stride(from: Self.fixedSize, to: bytes.count, by: 16) {
            let range = IDRange(
                first: bytes.littleEndian(at: at), count: bytes.littleEndian(at: at + 8))
            guard range.count <= .max - range.first else {
                throw FormatError("the row of a workflow's node names no jobs")
            }
            ranges.append(range)
        }
    }

    func write(to target: UnsafeMutableRawPointer) {
        target.storeLittleEndian(UInt32(state.rawValue) | (isStopped ? 256 : 0), at: 0)
        target.storeLittleEndian(waitsFor, at: 4)
        target.storeLittleEndian(ended, at: 8)
        target.storeLittleEndian(failed, at: 16)
        for (index, range) in ranges.enumerated() {
            target.storeLittleEndian(range.first, at: Self.fixedSize + index * 16)
            target.storeLittleEndian(range.count, at: Self.fixedSize + index * 16 + 8)
        }
    }
}

/// Jobs whose ids follow each other.
struct IDRange: Equatable, Sendable {
    var first: UInt64
    var count: UInt64
    /// Also of a row that was changed: less than `first` then, and nothing lies in it.
    var end: UInt64 { first &+ count }
}

extension PlanNode {
    /// The ids of its jobs, in order.
    func ids(of workflow: WorkflowRecord, _ record: NodeRecord) -> [IDRange] {
        switch kind {
        case .join: []
        case .jobs: [IDRange(first: workflow.first &+ firstJob, count: jobs)]
        case .ranges: record.ranges
        }
    }
}

/// The rows of workflows, as they lie in `groups`: under the token what has come of it, under token and node how far that is,
/// the plan under token and a node that there is not; and under 0 and the id of the job that stands for it, the token.
enum WorkflowRows {
    static func token(of id: UInt64) -> Key { Key().appending(UInt64(0)).appending(id) }

    static func workflow(_ token: UInt64) -> Key { Key().appending(token) }
    static func node(_ token: UInt64, _ node: UInt32) -> Key {
        Key().appending(token).appending(node)
    }
    static func plan(_ token: UInt64) -> Key { node(token, PlanFormat.none) }

    static func read(
        _ token: UInt64, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> WorkflowRecord? {
        guard let bytes = try transaction.value(tables.groups, workflow(token)) else { return nil }
        return try formatted { () throws(FormatError) in try WorkflowRecord(bytes) }
    }

    /// - Returns: nil when nothing was said of it yet, or the workflow is gone.
    static func read(
        _ token: UInt64, node index: UInt32, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> NodeRecord? {
        guard let bytes = try transaction.value(tables.groups, node(token, index)) else {
            return nil
        }
        return try formatted { () throws(FormatError) in try NodeRecord(bytes) }
    }

    /// A copy of the plan; nil when the workflow is gone.
    static func readPlan(
        _ token: UInt64, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> WorkflowPlan? {
        guard let bytes = try transaction.value(tables.groups, plan(token)) else { return nil }
        return try formatted { () throws(FormatError) in try WorkflowPlan(copying: bytes) }
    }
}

extension WorkflowRows {
    /// A node of a plan that is not copied.
    static func readNode(
        _ member: WorkflowMember, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> PlanNode? {
        guard let bytes = try transaction.value(tables.groups, plan(member.token)) else {
            return nil
        }
        return try formatted { () throws(FormatError) in
            try WorkflowPlan(inPlace: bytes).node(member.node)
        }
    }

    /// The token of the workflow that a job stands for; nil: it stands for none.
    static func readToken(
        of id: UInt64, _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> UInt64? {
        guard let bytes = try transaction.value(tables.groups, token(of: id)), bytes.count == 8
        else { return nil }
        return bytes.littleEndian(at: 0)
    }

    static func put(
        _ record: WorkflowRecord, _ token: UInt64, _ transaction: inout WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) {
        try transaction.put(tables.groups, workflow(token), count: WorkflowRecord.size) {
            record.write(to: $0)
        }
    }

    static func put(
        _ record: NodeRecord, _ token: UInt64, _ index: UInt32,
        _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        try transaction.put(tables.groups, node(token, index), count: record.size) {
            record.write(to: $0)
        }
    }

    /// Deletes the rows of the workflows that jobs from `first` up to `end` stand for, which are deleted.
    static func remove(
        from first: UInt64, to end: UInt64, except kept: Set<UInt64> = [],
        _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        guard try transaction.count(tables.groups) > 0 else { return }
        var next = first
        while next < end {
            let found: (id: UInt64, token: UInt64)?
            do {
                let cursor = try transaction.cursor(tables.groups)
                guard let (key, value) = try cursor.ceiling(token(of: next)), key.count == 16,
                    key.bigEndian(at: 0, as: UInt64.self) == 0, value.count == 8
                else { return }
                found = (key.bigEndian(at: 8), value.littleEndian(at: 0))
            }
            guard let found, found.id < end else { return }
            if !kept.contains(found.id) {
                try removeKeptApart(found.token, &transaction, tables)
                try removeAll(found.token, &transaction, tables)
                try transaction.delete(tables.groups, token(of: found.id))
            }
            next = found.id + 1
        }
    }

    /// Those of its jobs that pruning kept apart go with it.
    private static func removeKeptApart(
        _ token: UInt64, _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        guard try transaction.count(tables.revised) > 0,
            let workflow = try read(token, transaction, tables),
            let plan = try readPlan(token, transaction, tables), plan.isSound
        else { return }
        var failures: [UInt64: UInt64] = [:]
        for index in 0..<plan.nodeCount {
            let node = try formatted { () throws(FormatError) in try plan.node(index) }
            let record = try read(token, node: index, transaction, tables) ?? NodeRecord(of: node)
            for range in node.ids(of: workflow, record) {
                let cursor = try transaction.cursor(tables.revised)
                while let (key, value) = try cursor.ceiling(Key(range.first)) {
                    let id = try Lookup.id(key)
                    guard id < range.end else { break }
                    let block = try formatted { () throws(FormatError) in
                        try OutcomeBlockView(first: id, value: value)
                    }
                    // One that cannot be read is not counted any more.
                    if let entry = try? block.entry(id),
                        let fingerprint = FailureTable.fingerprint(entry)
                    {
                        failures[fingerprint, default: 0] += 1
                    }
                    try cursor.delete()
                    try transaction.delete(tables.kept, Key(id))
                }
            }
        }
        try FailureTable.forget(failures, &transaction, tables)
    }

    private static func removeAll(
        _ token: UInt64, _ transaction: inout WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let cursor = try transaction.cursor(tables.groups)
        while let (key, _) = try cursor.ceiling(workflow(token)), key.count >= 8,
            key.bigEndian(at: 0, as: UInt64.self) == token
        {
            try cursor.delete()
        }
    }
}
