import PetioleStorage

/// Failures of one kind: jobs that failed the same way, though the numbers in their texts differ.
public struct FailureKind: Sendable, Hashable {
    /// What all of them have in common, see ``JobFailure/fingerprint``: for ``JobFilter/fingerprint``.
    public let fingerprint: String
    /// The first of them.
    public let failure: JobFailure
    /// Jobs that are kept and have ended with one: failed, dead letters and discarded ones.
    public let count: Int
    /// When the first of them was recorded.
    public let firstAt: WallTime
    /// When the last one was.
    public let lastAt: WallTime
}

extension JobStore {
    /// The kinds of failures of all jobs that are kept, the most frequent first.
    /// - Complexity: O(kinds), whatever the number of jobs.
    public func failureKinds() throws(StoreError) -> [FailureKind] {
        let open = open
        let kinds = try open.read { (reader) throws(StorageError) -> [FailureKind] in
            var kinds: [FailureKind] = []
            let cursor = try reader.cursor(open.tables.failures)
            var entry = try cursor.first()
            while let (_, value) = entry {
                let row = try formatted { () throws(FormatError) in try FailureRow(value) }
                let failure = JobFailure(type: row.failure.type, message: row.failure.message)
                kinds.append(
                    FailureKind(
                        fingerprint: failure.fingerprint, failure: failure,
                        count: Int(clamping: row.count),
                        firstAt: WallTime(microseconds: row.firstAt),
                        lastAt: WallTime(microseconds: row.lastAt)))
                entry = try cursor.next()
            }
            return kinds
        }
        return kinds.sorted { ($0.count, $0.lastAt) > ($1.count, $1.lastAt) }
    }
}
