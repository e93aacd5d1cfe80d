import PetioleStorage
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// How LMDB fared with a file in a process of its own.
private enum Reading: Equatable {
    case whole
    case refused(status: Int32)
    case crashed(signal: Int32)
}

/// Lets `mdb_dump` read every entry of the store, if this machine has it.
private func readByLMDB(_ directory: TestDirectory) throws -> Reading? {
    let tool = "/usr/bin/mdb_dump"
    guard access(tool, X_OK) == 0 else { return nil }
    #if os(Linux)
        var actions = posix_spawn_file_actions_t()
    #else
        var actions: posix_spawn_file_actions_t?
    #endif
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor: Int32 in [1, 2] {
        posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
    }
    var arguments: [UnsafeMutablePointer<CChar>?] =
        [tool, "-a", directory.path].map { (text: String) in strdup(text) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var child = pid_t()
    try #require(posix_spawn(&child, tool, &actions, nil, &arguments, nil) == 0)
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 { try #require(errno == EINTR) }
    if status & 0x7F != 0 { return .crashed(signal: status & 0x7F) }
    return status == 0 ? .whole : .refused(status: status >> 8)
}

/// A change to a file of a store.
enum Mutation: CaseIterable {
    case truncation
    case anyByte
    case byteInHeader
    case pageZeroed
    case pageOfNoise
    case headerOfNoise

    func apply(to bytes: inout [UInt8], _ dice: inout Dice) {
        let pages = bytes.count / 4_096
        switch self {
        case .truncation:
            bytes.removeLast(Int.random(in: 1...bytes.count, using: &dice))
        case .anyByte:
            bytes[Int.random(in: 0..<bytes.count, using: &dice)] ^= UInt8.random(
                in: 1...255, using: &dice)
        case .byteInHeader:
            let offset = Int.random(in: 0..<152, using: &dice)
            let page = Int.random(in: 0...1, using: &dice)
            bytes[page * 4_096 + offset] ^= UInt8.random(in: 1...255, using: &dice)
        case .pageZeroed:
            let start = 4_096 * Int.random(in: 0..<pages, using: &dice)
            bytes.replaceSubrange(start..<(start + 4_096), with: repeatElement(0, count: 4_096))
        case .pageOfNoise:
            let start = 4_096 * Int.random(in: 0..<pages, using: &dice)
            bytes.replaceSubrange(start..<(start + 4_096), with: dice.bytes(4_096))
        case .headerOfNoise:
            let start = 4_096 * Int.random(in: 0...1, using: &dice)
            bytes.replaceSubrange(start..<(start + 4_096), with: dice.bytes(4_096))
        }
    }
}

@Suite("Changed data files") struct DataFileMutationTests {
    private let sound: [UInt8]
    private let directory: TestDirectory

    init() throws {
        directory = try TestDirectory()
        try SampleStore.make(in: directory)
        sound = try contents(of: directory.dataFile)
    }

    /// Whether a walk from the newer header finds nothing.
    private func isWhole() -> Bool {
        do throws(DataFileProblem) {
            let walk = DataFileWalk(path: directory.dataFile, isQuiet: true)
            return try walk.run(visiting: ["jobs", "outcomes"]) { _, _, _ in }.verdict == .whole
        } catch {
            return false
        }
    }

    @Test(
        "of 150 files each, LMDB reads every one in which the walk finds nothing",
        arguments: Mutation.allCases)
    func walkAgreesWithLMDB(mutation: Mutation) throws {
        var dice = Dice(state: 11)
        var read: Int?
        for number in 0..<150 {
            var bytes = sound
            mutation.apply(to: &bytes, &dice)
            try write(bytes, to: directory.dataFile)
            let opened = problem(directory)
            let isWhole = isWhole()
            if mutation == .headerOfNoise { #expect(opened != nil, "file \(number)") }
            guard isWhole || (mutation == .truncation && opened == nil) else { continue }
            #expect(opened == nil, "file \(number)")
            guard let reading = try readByLMDB(directory) else { continue }
            read = (read ?? 0) + 1
            if reading != .whole {
                let changed = sound.indices.first { $0 >= bytes.count || bytes[$0] != sound[$0] }
                Issue.record("file \(number), changed at \(changed ?? 0): \(reading)")
            }
        }
        // Most bytes are a value's, whose change no structure shows: LMDB must have read many.
        if mutation == .anyByte, let read { #expect(read > 50) }
    }

    @Test("a file cut before a page in use is refused, wherever it is cut")
    func everyTruncation() throws {
        var cuts: [Int] = []
        for page in 0...(sound.count / 4_096) {
            cuts += [4_096 * page - 1, 4_096 * page, 4_096 * page + 1]
        }
        for cut in cuts.reversed() where (0...sound.count).contains(cut) {
            try write(Array(sound[..<cut]), to: directory.dataFile)
            if problem(directory) == nil {
                #expect(isWhole(), "cut to \(cut)")
                if let reading = try readByLMDB(directory) {
                    #expect(reading == .whole, "cut to \(cut)")
                }
            } else {
                // Not refused without need: the walk agrees.
                #expect(!isWhole(), "cut to \(cut)")
            }
        }
    }

    @Test("a walk over any changed file ends, with a report or an error", arguments: 0..<4)
    func neverTraps(seed: Int) throws {
        var dice = Dice(state: UInt64(100 + seed))
        for _ in 0..<500 {
            var bytes = sound
            for _ in 0..<Int.random(in: 1...4, using: &dice) where bytes.count > 8_192 {
                let mutation = try #require(Mutation.allCases.randomElement(using: &dice))
                mutation.apply(to: &bytes, &dice)
            }
            try write(bytes, to: directory.dataFile)
            _ = isWhole()
            _ = problem(directory)
        }
    }

    @Test("a walk ends whatever a field of a page says", arguments: [0, 1, 0x7F, 0x80, 0xFF])
    func structuralBytes(value: UInt8) throws {
        // The first bytes of every page and of every entry: where numbers, flags and sizes are.
        var dice = Dice(state: UInt64(value))
        for page in 0..<(sound.count / 4_096) {
            for _ in 0..<10 {
                var bytes = sound
                let lower = Int(sound[4_096 * page + 12]) | Int(sound[4_096 * page + 13]) << 8
                let header = page < 2 ? 152 : min(max(lower, 16), 4_096)
                var offset = Int.random(in: 0..<header, using: &dice)
                if page >= 2 && lower > 16 && lower < 4_096 && Bool.random(using: &dice) {
                    let slot = 16 + 2 * Int.random(in: 0..<((header - 16) / 2), using: &dice)
                    let start =
                        Int(sound[4_096 * page + slot]) | Int(sound[4_096 * page + slot + 1]) << 8
                    offset = min(4_095, start + Int.random(in: 0..<16, using: &dice))
                }
                bytes[4_096 * page + offset] = value
                bytes[4_096 * page + (offset ^ 1)] = UInt8.random(in: 0...255, using: &dice)
                try write(bytes, to: directory.dataFile)
                _ = isWhole()
                _ = problem(directory)
            }
        }
    }

    @Test("one byte changed in the structure of a page in use is found")
    func pageHeaders() throws {
        let walk = DataFileWalk(path: directory.dataFile, isQuiet: true)
        let report = try walk.run()
        let jobs = try #require(report.trees.first { $0.name == .database("jobs") })
        #expect(jobs.found.branchPages > 0)
        var found = 0
        var pages = 0
        for page in 2..<(sound.count / 4_096) {
            // A page of a tree that calls itself by its number: in use, or once so.
            guard Int(sound[4_096 * page]) == page else { continue }
            var bytes = sound
            bytes[4_096 * page] ^= 0xFF
            try write(bytes, to: directory.dataFile)
            pages += 1
            if !isWhole() { found += 1 }
        }
        let inUse = Int(report.pageCount - 2 - report.freePages)
        let behindFirst = report.trees.map(\.found.overflowPages).reduce(0, +)
        // Every page with a header of its own; a value's later pages have none.
        #expect(found >= inUse - Int(behindFirst), "\(found) of \(pages), \(inUse) in use")
    }
}
