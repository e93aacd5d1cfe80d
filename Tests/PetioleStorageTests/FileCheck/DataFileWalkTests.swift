import PetioleStorage
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Data file walk") struct DataFileWalkTests {
    private func walk(_ directory: TestDirectory) throws -> DataFileReport {
        try DataFileWalk(path: directory.dataFile, isQuiet: true).run()
    }

    private func same(_ counts: TreeCounts, _ other: LMDBCounts) -> Bool {
        counts.entries == other.entries && counts.depth == other.depth
            && counts.branchPages == other.branchPages && counts.leafPages == other.leafPages
            && counts.overflowPages == other.overflowPages
    }

    @Test("a store that LMDB wrote is whole, with LMDB's own counts", arguments: 1...10)
    func agreesWithLMDB(seed: Int) throws {
        let directory = try TestDirectory()
        let store = try SampleStore(in: directory)
        try store.fill(rounds: 2 * seed, seed: UInt64(seed))
        let report = try walk(directory)
        #expect(report.verdict == .whole, "\(report)")
        #expect(report.leakedPages == 0, "\(report)")
        #expect(report.pageCount == (try store.lastPage()) + 1)
        #expect(
            report.trees.map(\.name) == [
                .freeList, .main, .database("empty"), .database("jobs"), .database("native"),
                .database("outcomes"),
            ])
        #expect(same(report.trees[1].found, try store.mainCounts()))
        for tree in report.trees {
            #expect(tree.found == tree.recorded)
            guard case .database(let name) = tree.name else { continue }
            #expect(same(tree.found, try store.counts(of: name)), "\(name)")
        }
        try DataFileCheck.beforeOpening(directory: directory.path)
    }

    @Test(
        "long keys, deep trees, dropped databases and a free list with pages of its own are whole")
    func growsAndShrinks() throws {
        let directory = try TestDirectory()
        let store = try SampleStore(in: directory)
        var dice = Dice(state: 7)
        for _ in 0..<8 {
            try store.write { transaction in
                let wide = try transaction.database("wide", flags: reverseKeys)
                for _ in 0..<400 {
                    let key = dice.bytes(Int.random(in: 1...511, using: &dice))
                    let size = Int.random(in: 0...2_000, using: &dice)
                    try transaction.put(key, dice.bytes(size), in: wide)
                }
            }
            let report = try walk(directory)
            #expect(report.verdict == .whole && report.leakedPages == 0, "\(report)")
        }
        let deepest = try walk(directory).trees.map(\.found.depth).max()
        #expect(try #require(deepest) >= 3)
        try store.write { try $0.drop(try $0.database("wide")) }
        let report = try walk(directory)
        #expect(report.verdict == .whole && report.leakedPages == 0, "\(report)")
        let list = try #require(report.trees.first)
        #expect(list.found.overflowPages > 0)
        #expect(report.freeShare > 0.5)
    }

    @Test("a store that was made and never written is whole")
    func emptyStore() throws {
        let directory = try TestDirectory()
        _ = try SampleStore(in: directory)
        let report = try walk(directory)
        #expect(report.verdict == .whole && report.pageCount == 2 && report.freePages == 0)
        try DataFileCheck.beforeOpening(directory: directory.path)
    }

    @Test("every entry of the databases asked for is visited, in order, with its value")
    func visits() throws {
        let directory = try TestDirectory()
        let store = try SampleStore(in: directory)
        let sizes = [1, 100, 2_022, 2_023, 4_080, 4_081, 65_520, 300_000]
        var dice = Dice(state: 3)
        let values = sizes.map { dice.bytes($0) }
        try store.write { transaction in
            let jobs = try transaction.database("jobs")
            let other = try transaction.database("other")
            for (number, value) in values.enumerated() {
                try transaction.put(bigEndian(number), value, in: jobs)
                try transaction.put(bigEndian(number), value, in: other)
            }
        }
        var seen: [[UInt8]] = []
        let walk = DataFileWalk(path: directory.dataFile, isQuiet: true)
        let report = try walk.run(visiting: ["jobs"]) { database, key, value in
            #expect(database == "jobs")
            #expect(key.withUnsafeBytes { Array($0) } == bigEndian(seen.count))
            seen.append(value.withUnsafeBytes { Array($0) })
        }
        #expect(report.verdict == .whole)
        #expect(seen == values)

        let strict = DataFileWalk(path: directory.dataFile, isQuiet: true, valueLimit: 65_520)
        var visited = 0
        let limited = try strict.run(visiting: ["jobs"]) { _, _, _ in visited += 1 }
        #expect(visited == sizes.count - 1)
        #expect(limited.findings.map(\.fault) == [.valueOverLimit(entry: 7, bytes: 300_000)])
    }

    @Test("findings in a store that was written to meanwhile ask for another look")
    func changedWhileLooking() throws {
        let directory = try TestDirectory()
        let store = try SampleStore(in: directory)
        try store.fill(rounds: 3, seed: 4)
        for isQuiet in [false, true] {
            // Every page of the newest tree is freed, and reused two commits later, in mid-walk.
            let walk = DataFileWalk(path: directory.dataFile, isQuiet: isQuiet)
            var writes = 0
            let report = try walk.run(visiting: ["jobs"]) { _, _, _ in
                guard writes < 6 else { return }
                writes += 1
                do { try store.fill(rounds: 3, seed: UInt64(writes)) } catch {
                    Issue.record("\(error)")
                }
            }
            #expect(report.hasMovedOn)
            #expect(report.findingCount > 0)
            #expect(report.verdict == (isQuiet ? .damaged : .changedWhileLooking))
        }
    }

    @Test("a database with several values a key is named as none of ours")
    func severalValues() throws {
        let directory = try TestDirectory()
        let store = try SampleStore(in: directory)
        try store.write { transaction in
            let pairs = try transaction.database("pairs", flags: severalValuesAKey)
            try transaction.put([1], [1], in: pairs)
            try transaction.put([1], [2], in: pairs)
        }
        let report = try walk(directory)
        #expect(report.findings.map(\.fault) == [.severalValuesAKey])
        #expect(report.leakedPages == nil)
    }
}

/// `MDB_REVERSEKEY`.
private let reverseKeys: Int32 = 0x02
/// `MDB_DUPSORT`.
private let severalValuesAKey: Int32 = 0x04
