import PetioleStorage

/// A workflow as one view of the store shows it.
struct WorkflowView {
    let token: UInt64
    let workflow: WorkflowRecord
    let plan: WorkflowPlan
    private let reader: Reader
    private let tables: StoreTables

    /// Nil when it is gone.
    init?(_ token: UInt64, _ reader: Reader, _ open: OpenStore) throws(StorageError) {
        guard let workflow = try WorkflowRows.read(token, reader, open.tables),
            let plan = try open.writer.plans.plan(token, reader, open.tables)
        else { return nil }
        self.token = token
        self.workflow = workflow
        self.plan = plan
        self.reader = reader
        tables = open.tables
    }

    func node(_ index: UInt32) throws(StorageError) -> PlanNode {
        try formatted { () throws(FormatError) in try plan.node(index) }
    }

    func record(_ index: UInt32, _ node: PlanNode) throws(StorageError) -> NodeRecord {
        try WorkflowRows.read(token, node: index, reader, tables) ?? NodeRecord(of: node)
    }

    /// The first node of a name.
    func node(named name: String) throws(StorageError) -> UInt32? {
        for index in 0..<plan.nodeCount {
            let node = try node(index)
            if plan.name(of: node) == name { return index }
        }
        return nil
    }

    /// The jobs of a node, or of what comes together in it, in order.
    func addJobs(of index: UInt32, to ranges: inout [IDRange]) throws(StorageError) {
        let node = try node(index)
        if node.kind == .join {
            for input in node.inputs { try addJobs(of: plan.input(input), to: &ranges) }
            return
        }
        for range in node.ids(of: workflow, try record(index, node)) where range.count > 0 {
            if let last = ranges.indices.last, ranges[last].end == range.first {
                ranges[last].count += range.count
            } else {
                ranges.append(range)
            }
        }
    }

    /// The job because of which the node before one did not succeed, and the name of its step.
    func failure(before index: UInt32) throws(StorageError) -> (id: UInt64, name: String)? {
        for other in 0..<plan.nodeCount {
            let node = try node(other)
            guard node.edges.contains(where: { plan.edge($0) == index }) else { continue }
            let record = try record(other, node)
            guard record.state == .failed, record.cause != 0 else { continue }
            return (record.cause, try name(of: record.cause))
        }
        return nil
    }

    /// The name of the step that a job is.
    func name(of id: UInt64) throws(StorageError) -> String {
        guard let member = try WorkflowResumption.member(id, reader, tables),
            member.token == token
        else { return "" }
        return plan.name(of: try node(member.node))
    }
}
