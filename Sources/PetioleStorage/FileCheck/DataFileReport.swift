/// One of the trees in a data file.
package enum TreeName: Hashable, Sendable {
    /// The list of pages that are free for reuse.
    case freeList
    /// The tree whose entries are the named databases.
    case main
    case database(String)
}

extension TreeName: CustomStringConvertible {
    package var description: String {
        switch self {
        case .freeList: "the free list"
        case .main: "the list of databases"
        case .database(let name): "database \"\(name)\""
        }
    }
}

/// How much a tree holds.
package struct TreeCounts: Equatable, Sendable {
    package var entries: UInt64 = 0
    package var depth: Int = 0
    package var branchPages: UInt64 = 0
    package var leafPages: UInt64 = 0
    package var overflowPages: UInt64 = 0
}

extension TreeCounts: CustomStringConvertible {
    package var description: String {
        """
        \(entries) entries at depth \(depth) in \(branchPages) branch, \(leafPages) leaf and \
        \(overflowPages) overflow pages
        """
    }
}

/// What a tree's record says it holds, and what was found.
package struct TreeSummary: Equatable, Sendable {
    package var name: TreeName
    package var recorded: TreeCounts
    package var found: TreeCounts
}

/// Something in a data file that LMDB did not write so.
package struct DataFileFinding: Equatable, Sendable {
    package var tree: TreeName
    package var page: UInt64
    package var fault: PageFault
}

extension DataFileFinding: CustomStringConvertible {
    package var description: String { "page \(page) of \(tree) \(fault)" }
}

/// What a walk over a data file saw.
package struct DataFileReport: Equatable, Sendable {
    /// What the report comes to.
    package enum Verdict: Equatable, Sendable {
        case whole
        case damaged
        /// The store was written to during the walk, so the findings may be pages seen in mid-change: look again.
        case changedWhileLooking
    }

    /// A damaged file may yield a finding a page; the rest is only counted.
    package static let findingLimit = 100

    package var path: String
    package var fileBytes: UInt64
    package var pageSize: Int
    /// Pages of the store, the two headers included; the last ones need not be in the file.
    package var pageCount: UInt64
    /// The newest transaction, which is the state that was walked.
    package var transaction: UInt64
    /// The free list, the list of databases, then the databases in the order of their names' bytes.
    package var trees: [TreeSummary] = []
    package var freePages: UInt64 = 0
    /// Pages that are neither free nor in use: lost to LMDB, harmless but for the room. Nil where
    /// damage hid a part of the file.
    package var leakedPages: UInt64?
    /// Pages at the store's end that were given out and never written.
    package var unwrittenPages: UInt64 = 0
    /// The first ``findingLimit`` findings.
    package var findings: [DataFileFinding] = []
    package var findingCount = 0
    /// Whether the newest transaction was another one at the walk's end.
    package var hasMovedOn = false
    /// Whether the caller said that nobody writes.
    package var wasQuiet: Bool

    package var verdict: Verdict {
        if findingCount == 0 { return .whole }
        return hasMovedOn && !wasQuiet ? .changedWhileLooking : .damaged
    }

    /// The share of the store's pages that are free, from 0 to 1.
    package var freeShare: Double { Double(freePages) / Double(max(1, pageCount)) }
}

extension DataFileReport: CustomStringConvertible {
    package var description: String {
        var lines: [String] = []
        switch verdict {
        case .whole:
            lines.append("\(path) is whole")
        case .damaged:
            lines.append(
                "\(path) is damaged: \(findingCount) \(findingCount == 1 ? "finding" : "findings")")
            lines += findings.map { "  \($0)" }
            if findingCount > findings.count {
                lines.append("  and \(findingCount - findings.count) more")
            }
        case .changedWhileLooking:
            lines.append("\(path) changed while it was looked at: look again, or stop who writes")
        }
        let percent = Int((freeShare * 100).rounded())
        lines.append(
            """
              \(fileBytes) bytes, \(pageCount) pages of \(pageSize), \(freePages) free \
            (\(percent) %), transaction \(transaction)
            """)
        if let leakedPages, leakedPages > 0 {
            lines.append(
                "  \(leakedPages) pages are neither free nor in use; `mdb_copy` makes a copy with them"
            )
        }
        lines += trees.map { "  \($0.name): \($0.found)" }
        return lines.joined(separator: "\n")
    }
}
