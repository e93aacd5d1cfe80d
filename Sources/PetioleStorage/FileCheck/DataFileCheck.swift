/// Looks at a store's data file before LMDB maps it.
///
/// LMDB tests the magic number, the version and a flag; a file that is cut short, or has a page of
/// something else in it, then ends the program with SIGBUS, SIGSEGV or SIGABRT. What is tested here is
/// what a few dozen reads can tell; ``DataFileWalk`` looks at every page.
package enum DataFileCheck {
    /// Returns if the store in a directory may be opened by LMDB: it is the caller's own, its headers
    /// and the roots of its trees are sound, and no page in use lies behind the end of the file.
    ///
    /// Processes that write to the store meanwhile do not disturb it.
    /// - Throws: ``DataFileProblem``; `noDirectory` and `noDataFile` mean that a store can be made.
    /// - Complexity: a few reads and one for each database. A file that ends before the store's last
    ///   page has its free list read as well, and if that does not explain it, every page in use.
    package static func beforeOpening(directory path: String) throws(DataFileProblem) {
        let directory = try StoreDirectory(path: path)
        let file = try directory.openDataFile()
        for _ in 0..<DataFileHeaders.lookLimit {
            let headers = try DataFileHeaders(file)
            guard let problem = try problem(file, headers) else { return }
            // Pages of a state may be reused two commits later, so what was seen counts only if the
            // state is still the newest.
            if try DataFileHeaders(file) == headers { throw problem }
        }
        throw .changing(path: file.path)
    }

    private static func problem(
        _ file: borrowing DataFile, _ headers: DataFileHeaders
    ) throws(DataFileProblem) -> DataFileProblem? {
        // After the headers: a file grows before the header that names its new pages is written.
        let bytes = try file.status().bytes
        let header = headers.newest
        var walker = try DataFileWalker(file: file, headers: headers, fileBytes: bytes)
        walker.examineRoots(file)
        if walker.findingCount == 0 && header.lastPage >= walker.pagesInFile {
            // Pages that were given out and freed in one transaction are never written, so a sound
            // file may end early. Then they are listed as free, and LMDB never reads a free page.
            if walker.tailIsFree(file) { return nil }
            walker = try DataFileWalker(file: file, headers: headers, fileBytes: bytes)
            walker.walkAll(file, visiting: []) { _, _, _ in }
        }
        guard let first = walker.findings.first else { return nil }
        let cut = walker.findings.first { $0.fault == .beyondFile(pages: walker.pagesInFile) }
        if let cut {
            return .cutShort(
                path: file.path, bytes: bytes, page: cut.page, pageSize: headers.pageSize)
        }
        return .damaged(path: file.path, first: first, findings: walker.findingCount)
    }
}
