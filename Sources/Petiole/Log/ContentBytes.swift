import PetioleStorage

/// What jobs count against a capacity in bytes: their payloads and what lies beside them.
enum ContentBytes {
    /// Those of the jobs from `first` up to `end`, looked up. What cannot be read counts nothing.
    static func of(
        _ first: UInt64, _ end: UInt64, _ transaction: borrowing some Transaction & ~Copyable,
        _ tables: StoreTables
    ) throws(StorageError) -> UInt64 {
        var bytes: UInt64 = 0
        var id = first
        while id < end {
            let found: JobBlockView?
            do throws(StorageError) {
                found = try Lookup.block(id, transaction, tables)
            } catch {
                guard case .damaged = error else { throw error }
                found = nil
            }
            guard let block = found else {
                id += 1
                continue
            }
            let last = min(end, block.end)
            while id < last {
                bytes += UInt64(block.contentSize(id))
                id += 1
            }
        }
        return bytes
    }
}
