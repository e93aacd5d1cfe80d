/// Puts a piece of a workflow where it is told.
typealias WorkflowPart =
    @Sendable (WorkflowBuilder, WorkflowPlace) throws(EnqueueError) -> WorkflowEnd

/// Pieces one behind the other, of which each knows the one before: to put one behind costs the same however many there are, and
/// none is gone through, or freed, by recursion.
// What guards it: it is changed in `deinit` alone, when nobody else has it.
final class WorkflowParts: @unchecked Sendable {
    private let part: WorkflowPart
    private var before: WorkflowParts?

    init(_ part: @escaping WorkflowPart, behind before: WorkflowParts? = nil) {
        self.part = part
        self.before = before
    }

    deinit {
        var next = before.take()
        // A name for it would be another reference.
        while next != nil, isKnownUniquelyReferenced(&next) { next = next?.before.take() }
    }

    /// The same behind others.
    func behind(_ first: WorkflowParts) -> WorkflowParts {
        list.reduce(first) { WorkflowParts($1, behind: $0) }
    }

    func assemble(
        _ builder: WorkflowBuilder, _ place: WorkflowPlace
    ) throws(EnqueueError) -> WorkflowEnd {
        let list = list
        var end = try list[0](builder, place)
        for part in list.dropFirst() {
            end = try part(builder, WorkflowPlace(after: [end.done], inputs: [end.result]))
        }
        return end
    }

    /// From the first on.
    private var list: [WorkflowPart] {
        var list: [WorkflowPart] = []
        var next: WorkflowParts? = self
        while let one = next {
            list.append(one.part)
            next = one.before
        }
        return list.reversed()
    }
}
