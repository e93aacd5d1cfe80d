import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Disk space kept past the end of `data.mdb`, so that outcomes can still be recorded when the disk is full: without it
/// 70 of 2,000 could be when tried, with it all.
///
/// New work may not eat it: before a transaction that accepts jobs, room for it *and* the reserve is allocated; when
/// the file system refuses, pages that are free inside the file count as room too; when those do not suffice either, the
/// jobs are refused and the reserve stays for what ends jobs. Used by the writer alone.
package struct DiskReserve: Sendable {
    /// 16 MiB: some 100,000 outcomes of slow jobs, a page each in the worst case counted four times.
    package static let size = 16 << 20
    /// Allocated in steps of this size, so that most commits allocate nothing.
    private static let step = 8 << 20

    private let file: Int32
    /// Blocks are allocated up to here, as far as we know.
    private var allocatedTo = 0

    package init(dataFile: Int32) { file = dataFile }

    /// Makes sure that `bytes` more fit after `usedBytes` and the reserve still stands behind them.
    /// - Returns: false when the file system has no room; nothing is lost then.
    package mutating func prepare(usedBytes: Int, writing bytes: Int) -> Bool {
        let needed = usedBytes + bytes + Self.size
        if needed <= allocatedTo { return true }
        let target = needed + Self.step
        if allocate(to: target, from: usedBytes) { return true }
        // Near the end of the disk: what is needed and no step ahead.
        return allocate(to: needed, from: usedBytes)
    }

    /// When the file system has refused: whether the pages that are free inside the file, with what is allocated behind it,
    /// hold `bytes` more and the reserve.
    ///
    /// LMDB takes free pages before it makes the file longer, but only those that no open view may see, and for a long
    /// value only such as lie together. Should it find none that fit, the file grows into what is allocated behind it, and
    /// the next transaction is measured by what is left: so no more than half of the reserve is let in at once.
    /// - Parameter freeBytes: the bytes free inside, of which `enough` are sought. Asked only here, on a full disk.
    package mutating func fits(
        usedBytes: Int, writing bytes: Int,
        freeBytes: (_ enough: Int) throws(StorageError) -> Int
    ) throws(StorageError) -> Bool {
        guard bytes <= Self.size / 2 else { return false }
        // The reserve itself mostly stands; a process that has just opened the store learns it so.
        if allocatedTo < usedBytes + Self.size {
            _ = allocate(to: usedBytes + Self.size, from: usedBytes)
        }
        let behind = Swift.max(0, allocatedTo - usedBytes)
        let inside = bytes + Swift.max(0, Self.size - behind)
        return try freeBytes(inside) >= inside
    }

    private mutating func allocate(to target: Int, from usedBytes: Int) -> Bool {
        let start = Swift.max(allocatedTo, usedBytes)
        let code = petiole_reserve(file, Int64(start), Int64(target - start), 0)
        // A file system that cannot preallocate gives no promise, and no refusal either.
        guard code == 0 || code == EOPNOTSUPP else { return false }
        allocatedTo = target
        return true
    }
}
