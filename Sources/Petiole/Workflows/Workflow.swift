/// What becomes of the other steps when one does not succeed.
public enum FailureRule: Sendable, Hashable {
    /// Those that have not started never will, and are recorded as cancelled; those that run go on to their end.
    case cancelRest
    /// The others go on, and what depends on the one is given its failure.
    case goOn
    /// As ``goOn`` until so many have not succeeded, 1 to 4,294,967,295; then as ``cancelRest``.
    case stop(after: Int)

    func scope() throws(EnqueueError) -> ScopeRule {
        switch self {
        case .cancelRest: return .cancelRest
        case .goOn: return .goOn
        case .stop(let after):
            guard (1...Int(UInt32.max)).contains(after) else {
                throw .invalidWorkflow(
                    "a workflow that is to stop after \(after) failures would never run; 1 and more are allowed"
                )
            }
            return .stop(after: UInt32(after))
        }
    }
}

/// Jobs that follow from each other, and end in one result: a value, put together of jobs and other workflows, and enqueued as a
/// whole by ``JobStore/enqueue(_:name:options:)``.
///
/// Nothing is looked up or encoded before it is enqueued.
public struct Workflow<Output: Codable & Sendable>: Sendable {
    fileprivate let parts: WorkflowParts

    init(part: @escaping WorkflowPart) { parts = WorkflowParts(part) }

    private init(parts: WorkflowParts) { self.parts = parts }

    /// A workflow of one step.
    /// - Parameters:
    ///   - options: what this step is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown and found, 1 to 256 bytes; nil: its job type's.
    ///   - weight: how much of the workflow's work it is, 1 to 1,000,000.
    public init<J: CodableJob>(
        _ job: J, options: EnqueueOptions? = nil, name: String? = nil, weight: Int = 1
    ) where J.Output == Output {
        let step = StepOptions(options: options, name: name, weight: weight)
        self.init { (builder, place) throws(EnqueueError) in
            try builder.add(job, step, place)
        }
    }

    /// A step that is given nothing, whatever is before it.
    init<J: CodableJob>(independent job: J, _ step: StepOptions) {
        self.init { (builder, place) throws(EnqueueError) in
            try builder.add(job, step, WorkflowPlace(after: place.after))
        }
    }

    /// Puts it behind something, or at the beginning.
    @Sendable func assemble(
        _ builder: WorkflowBuilder, _ place: WorkflowPlace
    ) throws(EnqueueError) -> WorkflowEnd {
        try parts.assemble(builder, place)
    }

    /// The same behind another.
    func behind<Other>(_ first: Workflow<Other>) -> Workflow {
        Workflow(parts: parts.behind(first.parts))
    }

    func behind<Member>(_ first: Group<Member>) -> Workflow {
        Workflow(parts: parts.behind(first.parts))
    }

    // MARK: What follows

    /// Then a job that is given the result.
    /// - Parameters:
    ///   - options: what this step is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown and found, 1 to 256 bytes; nil: its job type's.
    ///   - weight: how much of the workflow's work it is, 1 to 1,000,000.
    public func then<J: InputJob>(
        _ job: J, options: EnqueueOptions? = nil, name: String? = nil, weight: Int = 1
    ) -> Workflow<J.Output> where J.Input == Output {
        Workflow<J.Output>(job, options: options, name: name, weight: weight).behind(self)
    }

    /// Then a job that is given what a registered closure makes of the result.
    /// - Parameters:
    ///   - mapping: to be registered with the runner, see ``JobRunner/Options/inputMappings``.
    ///   - options: what this step is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown and found, 1 to 256 bytes; nil: its job type's.
    ///   - weight: how much of the workflow's work it is, 1 to 1,000,000.
    public func then<J: InputJob>(
        _ job: J, mapping: InputMapping<Output, J.Input>, options: EnqueueOptions? = nil,
        name: String? = nil, weight: Int = 1
    ) -> Workflow<J.Output> {
        let step = StepOptions(options: options, name: name, weight: weight)
        return Workflow<J.Output> { (builder, place) throws(EnqueueError) in
            try builder.add(job, step, place, mapping: mapping.name)
        }.behind(self)
    }

