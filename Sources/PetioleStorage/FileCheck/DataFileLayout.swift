// The layout of LMDB 0.9's data file (data version 1) on a 64-bit machine of little-endian order,
// as `mdb.c` declares it. Every read below stays inside the span it is given, or stops the program:
// callers compare lengths first.

/// Sizes, offsets and flags of LMDB's data file.
enum DataFileLayout {
    /// `MDB_MAGIC`.
    static let magic: UInt32 = 0xBEEF_C0DE
    /// `MDB_DATA_VERSION`.
    static let version: UInt32 = 1
    /// `P_INVALID`: the root of a tree without entries.
    static let noPage = UInt64.max
    /// `PAGEHDRSZ`: what a page begins with.
    static let pageHeader = 16
    /// A page header and an `MDB_meta` behind it.
    static let headerBytes = 16 + 136
    /// `NODESIZE`: what an entry of a page begins with.
    static let nodeHeader = 8
    /// `sizeof(MDB_db)`.
    static let treeRecord = 48
    /// `CURSOR_STACK`: no tree that LMDB can read is deeper.
    static let depthLimit: UInt16 = 32
    /// `MDB_MAXKEYSIZE` as Debian and Homebrew build it.
    static let keyLimit = 511
    /// From `MDB_MINPGSIZE`'s successor to `MAX_PAGESIZE`: sixteen-bit offsets cannot say 65,536.
    static let pageSizes = 512...32_768

    /// Kinds of page.
    static let branchPage: UInt16 = 0x01
    static let leafPage: UInt16 = 0x02
    static let overflowPage: UInt16 = 0x04
    static let headerPage: UInt16 = 0x08

    /// Kinds of entry in a leaf.
    static let valueOnOwnPages: UInt16 = 0x01
    static let valueIsTree: UInt16 = 0x02
    static let valueIsDuplicates: UInt16 = 0x04

    /// Flags of a tree that this project's stores may carry; the others belong to `MDB_DUPSORT`.
    static let reverseKeys: UInt16 = 0x02
    static let severalValuesAKey: UInt16 = 0x04 | 0x10 | 0x20 | 0x40
    static let integerKeys: UInt16 = 0x08
}

extension Span<UInt8> {
    /// The two bytes at an offset.
    func uint16(at offset: Int) -> UInt16 { UInt16(littleEndian: load(at: offset)) }

    /// The four bytes at an offset.
    func uint32(at offset: Int) -> UInt32 { UInt32(littleEndian: load(at: offset)) }

    /// The eight bytes at an offset.
    func uint64(at offset: Int) -> UInt64 { UInt64(littleEndian: load(at: offset)) }

    private func load<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int) -> Value {
        precondition(
            offset >= 0 && offset <= count - MemoryLayout<Value>.size,
            "offset \(offset) is outside \(count) bytes")
        // The precondition keeps the load inside the span, and any bits are an integer.
        return unsafe withUnsafeBytes {
            unsafe $0.loadUnaligned(fromByteOffset: offset, as: Value.self)
        }
    }
}

/// What LMDB records of a tree (`MDB_db`): where it begins, and how much it holds.
struct TreeRecord: Equatable, Sendable {
    var pageSize: UInt32
    var flags: UInt16
    var depth: UInt16
    var branchPages: UInt64
    var leafPages: UInt64
    var overflowPages: UInt64
    var entries: UInt64
    var root: UInt64

    init(_ bytes: Span<UInt8>, at offset: Int) {
        pageSize = bytes.uint32(at: offset)
        flags = bytes.uint16(at: offset + 4)
        depth = bytes.uint16(at: offset + 6)
        branchPages = bytes.uint64(at: offset + 8)
        leafPages = bytes.uint64(at: offset + 16)
        overflowPages = bytes.uint64(at: offset + 24)
        entries = bytes.uint64(at: offset + 32)
        root = bytes.uint64(at: offset + 40)
    }

