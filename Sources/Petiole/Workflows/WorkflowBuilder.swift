import PetioleStorage

/// Where a part of a workflow is put: behind what, and what it is given.
struct WorkflowPlace {
    /// Nodes that have to end first.
    var after: [UInt32] = []
    /// Nodes whose results it is given.
    var inputs: [UInt32] = []
}

/// How a part of a workflow ends.
struct WorkflowEnd {
    /// The node whose result is the part's.
    var result: UInt32
    /// The node that has ended when the part has.
    var done: UInt32
}

/// Puts a workflow together for one enqueue: gives nodes their numbers, and encodes their jobs.
final class WorkflowBuilder {
    let store: JobStore
    let parent: JobContext?
    let options: EnqueueOptions
    let name: String
    /// A random number that is not zero: under 0 lies which job stands for which workflow.
    let token = UInt64.random(in: 1...UInt64.max)
    private(set) var drafts: [WorkflowPlan.Draft] = []
    private(set) var scopes: [(rule: ScopeRule, parent: UInt32?, exit: UInt32)] = []
    /// The scope that nodes are added to now.
    private var scope: UInt32?
    /// In how many scopes that is.
    private var depth = 0
    private var singles: [(node: UInt32, jobs: EnqueueSubmission)] = []
    private var groups: [(node: UInt32, blocks: GroupBlocks)] = []
    /// Nodes whose jobs keep no results.
    private var withoutResults: Set<UInt32> = []
    /// Bytes of single steps.
    private var stepBytes = 0

    init(
        _ store: JobStore, name: String, _ options: EnqueueOptions, by parent: JobContext? = nil
    ) {
        self.store = store
        self.name = name
        self.options = options
        self.parent = parent
    }

    // MARK: Parts

    /// Puts a scope around what `body` adds, and an exit behind it.
    func inScope(
        _ rule: ScopeRule, _ body: () throws(EnqueueError) -> WorkflowEnd
    ) throws(EnqueueError) -> WorkflowEnd {
        guard depth <= WorkflowLimits.depth else {
            throw .invalidWorkflow(
                """
                groups, rules and callbacks are put one into the other more than \(WorkflowLimits.depth) deep
                put them one behind the other, or let a step give way to a workflow
                """)
        }
        depth += 1
        defer { depth -= 1 }
        let outer = scope
        let index = UInt32(scopes.count)
        scopes.append((rule, outer, 0))
        scope = index
        let end = try body()
        scope = outer
        var exit = PlanNode(kind: .join, scope: outer ?? PlanFormat.none)
        exit.firstJob = UInt64(index) + 1
        let node = try add(
            WorkflowPlan.Draft(
                node: exit, dependsOn: [end.done], inputs: [end.done], name: "", mapping: nil))
        scopes[Int(index)].exit = node
        return WorkflowEnd(result: end.result, done: node)
    }

    /// A place where several come together.
    /// - Parameters:
    ///   - after: what it waits for when there are none.
    ///   - name: by which their results are found.
    func join(
        _ ends: [WorkflowEnd], after: [UInt32], name: String = ""
    ) throws(EnqueueError) -> WorkflowEnd {
        let node = PlanNode(kind: .join, scope: scope ?? PlanFormat.none)
        let index = try add(
            WorkflowPlan.Draft(
                node: node, dependsOn: ends.isEmpty ? after : ends.map { $0.done },
                inputs: ends.map { $0.result }, name: name, mapping: nil))
        return WorkflowEnd(result: index, done: index)
    }

    /// A step of one job.
    /// - Parameter isCallback: it belongs to no scope, and nothing stops it.
    func add<J: CodableJob>(
        _ job: J, _ step: StepOptions, _ place: WorkflowPlace, mapping: String? = nil,
        condition: NodeCondition = .always
    ) throws(EnqueueError) -> WorkflowEnd {
        if job.uniqueness != nil { throw Self.unique(J.jobName) }
        if mapping != nil, J.isolation != .thread {
            throw .invalidWorkflow(
                "step \"\(visible(J.jobName))\" runs in a child process, which knows no input mappings; let a step on a thread map its input"
            )
        }
        if job is any InputJob || job is any ResultsJob { try checkInputs(J.jobName, place) }
        let index = try addNode(
            .jobs, jobs: 1, step, named: J.jobName, place, mapping: mapping, condition)
        if !(step.options?.keepsResult ?? J.keepsResult) { withoutResults.insert(index) }
        let member = WorkflowMember(token: token, node: index, isAlone: true)
        let request = try part(
            store.request(job, merged(step.options, isFirst: place.after.isEmpty), by: parent),
            of: member)
        let block = try request.block { (writer) throws(CodecError) in
            try J.codec.encode(job, into: &writer)
        }
        stepBytes += block.size
        guard stepBytes <= WorkflowLimits.stepBytes else {
            throw .invalidWorkflow(
                """
                its single steps have more than \(WorkflowLimits.stepBytes >> 20) MiB together
                put large payloads into files and their paths into the steps, or make groups of equal jobs
                """)
        }
        singles.append((index, EnqueueSubmission(request, block)))
        return WorkflowEnd(result: index, done: index)
    }

