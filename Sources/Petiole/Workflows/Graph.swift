/// Steps by name, each of which may depend on several others.
///
/// Put together in any order; what is wrong with it is said when it is enqueued. A step reads the result of another by
/// ``JobContext/input(from:as:)``; one that depends on a single one has it as its input.
public struct Graph: Sendable {
    private struct Step: Sendable {
        let name: String
        let after: [String]
        let add: @Sendable (WorkflowBuilder, WorkflowPlace) throws(EnqueueError) -> WorkflowEnd
    }
    private var steps: [Step] = []
    /// What becomes of the others when a step does not succeed; ``FailureRule/cancelRest`` unless set.
    public var rule = FailureRule.cancelRest

    /// Makes a graph without steps.
    public init() {}

    /// Adds a step.
    /// - Parameters:
    ///   - name: by which others name it, 1 to 256 bytes.
    ///   - after: the steps that have to end before it starts, in the order in which it is given their results.
    ///   - options: what it is told otherwise than the workflow.
    ///   - weight: how much of the workflow's work it is, 1 to 1,000,000.
    public mutating func add<J: CodableJob>(
        _ name: String, _ job: J, after: [String] = [], options: EnqueueOptions? = nil,
        weight: Int = 1
    ) {
        let step = StepOptions(options: options, name: name, weight: weight)
        steps.append(
            Step(name: name, after: after) { (builder, place) throws(EnqueueError) in
                try builder.add(job, step, place)
            })
    }

    /// Adds a workflow as one step: its first step is given the results.
    public mutating func add<Output>(
        _ name: String, _ workflow: Workflow<Output>, after: [String] = []
    ) {
        steps.append(
            Step(name: name, after: after) { (builder, place) throws(EnqueueError) in
                try builder.join(
                    [workflow.assemble(builder, place)], after: [], name: name)
            })
    }

    /// Adds a group as one step.
    public mutating func add<Member>(
        _ name: String, _ group: Group<Member>, after: [String] = []
    ) {
        steps.append(
            Step(name: name, after: after) { (builder, place) throws(EnqueueError) in
                try builder.join([group.assemble(builder, place)], after: [], name: name)
            })
    }

    func assemble(_ builder: WorkflowBuilder) throws(EnqueueError) -> WorkflowEnd {
        let order = try order()
        return try builder.inScope(try rule.scope()) { () throws(EnqueueError) in
            var ends: [String: WorkflowEnd] = [:]
            var isDependedOn: Set<String> = []
            for index in order {
                let step = steps[index]
                let before = step.after.map { ends[$0]! }
                isDependedOn.formUnion(step.after)
                ends[step.name] = try step.add(
                    builder,
                    WorkflowPlace(
                        after: before.map { $0.done }, inputs: before.map { $0.result }))
            }
            // What nothing depends on ends the graph.
            let last = order.map { steps[$0].name }.filter { !isDependedOn.contains($0) }
            let end = try builder.join(last.map { ends[$0]! }, after: [])
            return WorkflowEnd(result: end.result, done: end.done)
        }
    }

    /// The steps, each behind those that it depends on; otherwise in the order in which they were added.
    private func order() throws(EnqueueError) -> [Int] {
        if steps.isEmpty {
            throw .invalidWorkflow("the graph has no steps; add one at least")
        }
        var numbers: [String: Int] = [:]
        for (index, step) in steps.enumerated() {
            if numbers.updateValue(index, forKey: step.name) != nil {
                throw .invalidWorkflow("two steps have the name \"\(visible(step.name))\"")
            }
        }
        var waitsFor = [Int](repeating: 0, count: steps.count)
        var dependents = [[Int]](repeating: [], count: steps.count)
        for (index, step) in steps.enumerated() {
            for name in step.after {
                guard let other = numbers[name] else {
                    throw .invalidWorkflow(
                        "step \"\(visible(step.name))\" comes after \"\(visible(name))\", and no step has that name"
                    )
                }
                waitsFor[index] += 1
                dependents[other].append(index)
            }
        }
        var order = steps.indices.filter { waitsFor[$0] == 0 }
        var next = 0
        while next < order.count {
            for dependent in dependents[order[next]] {
                waitsFor[dependent] -= 1
                if waitsFor[dependent] == 0 { order.append(dependent) }
            }
            next += 1
        }
        guard order.count == steps.count else {
            let cycle = cycle(waitsFor, numbers).map { visible($0) }
            throw .invalidWorkflow(
                "its steps wait for each other: \(cycle.joined(separator: " → "))")
        }
        return order
    }

    /// The names along a cycle, the first one once more at the end.
    private func cycle(_ waitsFor: [Int], _ numbers: [String: Int]) -> [String] {
        var path: [Int] = []
        var step = waitsFor.firstIndex { $0 > 0 }!
        while !path.contains(step) {
            path.append(step)
            // Whoever still waits, waits for one that does.
            step = steps[step].after.map { numbers[$0]! }.first { waitsFor[$0] > 0 }!
        }
        let cycle = path[path.firstIndex(of: step)!...] + [step]
        // In the order in which they would run.
        return cycle.reversed().map { steps[$0].name }
    }
}
