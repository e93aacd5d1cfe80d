/// The state of one walk: what was reached, what is listed as free, what was found.
///
/// Every page number is tested against the file before it is read, every page is claimed once, and
/// a tree is walked with a stack of at most ``DataFileLayout/depthLimit`` pages: whatever the file holds,
/// the walk ends and stays inside its memory.
struct DataFileWalker: ~Copyable {
    /// A store of Petiole's has about twenty.
    static let databaseLimit = 1_024

    let header: HeaderPage
    let pageSize: Int
    let fileBytes: UInt64
    /// Whole pages in the file, and none behind the store's last page.
    let pagesInFile: UInt64
    let valueLimit: Int
    private(set) var findings: [DataFileFinding] = []
    private(set) var findingCount = 0

    private var reached: PageMap
    private var free: PageMap
    /// Free pages that are not in the file.
    private var freeInTail: UInt64 = 0
    private var trees: [TreeSummary] = []
    /// Holds a value that has pages of its own while it is visited; kept for the next one.
    private var spareValue: [UInt8] = []

    init(
        file: borrowing DataFile, headers: DataFileHeaders, fileBytes: UInt64,
        valueLimit: Int = 0
    ) throws(DataFileProblem) {
        header = headers.newest
        pageSize = headers.pageSize
        self.fileBytes = fileBytes
        self.valueLimit = valueLimit
        pagesInFile = min(fileBytes / UInt64(headers.pageSize), header.lastPage + 1)
        guard let reached = PageMap(pageCount: pagesInFile),
            let free = PageMap(pageCount: pagesInFile)
        else {
            throw .header(
                path: file.path, page: header.pageNumber, fault: .tooManyPages(pagesInFile))
        }
        self.reached = reached
        self.free = free
    }

    /// Examines the records and root pages of the free list, the list of databases and, if that is
    /// a single page, of each database.
    mutating func examineRoots(_ file: borrowing DataFile) {
        var page = [UInt8](repeating: 0, count: pageSize)
        _ = examineRoot(header.freeList, .freeList, .freeList, file, into: &page)
        guard examineRoot(header.main, .main, .main, file, into: &page), header.main.depth == 1
        else { return }
        var root = [UInt8](repeating: 0, count: pageSize)
        for (name, record) in databases(in: page.span) {
            _ = examineRoot(record, name, .named, file, into: &root)
        }
    }

    /// Whether every page behind the end of the file is listed as free.
    mutating func tailIsFree(_ file: borrowing DataFile) -> Bool {
        walk(header.freeList, .freeList, .freeList, file)
        return findingCount == 0 && freeInTail == header.lastPage + 1 - pagesInFile
    }

    /// Walks everything.
    mutating func walkAll(
        _ file: borrowing DataFile, visiting visited: Set<String>,
        _ visit: (String, Span<UInt8>, Span<UInt8>) -> Void
    ) {
        var databases: [(name: TreeName, record: TreeRecord)] = []
        walk(header.freeList, .freeList, .freeList, file)
        walk(
            header.main, .main, .main, file,
            eachLeaf: { walker, page, number in
                databases += walker.databases(in: page)
                guard databases.count > Self.databaseLimit else { return }
                walker.report(.main, number, .tooManyDatabases(limit: Self.databaseLimit))
                databases.removeSubrange(Self.databaseLimit...)
            })
        for (name, record) in databases {
            guard case .database(let text) = name, visited.contains(text) else {
                walk(record, name, .named, file)
                continue
            }
            walk(record, name, .named, file, isVisited: true, visit: { visit(text, $0, $1) })
        }
        if freeInTail > header.lastPage + 1 - pagesInFile {
            report(.freeList, header.freeList.root, .freedTwice)
        }
    }

    func report(path: String, wasQuiet: Bool) -> DataFileReport {
        var report = DataFileReport(
            path: path, fileBytes: fileBytes, pageSize: pageSize, pageCount: header.lastPage + 1,
            transaction: header.transaction, wasQuiet: wasQuiet)
        report.trees = trees
        report.freePages = free.count + freeInTail
        report.unwrittenPages = header.lastPage + 1 - pagesInFile
        report.findings = findings
        report.findingCount = findingCount
        if findingCount == 0 {
            // Nothing overlaps, so what is left over is leaked. The two headers are neither.
            report.leakedPages = report.pageCount - 2 - reached.count - report.freePages
        }
        return report
    }

    // MARK: - One tree

    /// A branch page on the way down, and the entry to go to next.
    private struct Level {
        var page: UInt64
        var bytes: [UInt8]
        var next: Int
        var count: Int
    }

    /// The last key or separator that was passed: what comes must not be before it.
    private struct Passed {
        var key: [UInt8] = []
        var isSeparator = false
        var isNone = true
    }

