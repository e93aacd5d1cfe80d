/// What a tree of the file is for; it decides which entries may be in it.
enum TreeRole {
    case freeList
    case main
    case named
}

/// One entry of a page that ``TreePage/fault(in:number:isLeaf:role:)`` found whole.
struct TreeEntry {
    let keyStart: Int
    let keySize: Int
    let flags: UInt16
    /// In a leaf: the bytes of the value, wherever it lies.
    let valueSize: Int
    /// In a branch: the page below.
    let child: UInt64

    var valueStart: Int { keyStart + keySize }
    var hasOwnPages: Bool { flags & DataFileLayout.valueOnOwnPages != 0 }
    var isTree: Bool { flags & DataFileLayout.valueIsTree != 0 }

    init(_ page: Span<UInt8>, _ index: Int) {
        let start = Int(page.uint16(at: DataFileLayout.pageHeader + 2 * index))
        let low = UInt64(page.uint16(at: start))
        let high = UInt64(page.uint16(at: start + 2))
        flags = page.uint16(at: start + 4)
        keySize = Int(page.uint16(at: start + 6))
        keyStart = start + DataFileLayout.nodeHeader
        valueSize = Int(low | high << 16)
        // In a branch the flags' place holds the page number's upper bits.
        child = low | high << 16 | UInt64(flags) << 32
    }

    var keyRange: Range<Int> { keyStart..<(keyStart + keySize) }
    /// Where the value lies, unless it has pages of its own.
    var valueRange: Range<Int> { valueStart..<(valueStart + valueSize) }
}

/// A page of a tree: examined whole first, read afterwards.
enum TreePage {
    /// - Parameter page: one that is whole, or at least has a whole header.
    static func entryCount(_ page: Span<UInt8>) -> Int {
        (Int(page.uint16(at: 12)) - DataFileLayout.pageHeader) / 2
    }

    /// What is wrong with a page judged alone; nil means that every entry and its key and value
    /// lie inside it, so that ``TreeEntry`` can be read from it.
    /// - Complexity: O(entries).
    static func fault(
        in page: Span<UInt8>, number: UInt64, isLeaf: Bool, role: TreeRole
    ) -> PageFault? {
        let foundNumber = page.uint64(at: 0)
        if foundNumber != number { return .wrongNumber(foundNumber) }
        let flags = page.uint16(at: 10)
        let kind = isLeaf ? DataFileLayout.leafPage : DataFileLayout.branchPage
        if flags != kind { return .wrongKind(flags: flags) }
        let lower = page.uint16(at: 12)
        let upper = page.uint16(at: 14)
        if lower < UInt16(DataFileLayout.pageHeader) || lower & 1 != 0 || lower > upper
            || Int(upper) > page.count
        {
            return .freeSpace(lower: lower, upper: upper)
        }
        let count = entryCount(page)
        // LMDB stops the program at a branch with one entry, but for the free list's.
        let fewest = isLeaf || role == .freeList ? 1 : 2
        if count < fewest { return .tooFewEntries(count) }

        var filled = 0
        for index in 0..<count {
            let start = Int(page.uint16(at: DataFileLayout.pageHeader + 2 * index))
            guard start >= Int(upper), start & 1 == 0,
                start + DataFileLayout.nodeHeader <= page.count
            else { return .entryOutside(entry: index) }
            let entry = TreeEntry(page, index)
            // The first key of a branch is never compared, and mostly empty.
            let shortest = !isLeaf && index == 0 ? 0 : 1
            if entry.keySize < shortest || entry.keySize > DataFileLayout.keyLimit {
                return .keySize(entry: index, bytes: entry.keySize)
            }
            var size = DataFileLayout.nodeHeader + entry.keySize
            if isLeaf {
                if let fault = leafFault(entry, index, role: role) { return fault }
                size += entry.hasOwnPages ? 8 : entry.valueSize
            }
            if start + size > page.count { return .entryOutside(entry: index) }
            filled += (size + 1) & ~1
        }
        // Entries are packed against the page's end; LMDB moves them about relying on that.
        return filled == page.count - Int(upper) ? nil : .entriesOverlap
    }

    private static func leafFault(
        _ entry: TreeEntry, _ index: Int, role: TreeRole
    ) -> PageFault? {
        switch entry.flags {
        case 0, DataFileLayout.valueOnOwnPages:
            break
        case DataFileLayout.valueIsTree where role == .main:
            if entry.valueSize != DataFileLayout.treeRecord {
                return .treeRecordSize(entry: index, bytes: entry.valueSize)
            }
        default:
            return .entryKind(entry: index, flags: entry.flags)
        }
        if role == .freeList && entry.keySize != 8 { return .freeListRecord(entry: index) }
        return nil
    }
}
