import CPetiole
import PetioleStorage

/// What a workflow is made of, as it was enqueued: a row of `groups` that never changes, read in place.
///
/// | at | size | header |
/// |---|---|---|
/// | 0 | 2 | magic "PW" |
/// | 2 | 2 | version |
/// | 4 | 4 | nodes |
/// | 8 | 4 | scopes |
/// | 12 | 4 | edges |
/// | 16 | 4 | inputs |
/// | 20 | 4 | bytes of names |
/// | 24 | 4 | the node whose result is the workflow's; all ones: none |
/// | 28 | 4 | CRC-32C of all that follows |
///
/// | size | behind it |
/// |---|---|
/// | 16 each | scopes: parent (4, all ones: none), exit (4), rule (1), 3 × 0, failures at most (4) |
/// | 64 each | nodes, see ``PlanNode`` |
/// | 4 each | edges: the nodes that depend on a node, node by node |
/// | 4 each | inputs: the nodes whose results a node is given, node by node |
/// | | names, end to end |
enum PlanFormat {
    static let magic: UInt16 = 0x5750
    static let version: UInt16 = 1
    static let headerSize = 32
    static let scopeSize = 16
    static let nodeSize = 64
    static let none = UInt32.max
}

/// When a node that depends on others runs.
enum NodeCondition: UInt8, Sendable {
    /// When all of them have ended, and nothing keeps it from running.
    case always = 0
    /// A callback: when the one has succeeded, has not, or either.
    case onSuccess = 1
    case onFailure = 2
    case onEnd = 3

    var isCallback: Bool { self != .always }
}

/// What becomes of a scope when a step in it does not succeed.
enum ScopeRule: Equatable, Sendable {
    /// What has not started never will.
    case cancelRest
    /// The others go on, and what depends on it is given the failure.
    case goOn
    /// As `goOn`, until so many have failed; 1 or more.
    case stop(after: UInt32)

    var fields: (kind: UInt8, limit: UInt32) {
        switch self {
        case .cancelRest: (0, 0)
        case .goOn: (1, 0)
        case .stop(let after): (2, after)
        }
    }

    init?(kind: UInt8, limit: UInt32) {
        switch kind {
        case 0: self = .cancelRest
        case 1: self = .goOn
        case 2: self = .stop(after: limit)
        default: return nil
        }
    }

    /// Whether a scope with so many failures stops.
    func stops(at failures: UInt64) -> Bool {
        switch self {
        case .cancelRest: failures > 0
        case .goOn: false
        case .stop(let limit): failures >= UInt64(limit)
        }
    }
}

/// A step, a group of equal jobs, or a place where several come together.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 1 | kind: 0 joins others and has no job, 1 jobs that follow the workflow's first, 2 jobs whose ranges are in its row |
/// | 1 | 1 | condition |
/// | 2 | 2 | length of the name |
/// | 4 | 4 | scope; all ones: of none, as callbacks |
/// | 8 | 8 | its first job, counted from the first of those that the workflow was accepted with; of a join, 1 + the scope whose exit it is, 0: of none |
/// | 16 | 8 | jobs |
/// | 24 | 4 | first edge |
/// | 28 | 4 | edges |
/// | 32 | 4 | nodes that it depends on |
/// | 36 | 4 | first input |
/// | 40 | 4 | inputs |
/// | 44 | 4 | weight of each job |
/// | 48 | 4 | where the name begins |
/// | 52 | 4 | where the name of the mapping of its input begins |
/// | 56 | 2 | its length; 0: none |
/// | 58 | 6 | 0 |
struct PlanNode: Equatable, Sendable {
    enum Kind: UInt8, Sendable {
        case join = 0
        case jobs = 1
        case ranges = 2
    }
    var kind: Kind
    var condition = NodeCondition.always
    var scope: UInt32
    var firstJob: UInt64 = 0
    var jobs: UInt64 = 0
    var edges: Range<UInt32> = 0..<0
    var dependsOn: UInt32 = 0
    var inputs: Range<UInt32> = 0..<0
    var weight: UInt32 = 1
    var name: Range<Int> = 0..<0
    var mapping: Range<Int> = 0..<0

    /// The scope that ends here, of a join.
    var exitOf: UInt32? { kind == .join && firstJob > 0 ? UInt32(firstJob - 1) : nil }
}

/// A plan, copied out of the store, or in place and then good as long as the view that lends it.
struct WorkflowPlan: Sendable {
    let nodeCount: UInt32
    let scopeCount: UInt32
    /// The node whose result is the workflow's.
    let resultNode: UInt32?
    private let memory: Memory
    private let nodes, edges, inputs, names: Int

    private var value: UnsafeRawBufferPointer { memory.bytes }

