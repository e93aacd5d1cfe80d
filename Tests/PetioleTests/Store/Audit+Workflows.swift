import PetioleStorage

@testable import Petiole

/// What a store holds of workflows, and whether it holds together.
struct AuditedWorkflows {
    /// Jobs that wait for others of their workflow, and so lie in no lane.
    private(set) var unstarted: Set<UInt64> = []
    private(set) var problems: [String] = []

    init(
        _ jobs: Set<UInt64>, _ outcomes: [UInt64: OutcomeBlock.State],
        _ active: [UInt64: ActiveRecord], _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) {
        guard try reader.count(tables.groups) > 0 else { return }
        for id in jobs where outcomes[id] == nil && active[id] == nil {
            if let block = try Lookup.block(id, reader, tables),
                try UnstartedJobs.isUnstarted(id, block, reader, tables)
            {
                unstarted.insert(id)
            }
        }
        let cursor = try reader.cursor(tables.groups)
        var entry = try cursor.first()
        while let (key, _) = entry {
            let token: UInt64 = key.bigEndian(at: 0)
            if key.count == 8 {
                try check(token, jobs, outcomes, active, reader, tables)
            } else if token == 0 {
                let id: UInt64 = key.bigEndian(at: 8)
                if !jobs.contains(id) { problems.append("workflow of job \(id), which is gone") }
            }
            entry = try cursor.next()
        }
    }

    private mutating func check(
        _ token: UInt64, _ jobs: Set<UInt64>, _ outcomes: [UInt64: OutcomeBlock.State],
        _ active: [UInt64: ActiveRecord], _ reader: Reader, _ tables: StoreTables
    ) throws(StorageError) {
        guard let workflow = try WorkflowRows.read(token, reader, tables),
            let plan = try WorkflowRows.readPlan(token, reader, tables)
        else { return problems.append("a workflow without a plan") }
        let id = workflow.id
        if !plan.isSound { problems.append("the plan of workflow \(id) has a wrong checksum") }
        if try WorkflowRows.readToken(of: id, reader, tables) != token {
            problems.append("workflow \(id) is not found by its job")
        }
        let stands = active[id]?.parking == .workflow && active[id]?.position == token
        if workflow.hasEnded == (outcomes[id] == nil) {
            problems.append("workflow \(id) has ended and its job has not, or the other way")
        }
        if !workflow.hasEnded, !stands { problems.append("job \(id) does not await its workflow") }
        if workflow.isResuming { return }
        var ended: UInt64 = 0
        var total: UInt64 = 0
        for index in 0..<plan.nodeCount {
            let node = try formatted { () throws(FormatError) in try plan.node(index) }
            let record =
                try WorkflowRows.read(token, node: index, reader, tables) ?? NodeRecord(of: node)
            if node.kind == .join { continue }
            total += node.jobs
            ended += record.ended
            let ids = node.ids(of: workflow, record).flatMap { $0.first..<$0.end }
            if UInt64(ids.count) != node.jobs {
                problems.append("node \(index) of workflow \(id) has \(ids.count) jobs")
            }
            if record.state.isEnd {
                if record.ended != node.jobs {
                    problems.append("node \(index) of workflow \(id) ended before its jobs")
                }
                continue
            }
            // Those that were purged are gone with their outcomes.
            guard ids.allSatisfy({ jobs.contains($0) }) else { continue }
            let there = ids.count { outcomes[$0] != nil }
            let failed = ids.count { outcomes[$0].map { $0 != .succeeded } ?? false }
            if record.ended != there || record.failed != failed {
                problems.append(
                    "node \(index) of workflow \(id) counts \(record.ended) ends and \(record.failed) failures, not \(there) and \(failed)"
                )
            }
            if record.state == .started, record.ended == node.jobs {
                problems.append("node \(index) of workflow \(id) is full and has not ended")
            }
        }
        if workflow.jobs != total || workflow.ended != ended {
            problems.append(
                "workflow \(id) counts \(workflow.ended) ends of \(workflow.jobs) jobs, not \(ended) of \(total)"
            )
        }
    }
}
