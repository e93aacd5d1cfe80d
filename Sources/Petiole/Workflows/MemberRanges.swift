import PetioleStorage

/// Which jobs are part of which workflow, by their ids: for those that cannot be read themselves, and so do not say it.
struct MemberRanges {
    /// In the order of the ids.
    private var list: [(range: IDRange, member: WorkflowMember)] = []

    /// Looks through all workflows; what cannot be read of them is passed over, and says itself that it is damaged. O(steps of
    /// all workflows).
    init(
        _ transaction: borrowing WriteTransaction, _ tables: StoreTables
    ) throws(StorageError) {
        let cursor = try transaction.cursor(tables.groups)
        var entry = try cursor.first()
        while let (key, value) = entry {
            // Passed over, as all that cannot be read here.
            if key.count == 8, let workflow = try? WorkflowRecord(value) {
                try add(key.bigEndian(at: 0), workflow, transaction, tables)
            }
            entry = try cursor.next()
        }
        list.sort { $0.range.first < $1.range.first }
    }

    private mutating func add(
        _ token: UInt64, _ workflow: WorkflowRecord, _ transaction: borrowing WriteTransaction,
        _ tables: StoreTables
    ) throws(StorageError) {
        // What cannot be read says itself that it is damaged.
        guard let bytes = try transaction.value(tables.groups, WorkflowRows.plan(token)),
            let plan = try? WorkflowPlan(inPlace: bytes), plan.isSound
        else { return }
        for index in 0..<plan.nodeCount {
            // As above, and so below.
            guard let node = try? plan.node(index) else { continue }
            let row = try transaction.value(tables.groups, WorkflowRows.node(token, index))
            guard let record = row == nil ? NodeRecord(of: node) : try? NodeRecord(row!) else {
                continue
            }
            let member = WorkflowMember(token: token, node: index, isAlone: node.jobs == 1)
            for range in node.ids(of: workflow, record) { list.append((range, member)) }
        }
    }

    func member(_ id: UInt64) -> WorkflowMember? {
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if list[middle].range.first <= id { low = middle + 1 } else { high = middle }
        }
        guard low > 0, id < list[low - 1].range.end else { return nil }
        return list[low - 1].member
    }
}

extension CommitState {
    /// The workflow whose part a job is that cannot be read; nil: it is a part of none.
    mutating func unreadableMember(
        _ id: UInt64, _ transaction: borrowing WriteTransaction
    ) throws(StorageError) -> WorkflowMember? {
        if memberRanges == nil { memberRanges = try MemberRanges(transaction, tables) }
        return memberRanges?.member(id)
    }
}
