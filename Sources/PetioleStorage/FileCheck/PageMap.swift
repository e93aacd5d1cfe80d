#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A set of page numbers below a bound: one bit a page, whose memory the system provides as it is touched.
///
/// Safe to use: the words belong to it alone, and each index is tested.
@safe struct PageMap: ~Copyable {
    /// 2^32 pages of 4 KiB are a file of 16 TiB; the map for them reserves 512 MiB and uses what it touches.
    static let pageLimit: UInt64 = 1 << 32

    let pageCount: UInt64
    private(set) var count: UInt64 = 0
    // A variable, though it does not change: as a constant, in a type that is not copyable and whose initialiser may
    // fail, it makes Swift 6.3 crash under the thread sanitizer.
    private var words: UnsafeMutableBufferPointer<UInt64>

    /// - Returns: nil if the system has no memory for it, or `pageCount` is over ``pageLimit``.
    init?(pageCount: UInt64) {
        guard pageCount <= Self.pageLimit else { return nil }
        let wordCount = Int((pageCount + 63) / 64) + 1
        guard let start = unsafe calloc(wordCount, 8) else { return nil }
        self.pageCount = pageCount
        unsafe words = UnsafeMutableBufferPointer(
            start: start.bindMemory(to: UInt64.self, capacity: wordCount), count: wordCount)
    }

    deinit { unsafe free(words.baseAddress) }

    /// Adds a page; false if it was there.
    mutating func insert(_ page: UInt64) -> Bool {
        precondition(page < pageCount, "page \(page) is outside a map of \(pageCount)")
        let bit: UInt64 = 1 << (page & 63)
        let word = Int(page / 64)
        // The precondition keeps the index inside what the initialiser allocated.
        if unsafe words[word] & bit != 0 { return false }
        unsafe words[word] |= bit
        count += 1
        return true
    }

    /// Whether a page is in the set; pages from `pageCount` on are not.
    func contains(_ page: UInt64) -> Bool {
        guard page < pageCount else { return false }
        // The guard keeps the index inside what the initialiser allocated.
        return unsafe words[Int(page / 64)] & (1 << (page & 63)) != 0
    }
}