    /// Walks a tree in key order, compares its counts with its record, and notes its summary.
    private mutating func walk(
        _ record: TreeRecord, _ name: TreeName, _ role: TreeRole, _ file: borrowing DataFile,
        isVisited: Bool = false, visit: (Span<UInt8>, Span<UInt8>) -> Void = { _, _ in },
        eachLeaf: (inout Self, Span<UInt8>, UInt64) -> Void = { _, _, _ in }
    ) {
        let before = findingCount
        var found = TreeCounts()
        if let fault = recordFault(record, role) {
            report(name, record.root, fault)
        } else if record.root != DataFileLayout.noPage {
            found.depth = Int(record.depth)
            var levels: [Level] = []
            var spare: [[UInt8]] = []
            var leaf = [UInt8](repeating: 0, count: pageSize)
            var passed = Passed()
            let order = KeyOrder(flags: record.flags)
            var below: UInt64? = record.root
            while true {
                if let page = below.take() {
                    if levels.count + 1 == found.depth {
                        if load(page, true, name, role, file, into: &leaf) {
                            found.leafPages += 1
                            walkLeaf(
                                leaf.span, page, name, role, order, &passed, &found, file,
                                isVisited, visit)
                            eachLeaf(&self, leaf.span, page)
                        }
                    } else {
                        var bytes = spare.popLast() ?? [UInt8](repeating: 0, count: pageSize)
                        if load(page, false, name, role, file, into: &bytes) {
                            found.branchPages += 1
                            let count = TreePage.entryCount(bytes.span)
                            levels.append(Level(page: page, bytes: bytes, next: 0, count: count))
                        } else {
                            spare.append(bytes)
                        }
                    }
                }
                while let top = levels.last, top.next == top.count {
                    spare.append(levels.removeLast().bytes)
                }
                guard let top = levels.last else { break }
                below = descend(top.bytes.span, top.page, top.next, name, order, &passed)
                levels[levels.count - 1].next += 1
            }
        }
        let recorded = TreeCounts(
            entries: record.entries, depth: Int(record.depth), branchPages: record.branchPages,
            leafPages: record.leafPages, overflowPages: record.overflowPages)
        // After damage the counts say nothing new.
        if findingCount == before && recorded != found {
            report(name, record.root, .wrongCounts(recorded: recorded, found: found))
        }
        trees.append(TreeSummary(name: name, recorded: recorded, found: found))
    }

    /// The page that a branch's entry leads to, after its separator was compared.
    private mutating func descend(
        _ page: Span<UInt8>, _ number: UInt64, _ index: Int, _ name: TreeName, _ order: KeyOrder,
        _ passed: inout Passed
    ) -> UInt64 {
        let entry = TreeEntry(page, index)
        if index > 0 {
            let separator = page.extracting(entry.keyRange)
            if !passed.isNone && !order.precedes(passed.key.span, separator) {
                report(name, number, .keyOrder(entry: index))
            }
            Self.note(separator, isSeparator: true, in: &passed)
        }
        return entry.child
    }

    private mutating func walkLeaf(
        _ page: Span<UInt8>, _ number: UInt64, _ name: TreeName, _ role: TreeRole,
        _ order: KeyOrder,
        _ passed: inout Passed, _ found: inout TreeCounts, _ file: borrowing DataFile,
        _ isVisited: Bool, _ visit: (Span<UInt8>, Span<UInt8>) -> Void
    ) {
        let count = TreePage.entryCount(page)
        for index in 0..<count {
            let entry = TreeEntry(page, index)
            let key = page.extracting(entry.keyRange)
            if isOutOfOrder(key, index, page, order, passed) {
                report(name, number, .keyOrder(entry: index))
            }
            found.entries += 1
            var run: UInt64 = 0
            if entry.hasOwnPages {
                run = page.uint64(at: entry.valueStart)
                guard let pages = claimRun(run, entry, index, number, name, file) else { continue }
                found.overflowPages += pages
            }
            if role == .freeList {
                readFreePages(entry, index, run, page, number, file)
            } else if isVisited {
                visitValue(entry, index, run, page, number, name, file, visit)
            }
        }
        Self.note(
            page.extracting(TreeEntry(page, count - 1).keyRange), isSeparator: false, in: &passed)
    }

    private func isOutOfOrder(
        _ key: Span<UInt8>, _ index: Int, _ page: Span<UInt8>, _ order: KeyOrder, _ passed: Passed
    ) -> Bool {
        if index > 0 {
            return !order.precedes(page.extracting(TreeEntry(page, index - 1).keyRange), key)
        }
        if passed.isNone { return false }
        let last = passed.key.span
        // A key may equal the separator before it.
        return passed.isSeparator ? order.precedes(key, last) : !order.precedes(last, key)
    }

