import PetioleStorage

/// A look at every page and every record of a store's file, without LMDB: it may be damaged.
package struct StoreCheck: Sendable {
    package enum Verdict: Sendable {
        case whole
        case damaged
        /// Others wrote to the store all the time, so that nothing is proved.
        case changing
    }
    package var verdict = Verdict.whole
    package var fileBytes: UInt64 = 0
    package var pages: UInt64 = 0
    package var freePages: UInt64 = 0
    /// Pages that are neither free nor in use; nil where damage hid a part of the file.
    package var leakedPages: UInt64?
    package var jobBlocks = 0
    package var jobs = 0
    package var outcomeBlocks = 0
    package var outcomes = 0
    /// What is wrong, a sentence each: the first 100.
    package var findings: [String] = []
    package var findingCount = 0

    /// The format's version; nil where its record was not found.
    private var version: UInt16?
    private static let findingLimit = 100
    /// A store that others write to is looked at so often before we give up.
    private static let looks = 3

    /// Checks the store in a directory.
    /// - Throws: ``StoreError/noStore(path:)``, ``StoreError/notAStore(path:reason:)``,
    ///   ``StoreError/newerFormat(path:found:supported:)``, whose records cannot be judged here, or another one that says why
    ///   nothing could be looked at.
    /// - Complexity: each page in use is read once.
    package static func run(directory path: String) throws(StoreError) -> StoreCheck {
        var check = StoreCheck()
        for _ in 0..<looks {
            check = StoreCheck()
            do throws(DataFileProblem) {
                try DataFileCheck.beforeOpening(directory: path)
                try check.walk("\(path)/data.mdb")
            } catch {
                switch error {
                case .noDirectory: throw .noStore(path: path)
                case .noDataFile, .notADirectory:
                    throw .notAStore(path: path, reason: "it has no data.mdb")
                case .cannotRead(_, let code):
                    throw .notPermitted(path: path, reason: SpawnError.text(code))
                case .changing: check.verdict = .changing
                case .otherMachine: throw .remoteFileSystem(path: path)
                default:
                    check.report(
                        error.description.split(separator: "\n").first.map(String.init) ?? "")
                    check.verdict = .damaged
                    // The walk says more, where there is enough of the file for one.
                    do throws(DataFileProblem) { try check.walk("\(path)/data.mdb") } catch {}
                }
            }
            if check.verdict != .changing { break }
        }
        if let version = check.version, version > StoreFormat.version {
            throw .newerFormat(
                path: path, found: Int(version), supported: Int(StoreFormat.version))
        }
        return check
    }

    /// Checks a data file that nobody writes to, whatever its name.
    static func run(file path: String) throws(DataFileProblem) -> StoreCheck {
        var check = StoreCheck()
        try check.walk(path)
        return check
    }

    private mutating func walk(_ file: String) throws(DataFileProblem) {
        var records = Records()
        let walk = DataFileWalk(path: file, isQuiet: false)
        let report = try walk.run(visiting: [
            "meta", "jobs", "outcomes", "kept", "revised", "schedules",
        ]) { database, key, value in
            if database == "schedules" {
                key.withUnsafeBytes { key in
                    value.withUnsafeBytes { records.examineSchedule(key, $0) }
                }
                return
            }
            if database == "meta" {
                let isFormat = key.withUnsafeBytes { $0.elementsEqual(RecordKey.format) }
                if isFormat { value.withUnsafeBytes { records.examineFormat($0) } }
                return
            }
            guard key.byteCount == 8 else {
                return records.report("a key of \(database) is not an id")
            }
            let id = key.withUnsafeBytes { $0.bigEndian(at: 0, as: UInt64.self) }
            value.withUnsafeBytes { records.examine(database, id, $0) }
        }
        fileBytes = report.fileBytes
        pages = report.pageCount
        freePages = report.freePages
        leakedPages = report.leakedPages
        version = records.version
        jobBlocks = records.jobBlocks
        jobs = records.jobs
        outcomeBlocks = records.outcomeBlocks
        outcomes = records.outcomes
        for finding in report.findings { self.report(finding.description) }
        findingCount += report.findingCount - report.findings.count
        for finding in records.findings { self.report(finding) }
        findingCount += records.findingCount - records.findings.count
        if version == nil, findingCount == 0 { self.report("it has no format record") }
        if report.verdict == .changedWhileLooking || report.hasMovedOn && findingCount > 0 {
            verdict = .changing
        } else if findingCount > 0 {
            verdict = .damaged
        }
    }

    private mutating func report(_ finding: String) {
        findingCount += 1
        if findings.count < Self.findingLimit { findings.append(finding) }
    }

    private struct Records {
        var version: UInt16?
        var jobBlocks = 0
        var jobs = 0
        var outcomeBlocks = 0
        var outcomes = 0
        var jobsEnd: UInt64 = 0
        var outcomesEnd: UInt64 = 0
        var findings: [String] = []
        var findingCount = 0

        mutating func report(_ finding: String) {
            findingCount += 1
            if findings.count < StoreCheck.findingLimit { findings.append(finding) }
        }

        mutating func examineFormat(_ value: UnsafeRawBufferPointer) {
            do throws(FormatError) {
                version = try FormatRecord(value).version
            } catch {
                report(error.description)
            }
        }

        mutating func examineSchedule(
            _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
        ) {
            do throws(FormatError) {
                try ScheduleRows.check(key, value)
            } catch {
                report(error.description)
            }
        }

        mutating func examine(_ database: String, _ id: UInt64, _ value: UnsafeRawBufferPointer) {
            do throws(FormatError) {
                switch database {
                case "jobs", "kept":
                    let block = try JobBlockView(first: id, value: value)
                    if database == "jobs" {
                        if id < jobsEnd { report("the blocks before and at job \(id) overlap") }
                        jobsEnd = block.end
                    }
                    jobBlocks += 1
                    jobs += block.count
                    for id in block.first..<block.end { examine { _ = try block.entry(id) } }
                default:
                    let block = try OutcomeBlockView(first: id, value: value)
                    if database == "outcomes" {
                        if id < outcomesEnd { report("job \(id) has two outcomes") }
                        outcomesEnd = block.end
                    }
                    outcomeBlocks += 1
                    outcomes += block.count
                    for id in block.first..<block.end { examine { _ = try block.entry(id) } }
                }
            } catch {
                report(error.description)
            }
        }

        private mutating func examine(_ read: () throws -> Void) {
            do { try read() } catch { report("\(error)") }
        }
    }
}
