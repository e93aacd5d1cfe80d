import PetioleStorage
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// What the check before opening says of a directory; nil if nothing.
func problem(_ directory: TestDirectory) -> DataFileProblem? {
    problem(at: directory.path)
}

func problem(at path: String) -> DataFileProblem? {
    do {
        try DataFileCheck.beforeOpening(directory: path)
        return nil
    } catch {
        return error
    }
}

@Suite("Check before opening") struct DataFileCheckTests {
    @Test("nothing at the path, and a directory without a store, are told apart from damage")
    func nothingThere() throws {
        let directory = try TestDirectory()
        #expect(problem(directory) == .noDataFile(directory: directory.path))
        let missing = "\(directory.path)/none"
        #expect(problem(at: missing) == .noDirectory(path: missing))
    }

    @Test("a slash at the end of the path changes nothing")
    func trailingSlash() throws {
        let directory = try TestDirectory()
        try SampleStore.make(in: directory)
        #expect(problem(at: directory.path + "//") == nil)
    }

    @Test("a symbolic link is refused as the directory, the data file and the lock file")
    func links() throws {
        let directory = try TestDirectory()
        try SampleStore.make(in: directory)
        let link = directory.path + ".link"
        symlink(directory.path, link)
        defer { unlink(link) }
        #expect(problem(at: link) == .symbolicLink(path: link))
        #expect(problem(at: link + "/") == .symbolicLink(path: link))

        rename("\(directory.path)/lock.mdb", "\(directory.path)/other")
        symlink("other", "\(directory.path)/lock.mdb")
        #expect(problem(directory) == .symbolicLink(path: "\(directory.path)/lock.mdb"))
        rename("\(directory.path)/other", "\(directory.path)/lock.mdb")
        #expect(problem(directory) == nil)

        rename(directory.dataFile, "\(directory.path)/other")
        symlink("other", directory.dataFile)
        #expect(problem(directory) == .symbolicLink(path: directory.dataFile))
    }

    @Test("what is no regular file is refused without waiting for it")
    func otherKinds() throws {
        let directory = try TestDirectory()
        mkdir(directory.dataFile, 0o700)
        #expect(problem(directory) == .notARegularFile(path: directory.dataFile))
        rmdir(directory.dataFile)
        mkfifo(directory.dataFile, 0o600)
        #expect(problem(directory) == .notARegularFile(path: directory.dataFile))
        let path = "\(directory.path)/other"
        try write([1], to: path)
        #expect(problem(at: path) == .notADirectory(path: path))
    }

    @Test("a second name for the data file is refused")
    func hardLink() throws {
        let directory = try TestDirectory()
        try SampleStore.make(in: directory)
        link(directory.dataFile, "\(directory.path)/other")
        #expect(problem(directory) == .otherNames(path: directory.dataFile, links: 2))
        unlink("\(directory.path)/other")
        #expect(problem(directory) == nil)
    }

    @Test("a directory or file that others may write is refused", arguments: [0o020, 0o002])
    func writableByOthers(bit: UInt32) throws {
        let directory = try TestDirectory()
        try SampleStore.make(in: directory)
        chmod(directory.path, mode_t(0o700 | bit))
        #expect(problem(directory) == .writableByOthers(path: directory.path, mode: 0o700 | bit))
        chmod(directory.path, 0o700)
        for name in ["data.mdb", "lock.mdb"] {
            let path = "\(directory.path)/\(name)"
            chmod(path, mode_t(0o600 | bit))
            #expect(problem(directory) == .writableByOthers(path: path, mode: 0o600 | bit))
            chmod(path, 0o600)
        }
        #expect(problem(directory) == nil)
    }

    @Test(
        "a directory or file of another user is refused",
        .enabled(if: geteuid() == 0, "only root can give files away"))
    func otherOwner() throws {
        let directory = try TestDirectory()
        try SampleStore.make(in: directory)
        for path in [directory.path, directory.dataFile, "\(directory.path)/lock.mdb"] {
            chown(path, 12_345, 0)
            #expect(problem(directory) == .otherOwner(path: path, owner: 12_345, user: 0))
            chown(path, 0, 0)
        }
        #expect(problem(directory) == nil)
    }

    @Test(
        "a file without two pages is too short", arguments: [0, 1, 151, 152, 4_096, 4_247, 8_191])
    func tooShort(bytes: Int) throws {
        let directory = try TestDirectory()
        try SampleStore.make(in: directory)
        truncate(directory.dataFile, off_t(bytes))
        #expect(problem(directory) == .tooShort(path: directory.dataFile, bytes: UInt64(bytes)))
    }

    @Test("a store that ends early because its last pages were never written is opened")
    func unwrittenTail() throws {
        var unwritten: UInt64 = 0
        // Whether the freed pages are the last ones depends on which pages were free before.
        for rounds in 2..<12 {
            let directory = try TestDirectory()
            let store = try SampleStore(in: directory)
            try store.fill(rounds: rounds, seed: 9)
            try store.write { transaction in
                let jobs = try transaction.database("jobs")
                try transaction.put(bigEndian(1 << 40), [1], in: jobs)
                let value = [UInt8](repeating: 1, count: 1_000_000)
                try transaction.put(bigEndian(1 << 41), value, in: jobs)
                try transaction.delete(bigEndian(1 << 41), in: jobs)
            }
            let report = try DataFileWalk(path: directory.dataFile, isQuiet: true).run()
            unwritten += report.unwrittenPages
            #expect(report.verdict == .whole && report.leakedPages == 0, "\(report)")
            #expect(problem(directory) == nil)
        }
        #expect(unwritten > 0)
    }

    @Test("a store in use is not disturbed by commits between the reads")
    func whileWriting() throws {
        let directory = try TestDirectory()
        let store = try SampleStore(in: directory)
        for round in 0..<100 {
            try store.fill(rounds: 1, seed: UInt64(round))
            #expect(problem(directory) == nil)
        }
    }

    @Test("a message says what, where, and the next step")
    func messages() {
        let cut = DataFileProblem.cutShort(
            path: "/s/data.mdb", bytes: 49_152, page: 40, pageSize: 4_096)
        #expect(
            cut.description == """
                /s/data.mdb is cut short: page 40 is in use, and the file ends after 49152 bytes \
                (12 pages)
                  restore the store from a backup made by `mdb_copy`, or run `petiole doctor` to \
                see what is left
                """)
    }
}
