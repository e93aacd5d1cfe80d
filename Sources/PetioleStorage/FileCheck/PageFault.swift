/// What is wrong with a page, an entry in it, or a tree's own record.
package enum PageFault: Equatable, Sendable {
    /// The page lies behind the end of the file, which has this many.
    case beyondFile(pages: UInt64)
    /// The page lies behind the last one that the header names.
    case beyondLastPage(last: UInt64)
    /// A tree or the free list names page 0 or 1.
    case headerInTree
    /// The system could not read it.
    case unreadable(code: Int32)
    case wrongNumber(UInt64)
    case wrongKind(flags: UInt16)
    case freeSpace(lower: UInt16, upper: UInt16)
    case tooFewEntries(Int)
    case entryOutside(entry: Int)
    case entriesOverlap
    case keySize(entry: Int, bytes: Int)
    case entryKind(entry: Int, flags: UInt16)
    case keyOrder(entry: Int)
    case reachedTwice
    case alsoFree
    case freedTwice
    case freeListRecord(entry: Int)
    case freeListOrder(entry: Int)
    case valueTooLong(entry: Int, pages: UInt64)
    case valueOverLimit(entry: Int, bytes: UInt64)
    case treeRecordSize(entry: Int, bytes: Int)
    case severalValuesAKey
    case tooManyDatabases(limit: Int)
    case depth(UInt16)
    case pageCounts(branch: UInt64, leaf: UInt64, overflow: UInt64, last: UInt64)
    case emptyTreeWithEntries(depth: UInt16, entries: UInt64)
    /// What the tree's record says differs from what was found.
    case wrongCounts(recorded: TreeCounts, found: TreeCounts)
}

extension PageFault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .beyondFile(let pages):
            "is missing: the file ends after \(pages) pages"
        case .beyondLastPage(let last):
            "lies behind the store's last page, \(last)"
        case .headerInTree:
            "is one of the file's two header pages, and yet named as part of a tree"
        case .unreadable(let code):
            "cannot be read: \(systemText(code))"
        case .wrongNumber(let number):
            "calls itself page \(number)"
        case .wrongKind(let flags):
            "is not of the kind that belongs there (flags \(flags))"
        case .freeSpace(let lower, let upper):
            "has free space from \(lower) to \(upper), which cannot be"
        case .tooFewEntries(let count):
            "has too few entries (\(count))"
        case .entryOutside(let entry):
            "has an entry that leaves the page (entry \(entry))"
        case .entriesOverlap:
            "has entries that do not fill the space they are said to fill"
        case .keySize(let entry, let bytes):
            "has a key of \(bytes) bytes (entry \(entry)); 1 to 511 are possible"
        case .entryKind(let entry, let flags):
            "has an entry of an unknown kind (entry \(entry), flags \(flags))"
        case .keyOrder(let entry):
            "has a key out of order (entry \(entry))"
        case .reachedTwice:
            "is used in two places"
        case .alsoFree:
            "is in use and also listed as free"
        case .freedTwice:
            "is listed as free twice"
        case .freeListRecord(let entry):
            "has a list of free pages that is not whole (entry \(entry))"
        case .freeListOrder(let entry):
            "has a list of free pages that is not in order (entry \(entry))"
        case .valueTooLong(let entry, let pages):
            "has a value longer than the \(pages) pages it was given (entry \(entry))"
        case .valueOverLimit(let entry, let bytes):
            "has a value of \(bytes) bytes, more than is looked at (entry \(entry))"
        case .treeRecordSize(let entry, let bytes):
            "has a database's record of \(bytes) bytes instead of 48 (entry \(entry))"
        case .severalValuesAKey:
            "belongs to a database with several values a key, which Petiole never makes"
        case .tooManyDatabases(let limit):
            "names more than \(limit) databases, which Petiole never makes"
        case .depth(let depth):
            "is the root of a tree said to be \(depth) pages deep; 1 to 32 are possible"
        case .pageCounts(let branch, let leaf, let overflow, let last):
            """
            is the root of a tree said to have \(branch) branch, \(leaf) leaf and \(overflow) \
            overflow pages, in a store whose last page is \(last)
            """
        case .emptyTreeWithEntries(let depth, let entries):
            "is the root of a tree said to hold \(entries) entries at depth \(depth)"
        case .wrongCounts(let recorded, let found):
            "is the root of a tree said to hold \(recorded), where \(found) were found"
        }
    }
}

/// What is wrong with one of the file's two header pages.
package enum HeaderFault: Equatable, Sendable {
    case magic(UInt32)
    case version(UInt32)
    case number(UInt64)
    case flags(UInt16)
    case pageSize(UInt32)
    case pageSizesDiffer(UInt32, UInt32)
    case freeListFlags
    case parity(UInt64)
    /// The two pages' transactions are not neighbours.
    case transactions(UInt64, UInt64)
    /// A larger map than a process can have.
    case mapSize(UInt64)
    /// The last page does not fit the map that the header names.
    case lastPage(UInt64, mapSize: UInt64)
    /// More pages than are looked at.
    case tooManyPages(UInt64)
}

extension HeaderFault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .magic(let magic):
            "does not begin as LMDB's do (magic 0x\(String(magic, radix: 16)))"
        case .version(let version):
            "is of data version \(version); this program reads version 1"
        case .number(let number):
            "calls itself page \(number)"
        case .flags(let flags):
            "is not marked as a header (flags \(flags))"
        case .pageSize(let size):
            "gives a page size of \(size); powers of two from 512 to 32,768 are possible"
        case .pageSizesDiffer(let first, let second):
            "gives a page size of \(second), the other one \(first)"
        case .freeListFlags:
            "describes a free list that is not one"
        case .parity(let transaction):
            "names transaction \(transaction), which belongs in the other header page"
        case .transactions(let first, let second):
            "names transaction \(second), the other one \(first); they must follow each other"
        case .mapSize(let bytes):
            "asks for a map of \(bytes) bytes, more than a process can have"
        case .lastPage(let page, let mapSize):
            "names page \(page) as the last one, which a map of \(mapSize) bytes cannot hold"
        case .tooManyPages(let pages):
            "tells of \(pages) pages, more than can be looked at"
        }
    }
}
