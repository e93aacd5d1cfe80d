import PetioleStorage

/// A workflow is kept as a whole: none of its jobs is pruned before it has ended, and that long enough ago.
struct WorkflowRetention {
    private let hasWorkflows: Bool
    /// The one that was asked for last.
    private var last: (token: UInt64, endedAt: Int64)?

    init(
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) {
        hasWorkflows = try transaction.count(tables.groups) > 0
    }

    /// Whether one of the jobs of a block of outcomes stays.
    mutating func keepsAny(
        of outcomes: OutcomeBlockView, before horizon: Int64,
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        guard hasWorkflows else { return false }
        for id in outcomes.first..<outcomes.end {
            if let block = try Lookup.block(id, transaction, tables),
                try isKept(id, block, before: horizon, transaction, tables)
            {
                return true
            }
        }
        return false
    }

    /// Whether a job that has ended stays for the sake of its workflow.
    mutating func isKept(
        _ id: UInt64, _ block: JobBlockView, before horizon: Int64,
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        guard hasWorkflows,
            // What cannot be read is a part of none.
            let entry = try? block.entry(id), entry.meta.flags & JobBlock.hasOptions != 0,
            let member = try? entry.options().workflow
        else { return false }
        if let last, last.token == member.token { return last.endedAt >= horizon }
        let workflow = try WorkflowRows.read(member.token, transaction, tables)
        let endedAt = workflow.map { $0.hasEnded ? $0.endedAt : .max } ?? .min
        last = (member.token, endedAt)
        return endedAt >= horizon
    }
}