    /// Never changed, and freed with the last reference.
    private final class Memory: @unchecked Sendable {
        // What guards it: it is written before anybody else has it.
        let bytes: UnsafeRawBufferPointer
        private let isOwned: Bool
        init(lending bytes: UnsafeRawBufferPointer) {
            self.bytes = bytes
            isOwned = false
        }
        init(copying source: UnsafeRawBufferPointer) {
            let copy = UnsafeMutableRawBufferPointer.allocate(
                byteCount: source.count, alignment: 16)
            copy.copyMemory(from: source)
            bytes = UnsafeRawBufferPointer(copy)
            isOwned = true
        }
        deinit { if isOwned { bytes.deallocate() } }
    }

    /// Bytes that it takes.
    var byteCount: Int { value.count }

    init(copying value: UnsafeRawBufferPointer) throws(FormatError) {
        try self.init(Memory(copying: value))
    }

    init(inPlace value: UnsafeRawBufferPointer) throws(FormatError) {
        try self.init(Memory(lending: value))
    }

    private init(_ memory: Memory) throws(FormatError) {
        let value = memory.bytes
        guard value.count >= PlanFormat.headerSize,
            value.littleEndian(at: 0, as: UInt16.self) == PlanFormat.magic,
            value.littleEndian(at: 2, as: UInt16.self) == PlanFormat.version
        else { throw FormatError("the plan of a workflow has no header") }
        nodeCount = value.littleEndian(at: 4)
        scopeCount = value.littleEndian(at: 8)
        let result: UInt32 = value.littleEndian(at: 24)
        resultNode = result == PlanFormat.none ? nil : result
        nodes = PlanFormat.headerSize + Int(scopeCount) * PlanFormat.scopeSize
        edges = nodes + Int(nodeCount) * PlanFormat.nodeSize
        inputs = edges + Int(value.littleEndian(at: 12, as: UInt32.self)) * 4
        names = inputs + Int(value.littleEndian(at: 16, as: UInt32.self)) * 4
        guard value.count == names + Int(value.littleEndian(at: 20, as: UInt32.self)) else {
            throw FormatError("the plan of a workflow is cut short")
        }
        self.memory = memory
    }

    /// Whether it is as it was written.
    var isSound: Bool {
        let rest = UnsafeRawBufferPointer(rebasing: value[PlanFormat.headerSize...])
        return petiole_crc32c(0, rest.baseAddress, rest.count) == value.littleEndian(at: 28)
    }

    /// - Returns: the rule, the scope around it and the node in which it ends.
    func scope(_ index: UInt32) throws(FormatError) -> (
        rule: ScopeRule, parent: UInt32?, exit: UInt32
    ) {
        guard index < scopeCount else { throw FormatError("a workflow has no scope \(index)") }
        let at = PlanFormat.headerSize + Int(index) * PlanFormat.scopeSize
        let parent: UInt32 = value.littleEndian(at: at)
        let limit: UInt32 = value.littleEndian(at: at + 12)
        guard let rule = ScopeRule(kind: value[at + 8], limit: limit) else {
            throw FormatError("scope \(index) of a workflow has no rule")
        }
        return (
            rule, parent == PlanFormat.none ? nil : parent, value.littleEndian(at: at + 4)
        )
    }

    func node(_ index: UInt32) throws(FormatError) -> PlanNode {
        guard index < nodeCount else { throw FormatError("a workflow has no node \(index)") }
        let at = nodes + Int(index) * PlanFormat.nodeSize
        guard let kind = PlanNode.Kind(rawValue: value[at]),
            let condition = NodeCondition(rawValue: value[at + 1])
        else { throw FormatError("node \(index) of a workflow is of no kind") }
        func range(_ first: Int, _ count: Int, in start: Int, end: Int) throws(FormatError)
            -> Range<UInt32>
        {
            let first: UInt32 = value.littleEndian(at: at + first)
            let count: UInt32 = value.littleEndian(at: at + count)
            guard start + (Int(first) + Int(count)) * 4 <= end else {
                throw FormatError("node \(index) of a workflow points outside its plan")
            }
            return first..<first + count
        }
        var node = PlanNode(kind: kind, scope: value.littleEndian(at: at + 4))
        node.condition = condition
        node.firstJob = value.littleEndian(at: at + 8)
        node.jobs = value.littleEndian(at: at + 16)
        node.edges = try range(24, 28, in: edges, end: inputs)
        node.dependsOn = value.littleEndian(at: at + 32)
        node.inputs = try range(36, 40, in: inputs, end: names)
        node.weight = value.littleEndian(at: at + 44)
        node.name = text(at + 48, value.littleEndian(at: at + 2))
        node.mapping = text(at + 52, value.littleEndian(at: at + 56))
        guard node.name.upperBound <= value.count, node.mapping.upperBound <= value.count else {
            throw FormatError("the name of node \(index) of a workflow lies outside its plan")
        }
        return node
    }

    private func text(_ at: Int, _ length: UInt16) -> Range<Int> {
        let start = names + Int(value.littleEndian(at: at, as: UInt32.self))
        return start..<start + Int(length)
    }

