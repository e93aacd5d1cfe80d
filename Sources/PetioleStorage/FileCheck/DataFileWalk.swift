/// A look at every page of a data file that is in use, without LMDB and without a map, so that it can be
/// taken of a file that would crash LMDB or comes from somebody else.
///
/// It takes two bits a page of memory, some pages, and the largest value visited.
package struct DataFileWalk: Sendable {
    /// Of the data file itself.
    package var path: String
    /// Whether the caller knows that nobody writes to the store. If somebody does, the pages of the state
    /// that is walked may be overwritten, and findings are then no proof of damage.
    package var isQuiet: Bool
    /// Larger values are not given to the visitor but reported. 256 MiB is four times the largest
    /// payload that is accepted by default.
    package var valueLimit: Int

    package init(path: String, isQuiet: Bool, valueLimit: Int = 256 << 20) {
        self.path = path
        self.isQuiet = isQuiet
        self.valueLimit = valueLimit
    }

    /// Walks the newest state of the file.
    /// - Parameters:
    ///   - databases: those whose entries are visited.
    ///   - visit: gets the database's name, the key and the value, in key order; entries of damaged
    ///     pages are left out.
    /// - Throws: ``DataFileProblem`` if the file cannot be read or has no sound headers to begin from.
    /// - Complexity: each page in use is read once.
    package func run(
        visiting databases: Set<String> = [],
        _ visit: (_ database: String, _ key: RawSpan, _ value: RawSpan) -> Void = { _, _, _ in }
    ) throws(DataFileProblem) -> DataFileReport {
        let file = try DataFile(path: path)
        let headers = try DataFileHeaders(file)
        // After the headers: a file grows before the header that names its new pages is written.
        let bytes = try file.status().bytes
        var walker = try DataFileWalker(
            file: file, headers: headers, fileBytes: bytes, valueLimit: valueLimit)
        walker.walkAll(file, visiting: databases) { name, key, value in
            // The bytes are initialised, and lent for the call alone.
            unsafe visit(name, key.bytes, value.bytes)
        }
        var report = walker.report(path: path, wasQuiet: isQuiet)
        do throws(DataFileProblem) {
            report.hasMovedOn = try DataFileHeaders(file) != headers
        } catch {
            // Headers that were sound and are not any more: somebody writes.
            report.hasMovedOn = true
        }
        return report
    }
}