    /// Then a job that is given nothing.
    /// - Parameters:
    ///   - options: what this step is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown and found, 1 to 256 bytes; nil: its job type's.
    ///   - weight: how much of the workflow's work it is, 1 to 1,000,000.
    public func then<J: CodableJob>(
        independent job: J, options: EnqueueOptions? = nil, name: String? = nil, weight: Int = 1
    ) -> Workflow<J.Output> {
        Workflow<J.Output>(
            independent: job, StepOptions(options: options, name: name, weight: weight)
        ).behind(self)
    }

    /// Then another workflow, whose first step may read the result: ``JobContext/input(as:)``.
    public func then<Other>(_ other: Workflow<Other>) -> Workflow<Other> { other.behind(self) }

    /// Then a group, each of whose members may read the result: ``JobContext/input(as:)``.
    public func then<Member>(_ group: Group<Member>) -> Group<Member> { group.behind(self) }

    // MARK: Rules and callbacks

    /// The same with a rule for what is in it; ``FailureRule/cancelRest`` unless told.
    public func onFailure(_ rule: FailureRule) -> Workflow {
        let inner = self
        return Workflow { (builder, place) throws(EnqueueError) in
            try builder.inScope(try rule.scope()) { () throws(EnqueueError) in
                try inner.assemble(builder, place)
            }
        }
    }

    /// The same, and a job that runs when all of it has succeeded. What follows does not wait for that job.
    /// - Parameters:
    ///   - options: what that job is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown, 1 to 256 bytes; nil: its job type's.
    public func onSuccess<J: CodableJob>(
        run job: J, options: EnqueueOptions? = nil, name: String? = nil
    ) -> Workflow {
        calling(job, StepOptions(options: options, name: name), .onSuccess)
    }

    /// The same, and a job that runs when it has not succeeded: ``JobContext/failedStep`` tells it what failed. It does not when
    /// the workflow was cancelled by somebody.
    /// - Parameters:
    ///   - options: what that job is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown, 1 to 256 bytes; nil: its job type's.
    public func onFailure<J: CodableJob>(
        run job: J, options: EnqueueOptions? = nil, name: String? = nil
    ) -> Workflow {
        calling(job, StepOptions(options: options, name: name), .onFailure)
    }

    /// The same, and a job that runs when it has ended, however it did.
    /// - Parameters:
    ///   - options: what that job is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown, 1 to 256 bytes; nil: its job type's.
    public func onEnd<J: CodableJob>(
        run job: J, options: EnqueueOptions? = nil, name: String? = nil
    ) -> Workflow {
        calling(job, StepOptions(options: options, name: name), .onEnd)
    }

    private func calling<J: CodableJob>(
        _ job: J, _ step: StepOptions, _ condition: NodeCondition
    ) -> Workflow {
        let inner = self
        return Workflow { (builder, place) throws(EnqueueError) in
            let end = try builder.inScope(.cancelRest) { () throws(EnqueueError) in
                try inner.assemble(builder, place)
            }
            _ = try builder.add(
                job, step, WorkflowPlace(after: [end.done], inputs: [end.result]),
                condition: condition)
            return end
        }
    }
}

/// Steps that lie side by side. Its results are those of its members, in their order.
public struct Group<Member: Codable & Sendable>: Sendable {
    /// What becomes of the others when a member does not succeed.
    let rule: FailureRule
    /// What it lies behind.
    private let before: WorkflowParts?
    private let members: Members
    private typealias Members =
        @Sendable (WorkflowBuilder, WorkflowPlace, ScopeRule) throws(EnqueueError) -> WorkflowEnd

    private init(
        rule: FailureRule = .cancelRest, behind before: WorkflowParts? = nil,
        members: @escaping Members
    ) {
        self.rule = rule
        self.before = before
        self.members = members
    }