    private static func note(_ key: Span<UInt8>, isSeparator: Bool, in passed: inout Passed) {
        passed.key.removeAll(keepingCapacity: true)
        for offset in 0..<key.count { passed.key.append(key[offset]) }
        passed.isSeparator = isSeparator
        passed.isNone = false
    }

    // MARK: - Values

    /// Claims the pages of a value that has its own.
    /// - Returns: how many they are, or nil after a finding.
    private mutating func claimRun(
        _ start: UInt64, _ entry: TreeEntry, _ index: Int, _ leaf: UInt64, _ name: TreeName,
        _ file: borrowing DataFile
    ) -> UInt64? {
        if let fault = bounds(start) {
            report(name, start, fault)
            return nil
        }
        var head = [UInt8](repeating: 0, count: DataFileLayout.pageHeader)
        if let code = file.read(into: &head, at: start * UInt64(pageSize)) {
            report(
                name, start, code == 0 ? .beyondFile(pages: pagesInFile) : .unreadable(code: code))
            return nil
        }
        let number = head.span.uint64(at: 0)
        let flags = head.span.uint16(at: 10)
        let pages = UInt64(head.span.uint32(at: 12))
        let needed =
            UInt64(DataFileLayout.pageHeader + entry.valueSize + pageSize - 1)
            / UInt64(pageSize)
        if number != start {
            report(name, start, .wrongNumber(number))
        } else if flags != DataFileLayout.overflowPage {
            report(name, start, .wrongKind(flags: flags))
        } else if pages < needed {
            report(name, leaf, .valueTooLong(entry: index, pages: pages))
        } else if let fault = bounds(start + pages - 1) {
            report(name, start + pages - 1, fault)
        } else {
            for page in start..<(start + pages) {
                guard claim(page, name) else { return nil }
            }
            return pages
        }
        return nil
    }

    private mutating func visitValue(
        _ entry: TreeEntry, _ index: Int, _ run: UInt64, _ page: Span<UInt8>, _ number: UInt64,
        _ name: TreeName, _ file: borrowing DataFile, _ visit: (Span<UInt8>, Span<UInt8>) -> Void
    ) {
        let key = page.extracting(entry.keyRange)
        guard entry.hasOwnPages else { return visit(key, page.extracting(entry.valueRange)) }
        guard entry.valueSize <= valueLimit else {
            let bytes = UInt64(entry.valueSize)
            return report(name, number, .valueOverLimit(entry: index, bytes: bytes))
        }
        // Taken out of `self`, so that it can be lent while the walk goes on.
        var value: [UInt8] = []
        swap(&value, &spareValue)
        let start = run * UInt64(pageSize) + UInt64(DataFileLayout.pageHeader)
        if readValue(entry.valueSize, at: start, run, name, file, into: &value) {
            visit(key, value.span.extracting(0..<entry.valueSize))
        }
        swap(&value, &spareValue)
    }

    /// Reads some bytes of a value to the start of a buffer, which grows to hold them.
    private mutating func readValue(
        _ size: Int, at offset: UInt64, _ page: UInt64, _ name: TreeName,
        _ file: borrowing DataFile, into value: inout [UInt8]
    ) -> Bool {
        if value.count < size { value = [UInt8](repeating: 0, count: size) }
        guard let code = file.read(into: &value, count: size, at: offset) else { return true }
        report(name, page, code == 0 ? .beyondFile(pages: pagesInFile) : .unreadable(code: code))
        return false
    }

    // MARK: - Free pages

    /// How far a record of the free list was read: a count, then so many page numbers, the highest
    /// first.
    private struct FreeRecord {
        /// Page numbers to come; nil before the count was read.
        var left: UInt64?
        var above = UInt64.max
    }

    private mutating func readFreePages(
        _ entry: TreeEntry, _ index: Int, _ run: UInt64, _ page: Span<UInt8>, _ leaf: UInt64,
        _ file: borrowing DataFile
    ) {
        let transaction = page.uint64(at: entry.keyStart)
        var record = FreeRecord()
        guard entry.valueSize >= 8, transaction <= header.transaction else {
            return report(.freeList, leaf, .freeListRecord(entry: index))
        }
        guard entry.hasOwnPages else {
            return markFree(page.extracting(entry.valueRange), &record, entry, index, leaf)
        }
        // A record can be as large as the store, so it is read in parts; numbers take 8 bytes.
        let start = run * UInt64(pageSize) + UInt64(DataFileLayout.pageHeader)
        var part: [UInt8] = []
        for done in stride(from: 0, to: entry.valueSize, by: 65_536) where record.left != 0 {
            let size = min(65_536, entry.valueSize - done)
            guard readValue(size, at: start + UInt64(done), run, .freeList, file, into: &part)
            else { return }
            markFree(part.span.extracting(0..<size), &record, entry, index, leaf)
        }
    }