    /// What is wrong with the record, judged alone.
    /// - Parameter lastPage: the number of the store's last page.
    func fault(lastPage: UInt64) -> PageFault? {
        if root == DataFileLayout.noPage {
            let isEmpty = depth == 0 && entries == 0
            return isEmpty ? nil : .emptyTreeWithEntries(depth: depth, entries: entries)
        }
        if root < 2 { return .headerInTree }
        if root > lastPage { return .beyondLastPage(last: lastPage) }
        if depth == 0 || depth > DataFileLayout.depthLimit { return .depth(depth) }
        let (some, over) = branchPages.addingReportingOverflow(leafPages)
        let (all, overToo) = some.addingReportingOverflow(overflowPages)
        if over || overToo || leafPages == 0 || all > lastPage {
            return .pageCounts(
                branch: branchPages, leaf: leafPages, overflow: overflowPages, last: lastPage)
        }
        return entries == 0 ? .emptyTreeWithEntries(depth: depth, entries: 0) : nil
    }
}

/// One of the two pages at the start of the file (`MDB_meta`), which each name a whole state of it.
struct HeaderPage: Equatable, Sendable {
    var pageNumber: UInt64
    var pageFlags: UInt16
    var magic: UInt32
    var version: UInt32
    var mapSize: UInt64
    var freeList: TreeRecord
    var main: TreeRecord
    var lastPage: UInt64
    var transaction: UInt64

    /// - Parameter bytes: at least ``DataFileLayout/headerBytes``.
    init(_ bytes: Span<UInt8>) {
        pageNumber = bytes.uint64(at: 0)
        pageFlags = bytes.uint16(at: 10)
        magic = bytes.uint32(at: 16)
        version = bytes.uint32(at: 20)
        mapSize = bytes.uint64(at: 32)
        freeList = TreeRecord(bytes, at: 40)
        main = TreeRecord(bytes, at: 88)
        lastPage = bytes.uint64(at: 136)
        transaction = bytes.uint64(at: 144)
    }

    /// What makes this no header page of LMDB's, whatever state it names.
    /// - Parameter number: 0 or 1.
    func fault(number: UInt64) -> HeaderFault? {
        if magic != DataFileLayout.magic { return .magic(magic) }
        if version != DataFileLayout.version { return .version(version) }
        if pageNumber != number { return .number(pageNumber) }
        if pageFlags != DataFileLayout.headerPage { return .flags(pageFlags) }
        let size = Int(freeList.pageSize)
        if !DataFileLayout.pageSizes.contains(size) || size & (size - 1) != 0 {
            return .pageSize(freeList.pageSize)
        }
        if freeList.flags & DataFileLayout.integerKeys == 0 { return .freeListFlags }
        // LMDB writes transaction n to page n & 1; both are 0 before the first commit.
        if transaction & 1 != number && transaction != 0 { return .parity(transaction) }
        return nil
    }
}

/// The order in which a tree keeps its keys, by its flags.
enum KeyOrder {
    case bytes
    case reversedBytes
    case integers

    init(flags: UInt16) {
        if flags & DataFileLayout.integerKeys != 0 {
            self = .integers
        } else if flags & DataFileLayout.reverseKeys != 0 {
            self = .reversedBytes
        } else {
            self = .bytes
        }
    }

    /// Whether the first key comes before the second.
    func precedes(_ first: Span<UInt8>, _ second: Span<UInt8>) -> Bool {
        let shorter = min(first.count, second.count)
        switch self {
        case .bytes:
            for offset in 0..<shorter {
                let a = first[offset]
                let b = second[offset]
                if a != b { return a < b }
            }
        case .reversedBytes, .integers:
            for offset in 1..<(shorter + 1) {
                let a = first[first.count - offset]
                let b = second[second.count - offset]
                if a != b { return a < b }
            }
        }
        return first.count < second.count
    }
}
