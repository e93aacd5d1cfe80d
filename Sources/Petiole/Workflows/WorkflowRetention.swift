import PetioleStorage

/// A workflow is kept as a whole: none of its jobs is pruned before it has ended, and that long enough ago.
struct WorkflowRetention {
    private let hasWorkflows: Bool
    /// What becomes of a job that has ended long enough ago.
    enum Fate {
        /// It is no part of a workflow, or that has ended long enough ago as well.
        case goes
        /// Its workflow has not ended, or not long enough ago.
        case stays
        /// Its workflow is stalled: kept apart, as a dead letter is, until that goes.
        case isKeptApart
    }
    /// The one that was asked for last.
    private var last: (token: UInt64, Fate)?

    init(
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) {
        hasWorkflows = try transaction.count(tables.groups) > 0
    }

    /// Whether one of the jobs of a block of outcomes stays for the sake of its workflow.
    mutating func keepsAny(
        of outcomes: OutcomeBlockView, before horizon: Int64,
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Bool {
        guard hasWorkflows else { return false }
        for id in outcomes.first..<outcomes.end {
            guard let block = try Lookup.block(id, transaction, tables) else { continue }
            let fate = try fate(of: id, block, before: horizon, transaction, tables)
            if fate != .goes { return true }
        }
        return false
    }

    mutating func fate(
        of id: UInt64, _ block: JobBlockView, before horizon: Int64,
        _ transaction: borrowing some Transaction & ~Copyable, _ tables: StoreTables
    ) throws(StorageError) -> Fate {
        guard hasWorkflows,
            // What cannot be read is a part of none.
            let entry = try? block.entry(id), entry.meta.flags & JobBlock.hasOptions != 0,
            let member = try? entry.options().workflow
        else { return .goes }
        if let last, last.token == member.token { return last.1 }
        var fate = Fate.goes
        if let workflow = try WorkflowRows.read(member.token, transaction, tables) {
            if !workflow.hasEnded || workflow.endedAt >= horizon {
                fate = .stays
            } else if try Lookup.outcomes(workflow.id, transaction, tables)?
                .stateHint(workflow.id) == .deadLetter
            {
                fate = .isKeptApart
            }
        }
        last = (member.token, fate)
        return fate
    }
}