    /// A group of jobs of one type, written when all nodes are known.
    func add(
        _ group: GroupSource, _ step: StepOptions, _ place: WorkflowPlace
    ) throws(EnqueueError) -> WorkflowEnd {
        let index = try addNode(
            .jobs, jobs: UInt64(group.count), step, named: group.jobName, place, mapping: nil,
            .always)
        if !(step.options?.keepsResult ?? group.keepsResults) { withoutResults.insert(index) }
        let member = WorkflowMember(token: token, node: index, isAlone: false)
        let options = merged(step.options, isFirst: place.after.isEmpty)
        let request = try part(group.request(store, options, parent), of: member)
        groups.append((index, group.blocks(request)))
        return WorkflowEnd(result: index, done: index)
    }

    /// What a job is to be given has to be kept.
    private func checkInputs(_ job: String, _ place: WorkflowPlace) throws(EnqueueError) {
        var rest = place.inputs
        while let input = rest.popLast() {
            if withoutResults.contains(input) {
                throw .invalidWorkflow(
                    "step \"\(visible(job))\" is to be given the result of \"\(visible(drafts[Int(input)].name))\", which keeps none; let that type keep results, or add the step as an independent one"
                )
            }
            if drafts[Int(input)].node.kind == .join { rest += drafts[Int(input)].inputs }
        }
    }

    private func addNode(
        _ kind: PlanNode.Kind, jobs: UInt64, _ step: StepOptions, named name: String,
        _ place: WorkflowPlace, mapping: String?, _ condition: NodeCondition
    ) throws(EnqueueError) -> UInt32 {
        guard (1...1_000_000).contains(step.weight) else {
            throw .invalidWorkflow(
                "the weight of step \"\(visible(step.name ?? name))\" is \(step.weight); 1 to 1,000,000 are allowed"
            )
        }
        let given = step.name ?? name
        guard (1...256).contains(given.utf8.count) else {
            throw .invalidWorkflow(
                "the name of a step has \(given.utf8.count) bytes; 1 to 256 are allowed")
        }
        var node = PlanNode(
            kind: kind, scope: condition.isCallback ? PlanFormat.none : scope ?? PlanFormat.none)
        node.condition = condition
        node.jobs = jobs
        node.weight = UInt32(step.weight)
        let index = try add(
            WorkflowPlan.Draft(
                node: node, dependsOn: place.after, inputs: place.inputs, name: given,
                mapping: mapping))
        return index
    }

    private func add(_ draft: WorkflowPlan.Draft) throws(EnqueueError) -> UInt32 {
        guard drafts.count < WorkflowLimits.nodes else {
            throw .invalidWorkflow(
                """
                it has more than \(WorkflowLimits.nodes) steps, groups and scopes
                make one group of jobs of the same type, which is one of them, or let a step give way to a workflow
                """)
        }
        drafts.append(draft)
        return UInt32(drafts.count - 1)
    }

    // MARK: Options

    /// What a step is told: its own options, and what they leave open from those of the workflow. Without any of its own, all of
    /// the workflow's but what is about the workflow as a whole.
    /// - Parameter isFirst: nothing is before it: it is due when the workflow is.
    private func merged(_ own: EnqueueOptions?, isFirst: Bool) -> EnqueueOptions {
        var merged = own ?? options
        let due = own?.due ?? (isFirst ? options.due : nil)
        if own == nil {
            merged.unique = nil
            merged.keepsResult = nil
            merged.resultRetention = nil
            merged.resultLimit = nil
            merged.maxAttempts = nil
            merged.timeLimit = nil
            merged.limitKey = nil
        } else {
            merged.queue = merged.queue ?? options.queue
            merged.expiry = merged.expiry ?? options.expiry
            if let handedDown = options.metadata {
                merged.metadata = (merged.metadata ?? JobMetadata()).inheriting(handedDown)
            }
        }
        merged.due = due
        return merged
    }