    fileprivate var parts: WorkflowParts {
        let (rule, members) = (rule, members)
        return WorkflowParts(
            { (builder, place) throws(EnqueueError) in
                try members(builder, place, try rule.scope())
            }, behind: before)
    }

    @Sendable func assemble(
        _ builder: WorkflowBuilder, _ place: WorkflowPlace
    ) throws(EnqueueError) -> WorkflowEnd {
        try parts.assemble(builder, place)
    }

    /// The same behind something else.
    func behind<Output>(_ first: Workflow<Output>) -> Group {
        Group(
            rule: rule, behind: before.map { $0.behind(first.parts) } ?? first.parts,
            members: members)
    }

    /// Workflows side by side, each of several steps or of one. Of none: it has ended when it begins.
    public init(_ members: [Workflow<Member>]) {
        self.init { (builder, place, rule) throws(EnqueueError) in
            try builder.inScope(rule) { () throws(EnqueueError) in
                var ends: [WorkflowEnd] = []
                for member in members { ends.append(try member.assemble(builder, place)) }
                return try builder.join(ends, after: place.after)
            }
        }
    }

    /// Jobs of one type, made one by one when the group is enqueued: millions take no memory.
    /// - Parameters:
    ///   - count: how many, 0 or more; a negative one is refused by the enqueue, ``EnqueueError/invalidWorkflow(_:)``.
    ///   - options: what they are told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: of the group, by which it is shown and found; nil: the job type's.
    ///   - weight: of each job, 1 to 1,000,000.
    ///   - job: the job at an index; called in order, once each.
    public init<J: CodableJob>(
        count: Int, options: EnqueueOptions? = nil, name: String? = nil, weight: Int = 1,
        _ job: @escaping @Sendable (Int) -> J
    ) where J.Output == Member {
        self.init(
            GroupSource(count, job), StepOptions(options: options, name: name, weight: weight))
    }

    /// One job for each input.
    public init<J: CodableJob, Inputs: RandomAccessCollection & Sendable>(
        each inputs: Inputs, options: EnqueueOptions? = nil, name: String? = nil,
        weight: Int = 1, _ job: @escaping @Sendable (Inputs.Element) -> J
    ) where J.Output == Member {
        self.init(count: inputs.count, options: options, name: name, weight: weight) { index in
            job(inputs[inputs.index(inputs.startIndex, offsetBy: index)])
        }
    }

    /// One job for so many inputs at a time, the last for what is left.
    /// - Parameter size: inputs a job, 1 or more; less is taken for 1.
    public init<J: CodableJob, Inputs: RandomAccessCollection & Sendable>(
        chunks inputs: Inputs, of size: Int, options: EnqueueOptions? = nil, name: String? = nil,
        weight: Int = 1, _ job: @escaping @Sendable (Inputs.SubSequence) -> J
    ) where J.Output == Member {
        let size = max(1, size)
        let count = inputs.count
        self.init(
            count: count == 0 ? 0 : (count - 1) / size + 1, options: options, name: name,
            weight: weight
        ) { index in
            let start = inputs.index(inputs.startIndex, offsetBy: index * size)
            let end = inputs.index(start, offsetBy: min(size, count - index * size))
            return job(inputs[start..<end])
        }
    }

    init(_ source: GroupSource, _ step: StepOptions) {
        self.init { (builder, place, rule) throws(EnqueueError) in
            guard source.count >= 0 else {
                throw .invalidWorkflow("a group of \(source.count) jobs; 0 and more are allowed")
            }
            return try builder.inScope(rule) { () throws(EnqueueError) in
                try builder.add(source, step, place)
            }
        }
    }

    // MARK: What follows

