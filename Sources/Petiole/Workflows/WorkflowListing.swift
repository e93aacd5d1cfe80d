import PetioleStorage

/// A workflow as a listing shows it: what is counted of it, without its steps.
package struct WorkflowCounts: Sendable, Hashable {
    /// The job that stands for it.
    package let id: JobID
    /// Whether a job of another workflow gave way to it.
    package let isNested: Bool
    /// Its jobs, those that have ended, and those of them that did not succeed.
    package let jobs, ended, failed: Int
    /// The weight of those that have ended, and of all.
    package let done, weight: Int
}

extension JobStore {
    /// The workflows that jobs from `first` on stand for, in the order of their ids.
    /// - Parameter limit: so many at most.
    /// - Complexity: O(limit · log *n*).
    package func workflows(
        from first: JobID, limit: Int
    ) throws(StoreError) -> [WorkflowCounts] {
        let tables = open.tables
        return try open.read { (reader) throws(StorageError) in
            var found: [WorkflowCounts] = []
            var next = first.rawValue
            let cursor = try reader.cursor(tables.groups)
            while found.count < limit,
                let (key, value) = try cursor.ceiling(WorkflowRows.token(of: next)),
                key.count == 16, key.bigEndian(at: 0, as: UInt64.self) == 0, value.count == 8
            {
                let id: UInt64 = key.bigEndian(at: 8)
                let token: UInt64 = value.littleEndian(at: 0)
                if let record = try WorkflowRows.read(token, reader, tables) {
                    found.append(WorkflowCounts(id, record))
                }
                guard id < .max else { break }
                next = id + 1
            }
            return found
        }
    }
}

extension WorkflowCounts {
    init(_ id: UInt64, _ record: WorkflowRecord) {
        self.id = JobID(rawValue: id)
        isNested = record.depth > 0
        jobs = Int(clamping: record.jobs)
        ended = Int(clamping: record.ended)
        failed = Int(clamping: record.failed)
        done = Int(clamping: record.endedWeight)
        weight = Int(clamping: record.weight)
    }
}