    /// Marks the pages that a part of a record lists.
    private mutating func markFree(
        _ part: Span<UInt8>, _ record: inout FreeRecord, _ entry: TreeEntry, _ index: Int,
        _ leaf: UInt64
    ) {
        var offset = 0
        var left: UInt64
        if let before = record.left {
            left = before
        } else {
            left = part.uint64(at: 0)
            offset = 8
            if left > UInt64(entry.valueSize / 8 - 1) {
                report(.freeList, leaf, .freeListRecord(entry: index))
                left = 0
            }
        }
        while left > 0 && offset + 8 <= part.count {
            let number = part.uint64(at: offset)
            if number >= record.above {
                report(.freeList, leaf, .freeListOrder(entry: index))
                left = 0
                break
            }
            markFree(number)
            record.above = number
            left -= 1
            offset += 8
        }
        record.left = left
    }

    // MARK: - Pages

    /// Claims a page, reads it and examines it; reports and returns false if it is not to be used.
    private mutating func load(
        _ page: UInt64, _ isLeaf: Bool, _ name: TreeName, _ role: TreeRole,
        _ file: borrowing DataFile, into bytes: inout [UInt8]
    ) -> Bool {
        if let fault = bounds(page) {
            report(name, page, fault)
            return false
        }
        guard claim(page, name) else { return false }
        return examine(page, isLeaf, name, role, file, into: &bytes)
    }

    private mutating func examine(
        _ page: UInt64, _ isLeaf: Bool, _ name: TreeName, _ role: TreeRole,
        _ file: borrowing DataFile, into bytes: inout [UInt8]
    ) -> Bool {
        var fault: PageFault?
        if let code = file.read(into: &bytes, at: page * UInt64(pageSize)) {
            fault = code == 0 ? .beyondFile(pages: pagesInFile) : .unreadable(code: code)
        } else {
            fault = TreePage.fault(in: bytes.span, number: page, isLeaf: isLeaf, role: role)
        }
        guard let fault else { return true }
        report(name, page, fault)
        return false
    }

    /// - Returns: whether the root was read and is sound; an empty tree has none.
    private mutating func examineRoot(
        _ record: TreeRecord, _ name: TreeName, _ role: TreeRole, _ file: borrowing DataFile,
        into bytes: inout [UInt8]
    ) -> Bool {
        if let fault = recordFault(record, role) {
            report(name, record.root, fault)
            return false
        }
        if record.root == DataFileLayout.noPage { return false }
        if let fault = bounds(record.root) {
            report(name, record.root, fault)
            return false
        }
        return examine(record.root, record.depth == 1, name, role, file, into: &bytes)
    }

    private func recordFault(_ record: TreeRecord, _ role: TreeRole) -> PageFault? {
        // In the free list's record the upper flags are the environment's.
        if role != .freeList && record.flags & DataFileLayout.severalValuesAKey != 0 {
            return .severalValuesAKey
        }
        return record.fault(lastPage: header.lastPage)
    }

    /// The named databases in a sound leaf of the main tree.
    private func databases(in page: Span<UInt8>) -> [(name: TreeName, record: TreeRecord)] {
        var found: [(name: TreeName, record: TreeRecord)] = []
        for index in 0..<TreePage.entryCount(page) {
            let entry = TreeEntry(page, index)
            guard entry.isTree else { continue }
            let key = page.extracting(entry.keyRange)
            let bytes = (0..<key.count).map { key[$0] }
            let record = TreeRecord(page, at: entry.valueStart)
            found.append((.database(String(decoding: bytes, as: UTF8.self)), record))
        }
        return found
    }

    private func bounds(_ page: UInt64) -> PageFault? {
        if page < 2 { return .headerInTree }
        if page > header.lastPage { return .beyondLastPage(last: header.lastPage) }
        return page < pagesInFile ? nil : .beyondFile(pages: pagesInFile)
    }

    /// Notes that a page inside the file is in use; reports and returns false if it was before.
    private mutating func claim(_ page: UInt64, _ name: TreeName) -> Bool {
        guard reached.insert(page) else {
            report(name, page, .reachedTwice)
            return false
        }
        if free.contains(page) { report(name, page, .alsoFree) }
        return true
    }

    private mutating func markFree(_ page: UInt64) {
        if page < 2 {
            report(.freeList, page, .headerInTree)
        } else if page > header.lastPage {
            report(.freeList, page, .beyondLastPage(last: header.lastPage))
        } else if page >= pagesInFile {
            freeInTail += 1
        } else if !free.insert(page) {
            report(.freeList, page, .freedTwice)
        } else if reached.contains(page) {
            report(.freeList, page, .alsoFree)
        }
    }

    private mutating func report(_ tree: TreeName, _ page: UInt64, _ fault: PageFault) {
        findingCount += 1
        guard findings.count < DataFileReport.findingLimit else { return }
        findings.append(DataFileFinding(tree: tree, page: page, fault: fault))
    }
}