    /// Then a job that is given all results: a chord.
    /// - Parameters:
    ///   - options: what this step is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown and found, 1 to 256 bytes; nil: its job type's.
    ///   - weight: how much of the workflow's work it is, 1 to 1,000,000.
    public func then<J: ResultsJob>(
        _ job: J, options: EnqueueOptions? = nil, name: String? = nil, weight: Int = 1
    ) -> Workflow<J.Output> where J.Member == Member {
        Workflow<J.Output>(job, options: options, name: name, weight: weight).behind(self)
    }

    /// Then a job that is given nothing.
    /// - Parameters:
    ///   - options: what this step is told otherwise than the workflow; nil: what the workflow hands down.
    ///   - name: by which it is shown and found, 1 to 256 bytes; nil: its job type's.
    ///   - weight: how much of the workflow's work it is, 1 to 1,000,000.
    public func then<J: CodableJob>(
        independent job: J, options: EnqueueOptions? = nil, name: String? = nil, weight: Int = 1
    ) -> Workflow<J.Output> {
        Workflow<J.Output>(
            independent: job, StepOptions(options: options, name: name, weight: weight)
        ).behind(self)
    }

    /// Then another workflow, whose first step may read the results: ``JobContext/results(of:)``.
    public func then<Other>(_ other: Workflow<Other>) -> Workflow<Other> { other.behind(self) }

    /// The same with a rule for what is in it; ``FailureRule/cancelRest`` unless told.
    public func onFailure(_ rule: FailureRule) -> Group {
        Group(rule: rule, behind: before, members: members)
    }
}

extension GroupSource {
    /// Jobs that a closure makes.
    init<J: CodableJob>(_ count: Int, _ job: @escaping @Sendable (Int) -> J) {
        self.init(
            count: count, jobName: J.jobName, keepsResults: J.keepsResult,
            request: { (store, options, parent) throws(EnqueueError) in
                try store.request(J.self, options, codec: J.codec, by: parent)
            },
            blocks: { request in
                var index = 0
                var next: J?
                var request = request
                request.saysOwn = true
                let filled = request
                return GroupBlocks(request) { (block) throws(EnqueueError) in
                    let keys = UniqueKeyList()
                    let isLast = try filled.fill(&block, keys) { () throws(EnqueueError) in
                        next = index < count ? job(index) : nil
                        index += 1
                        if next?.uniqueness != nil { throw WorkflowBuilder.unique(J.jobName) }
                        return OwnOptions(
                            limitKey: filled.jobOptions.limitKey == nil ? next?.limitKey : nil)
                    } _: { (writer) throws(CodecError) in
                        guard let job = next else { return nil }
                        try J.codec.encode(job, into: &writer)
                        return 0
                    }
                    return isLast
                }
            })
    }

    /// Raw jobs whose payloads a closure writes.
    init<J: RawJob>(
        _ type: J.Type, _ count: Int, _ write: @escaping @Sendable (Int, inout PayloadBytes) -> Void
    ) {
        self.init(
            count: count, jobName: J.jobName, keepsResults: J.keepsResult,
            request: { (store, options, parent) throws(EnqueueError) in
                try store.request(J.self, options, codec: .raw, by: parent)
            },
            blocks: { request in
                var index = 0
                return GroupBlocks(request) { (block) throws(EnqueueError) in
                    try request.fill(&block, UniqueKeyList()) { () throws(EnqueueError) in
                        OwnOptions()
                    } _: { (writer) throws(CodecError) in
                        guard index < count else { return nil }
                        PayloadBytes.lend(&writer) { write(index, &$0) }
                        index += 1
                        return 0
                    }
                }
            })
    }
}

extension Group where Member == [UInt8] {
    /// Raw jobs of one type, whose payloads a closure writes: nothing is allocated for each.
    public init<J: RawJob>(
        _ type: J.Type, count: Int, options: EnqueueOptions? = nil, name: String? = nil,
        weight: Int = 1, _ write: @escaping @Sendable (Int, inout PayloadBytes) -> Void
    ) {
        self.init(
            GroupSource(type, count, write),
            StepOptions(options: options, name: name, weight: weight))
    }
}
