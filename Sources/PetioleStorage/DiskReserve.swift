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
/// the file system refuses, the jobs are refused and the reserve stays for what ends jobs. Used by the writer alone.
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

    private mutating func allocate(to target: Int, from usedBytes: Int) -> Bool {
        let start = Swift.max(allocatedTo, usedBytes)
        let code = petiole_reserve(file, Int64(start), Int64(target - start), 0)
        // A file system that cannot preallocate gives no promise, and no refusal either.
        guard code == 0 || code == EOPNOTSUPP else { return false }
        allocatedTo = target
        return true
    }
}