    /// The nodes that depend on one.
    func edge(_ index: UInt32) -> UInt32 { value.littleEndian(at: edges + Int(index) * 4) }

    /// The nodes whose results one is given.
    func input(_ index: UInt32) -> UInt32 { value.littleEndian(at: inputs + Int(index) * 4) }

    func name(of node: PlanNode) -> String { String(decoding: value[node.name], as: UTF8.self) }

    func mapping(of node: PlanNode) -> String? {
        node.mapping.isEmpty ? nil : String(decoding: value[node.mapping], as: UTF8.self)
    }

    /// Whether a scope lies in another, or is it.
    func isScope(_ scope: UInt32, in other: UInt32) throws(FormatError) -> Bool {
        var next: UInt32? = scope == PlanFormat.none ? nil : scope
        var steps: UInt32 = 0
        while let current = next, steps <= scopeCount {
            if current == other { return true }
            next = try self.scope(current).parent
            steps += 1
        }
        return false
    }
}

extension WorkflowPlan {
    /// A node while a plan is being made.
    struct Draft {
        var node: PlanNode
        var dependsOn: [UInt32]
        var inputs: [UInt32]
        var name: String
        var mapping: String?
    }

    /// Lays a plan down.
    static func bytes(
        _ drafts: [Draft], scopes: [(rule: ScopeRule, parent: UInt32?, exit: UInt32)],
        resultNode: UInt32?
    ) -> [UInt8] {
        var dependents = [[UInt32]](repeating: [], count: drafts.count)
        for (index, draft) in drafts.enumerated() {
            for other in draft.dependsOn { dependents[Int(other)].append(UInt32(index)) }
        }
        var names = ByteWriter(capacity: drafts.count * 8)
        var nodes = ByteWriter(capacity: drafts.count * PlanFormat.nodeSize)
        var edges = ByteWriter(capacity: drafts.count * 4)
        var inputs = ByteWriter(capacity: drafts.count * 4)
        // The same name again and again lies there once.
        var places: [String: UInt32] = [:]
        func place(_ text: String) -> UInt32 {
            if let place = places[text] { return place }
            let place = UInt32(names.count)
            Array(text.utf8).withUnsafeBytes { names.append(contentsOf: $0) }
            places[text] = place
            return place
        }
        for (draft, dependents) in zip(drafts, dependents) {
            let node = draft.node
            nodes.append(littleEndian: node.kind.rawValue)
            nodes.append(littleEndian: node.condition.rawValue)
            nodes.append(littleEndian: UInt16(draft.name.utf8.count))
            nodes.append(littleEndian: node.scope)
            nodes.append(littleEndian: node.firstJob)
            nodes.append(littleEndian: node.jobs)
            nodes.append(littleEndian: UInt32(edges.count / 4))
            nodes.append(littleEndian: UInt32(dependents.count))
            nodes.append(littleEndian: UInt32(draft.dependsOn.count))
            nodes.append(littleEndian: UInt32(inputs.count / 4))
            nodes.append(littleEndian: UInt32(draft.inputs.count))
            nodes.append(littleEndian: node.weight)
            nodes.append(littleEndian: place(draft.name))
            nodes.append(littleEndian: draft.mapping.map { place($0) } ?? 0)
            nodes.append(littleEndian: UInt16(draft.mapping?.utf8.count ?? 0))
            nodes.append(littleEndian: UInt16(0))
            nodes.append(littleEndian: UInt32(0))
            for other in dependents { edges.append(littleEndian: other) }
            for other in draft.inputs { inputs.append(littleEndian: other) }
        }
        var body = ByteWriter(
            capacity: scopes.count * PlanFormat.scopeSize + nodes.count + edges.count
                + inputs.count + names.count)
        for scope in scopes {
            let (kind, limit) = scope.rule.fields
            body.append(littleEndian: scope.parent ?? PlanFormat.none)
            body.append(littleEndian: scope.exit)
            body.append(littleEndian: UInt32(kind))
            body.append(littleEndian: limit)
        }
        nodes.withBytes { body.append(contentsOf: $0) }
        edges.withBytes { body.append(contentsOf: $0) }
        inputs.withBytes { body.append(contentsOf: $0) }
        names.withBytes { body.append(contentsOf: $0) }
        var all = ByteWriter(capacity: PlanFormat.headerSize + body.count)
        all.append(littleEndian: PlanFormat.magic)
        all.append(littleEndian: PlanFormat.version)
        all.append(littleEndian: UInt32(drafts.count))
        all.append(littleEndian: UInt32(scopes.count))
        all.append(littleEndian: UInt32(edges.count / 4))
        all.append(littleEndian: UInt32(inputs.count / 4))
        all.append(littleEndian: UInt32(names.count))
        all.append(littleEndian: resultNode ?? PlanFormat.none)
        body.withBytes { body in
            all.append(littleEndian: petiole_crc32c(0, body.baseAddress, body.count))
            all.append(contentsOf: body)
        }
        return all.withBytes { Array($0) }
    }
}
