import PetioleStorage

/// A workflow as it is handed to the writer, with the job that stands for it: its plan, and the jobs of its nodes.
final class WorkflowDraft {
    /// Jobs of one node.
    struct Part {
        let node: UInt32
        let jobs: EnqueueSubmission
    }

    /// Jobs of one node that were written before, since all of them are more than one transaction holds.
    struct Staged {
        let node: UInt32
        let stage: UInt32
        let ranges: [IDRange]
    }

    let token: UInt64
    /// How many workflows it lies in.
    var depth: UInt8 = 0
    let plan: [UInt8]
    let nodes: [PlanNode]
    /// In the order of their first jobs.
    let parts: [Part]
    var staged: [Staged] = []

    init(token: UInt64, plan: [UInt8], nodes: [PlanNode], parts: [Part]) {
        self.token = token
        self.plan = plan
        self.nodes = nodes
        self.parts = parts
    }

    var byteCount: Int { parts.reduce(plan.count + 512) { $0 + $1.jobs.byteCount } }

    /// What it adds to each queue, by the targets of its parts.
    var loads: [(target: JobTarget, load: JobLoad)] {
        var loads: [String: (target: JobTarget, load: JobLoad)] = [:]
        for part in parts {
            let target = part.jobs.target
            loads[target.queueName, default: (target, JobLoad())].load += part.jobs.load
        }
        return Array(loads.values)
    }
}