    private func part(
        _ request: EnqueueRequest, of member: WorkflowMember
    ) throws(EnqueueError) -> EnqueueRequest {
        if request.jobOptions.unique != nil { throw Self.unique(request.name) }
        request.within?.end(.handedOver)
        return request.part(of: member)
    }

    static func unique(_ job: String) -> EnqueueError {
        .invalidOption(
            job: job,
            "a step of a workflow has no unique key; give one to the workflow, in the options of its enqueue"
        )
    }

    // MARK: The whole

    /// The jobs of a group, as blocks.
    struct PendingGroup {
        let node: UInt32
        let blocks: GroupBlocks
    }

    var pendingGroups: [PendingGroup] {
        groups.map { PendingGroup(node: $0.node, blocks: $0.blocks) }
    }

    /// The submission of the job that stands for the workflow, with all that belongs to it.
    /// - Parameters:
    ///   - end: how its outermost part ends.
    ///   - written: the jobs of groups by their nodes.
    ///   - staged: those of groups that were written before.
    func submission(
        _ end: WorkflowEnd, written: [UInt32: EnqueueSubmission], staged: [WorkflowDraft.Staged],
        replacing context: JobContext? = nil
    ) throws(EnqueueError) -> (EnqueueRequest, EnqueueSubmission) {
        var drafts = drafts
        var first: UInt64 = 0
        var parts: [WorkflowDraft.Part] = []
        let isStaged = Set(staged.map { $0.node })
        let all = singles + written.map { ($0.key, $0.value) }
        for (node, jobs) in all.sorted(by: { $0.0 < $1.0 }) {
            drafts[Int(node)].node.firstJob = first
            first += jobs.jobCount
            parts.append(WorkflowDraft.Part(node: node, jobs: jobs))
        }
        for node in isStaged { drafts[Int(node)].node.kind = .ranges }
        let result = drafts[Int(end.result)].node.jobs == 1 ? end.result : nil
        let plan = WorkflowPlan.bytes(drafts, scopes: scopes, resultNode: result)
        guard plan.count <= Self.planLimit else {
            throw .invalidWorkflow(
                "its plan has \(plan.count) bytes, and \(Self.planLimit) are allowed; let its steps have shorter names, or let a step give way to a workflow"
            )
        }
        let nodes = drafts.map { draft in
            var node = draft.node
            node.dependsOn = UInt32(draft.dependsOn.count)
            return node
        }
        let workflow = WorkflowDraft(token: token, plan: plan, nodes: nodes, parts: parts)
        workflow.staged = staged
        if options.resultRetention != nil || options.resultLimit != nil {
            throw .invalidOption(
                job: name,
                "a workflow's result is that of its last step, and kept as long; tell that step, in its own options"
            )
        }
        if !options.after.isEmpty {
            throw .invalidOption(
                job: name,
                "after is for single jobs; let a workflow's first step wait for the others' results"
            )
        }
        // The job that stands for it never runs.
        var own = options
        own.due = nil
        let request = try store.request(name: name, own, codec: .raw, by: parent)
        let block = try request.block { (_) throws(CodecError) in }
        let submission = EnqueueSubmission(request, block)
        submission.workflow = workflow
        return (request, submission)
    }

    /// 8 MiB.
    private static let planLimit = 8 << 20
}

/// What one step is told.
struct StepOptions: Sendable {
    var options: EnqueueOptions?
    var name: String?
    var weight = 1
}

/// Jobs of one type, made one by one when they are enqueued.
struct GroupSource: Sendable {
    let count: Int
    let jobName: String
    let keepsResults: Bool
    let request:
        @Sendable (JobStore, EnqueueOptions, JobContext?) throws(EnqueueError) -> EnqueueRequest
    let blocks: @Sendable (EnqueueRequest) -> GroupBlocks
}

/// The jobs of a group, block by block.
final class GroupBlocks {
    let request: EnqueueRequest
    private(set) var isDone = false
    private let fill: (inout JobBlockBuilder) throws(EnqueueError) -> Bool

    init(
        _ request: EnqueueRequest,
        _ fill: @escaping (inout JobBlockBuilder) throws(EnqueueError) -> Bool
    ) {
        self.request = request
        self.fill = fill
    }

    /// The next jobs as one submission, of so many bytes about; nil when there are no more.
    func next(upTo bytes: Int) throws(EnqueueError) -> EnqueueSubmission? {
        var head: EnqueueSubmission?
        var size = 0
        while !isDone, size < bytes {
            var block = JobBlockBuilder(jobs: 1_024, bytes: StoreFormat.blockLimit)
            isDone = try fill(&block)
            size += EnqueueSubmission.add(block, request, to: &head)
        }
        return head
    }
}
