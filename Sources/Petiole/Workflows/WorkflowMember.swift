import PetioleStorage

/// Of which workflow a job is a part: among its options.
///
/// | at | size | |
/// |---|---|---|
/// | 0 | 8 | the workflow's token |
/// | 8 | 4 | its node in the plan |
/// | 12 | 1 | flags: 1 = it is the only job of its node |
struct WorkflowMember: Equatable, Sendable {
    /// A random number under which the workflow's rows lie: known before any id is given.
    var token: UInt64
    var node: UInt32
    /// Others may wait for this very job: its outcome does not wait for company.
    var isAlone = true

    static let size = 13

    /// Of a job that cannot be read: it is looked for in all workflows. No token is 0.
    static let unknown = WorkflowMember(token: 0, node: 0, isAlone: true)

    init(token: UInt64, node: UInt32, isAlone: Bool) {
        self.token = token
        self.node = node
        self.isAlone = isAlone
    }

    /// Nil when it is cut short.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.size else { return nil }
        token = bytes.littleEndian(at: 0)
        node = bytes.littleEndian(at: 8)
        isAlone = bytes[12] & 1 != 0
    }

    func write(to writer: inout ByteWriter) {
        writer.append(littleEndian: token)
        writer.append(littleEndian: node)
        writer.append(littleEndian: UInt8(isAlone ? 1 : 0))
    }
}

/// Jobs of one node that have ended, whose ids follow each other.
struct EndedMembers: Equatable, Sendable {
    var member: WorkflowMember
    var first: UInt64
    var count: UInt64

    /// Whether a job belongs behind them.
    func continues(_ other: WorkflowMember, _ id: UInt64) -> Bool {
        member == other && id == first + count && other != .unknown
    }
}

extension Array<EndedMembers> {
    /// Adds a job.
    mutating func add(_ member: WorkflowMember, _ id: UInt64) {
        if let last = indices.last, self[last].continues(member, id) {
            self[last].count += 1
        } else {
            append(EndedMembers(member: member, first: id, count: 1))
        }
    }
}
