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
        guard hasWorkflows, let member = Self.member(id, block) else { return .goes }
        if let last, last.token == member.token { return last.1 }
        var fate = Fate.goes
        var next: WorkflowMember? = member
        // From the innermost outwards: what one of them gave way to is needed as long as that one is.
        for _ in 0...WorkflowLimits.nesting {
            guard fate == .goes, let member = next,
                let workflow = try WorkflowRows.read(member.token, transaction, tables)
            else { break }
            if !workflow.hasEnded || workflow.endedAt >= horizon {
                fate = .stays
            } else if try Lookup.outcomes(workflow.id, transaction, tables)?
                .stateHint(workflow.id) == .deadLetter
            {
                fate = .isKeptApart
            }
            next = try Lookup.block(workflow.id, transaction, tables)
                .flatMap { Self.member(workflow.id, $0) }
        }
        last = (member.token, fate)
        return fate
    }

    private static func member(_ id: UInt64, _ block: JobBlockView) -> WorkflowMember? {
        // What cannot be read is a part of none.
        guard let entry = try? block.entry(id), entry.meta.flags & JobBlock.hasOptions != 0 else {
            return nil
        }
        // As above.
        return try? entry.options().workflow
    }
}
