import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Inputs that are known") struct KnownInputsTests {
    let tool = Tool()

    @Test(
        "a hash is that of an independent implementation, however its text is cut",
        arguments: [
            (0, 0xBEA5_8827_B2BC_7EE7 as UInt64, 0x1303_0DD6_ADB6_2FD as UInt64),
            (7, 0xC3E0_AAF2_23B9_8410, 0x77AB_4808_C82E_2FA6),
            (8, 0xB4DA_E3D5_E1FE_12AA, 0x99C7_F935_AB16_4F72),
            (63, 0x6F42_FE4E_E300_584C, 0xAD60_52A7_0A6B_9F07),
        ])
    func hash(count: Int, low: UInt64, high: UInt64) {
        let key = KeyedHash.Key(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)
        let text = (0..<count).map { UInt8($0) }
        text.withUnsafeBytes { bytes in
            #expect(KeyedHash.of(bytes, key) == KeyedHash.Value(low: low, high: high))
            for cut in 0...count {
                var hash = KeyedHash(key)
                hash.add(UnsafeRawBufferPointer(rebasing: bytes[..<cut]))
                hash.add(UnsafeRawBufferPointer(rebasing: bytes[cut...]))
                #expect(hash.value == KeyedHash.Value(low: low, high: high), "cut at \(cut)")
            }
        }
    }

    @Test(
        "a table finds what was added and nothing else, while it grows in memory and into a file",
        arguments: [1 << 30, 1 << 16])
    func table(mostInMemory: Int) throws {
        let table = try InputTable(directory: tool.folder, mostInMemory: mostInMemory)
        let key = KeyedHash.Key(low: 1, high: 2)
        func hash(_ number: Int) -> KeyedHash.Value {
            withUnsafeBytes(of: number) { KeyedHash.of($0, key) }
        }
        for number in 1...20_000 {
            #expect(table.find(hash(number)) == nil)
            let place = try table.add(hash(number))
            #expect(place.pointee == 0)
            place.pointee = UInt32(number)
        }
        #expect(table.count == 20_000)
        for number in 1...20_000 {
            #expect(table.find(hash(number))?.pointee == UInt32(number))
            #expect(try table.add(hash(number)).pointee == UInt32(number))
        }
        #expect(table.find(hash(20_001)) == nil)
        // The file has no name, so that nothing is left of it.
        var names: [String] = []
        let folder = try #require(opendir(tool.folder))
        while let entry = readdir(folder) {
            names.append(
                withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        closedir(folder)
        #expect(Set(names) == [".", ".."])
    }

    @Test("keys that begin alike have their own numbers")
    func alike() throws {
        let table = try InputTable(directory: nil)
        for high in 1...500 {
            try table.add(KeyedHash.Value(low: .max, high: UInt64(high))).pointee = UInt32(high)
        }
        for high in 1...500 {
            #expect(
                table.find(KeyedHash.Value(low: .max, high: UInt64(high)))?.pointee == UInt32(high))
        }
        #expect(table.find(KeyedHash.Value(low: .max, high: 501)) == nil)
    }

    @Test("a table that finds no room for its file says how much it needs, and keeps what it has")
    func noRoom() throws {
        let table = try InputTable(directory: "\(tool.folder)/missing", mostInMemory: 1 << 15)
        func key(_ number: Int) -> KeyedHash.Value {
            withUnsafeBytes(of: number) { KeyedHash.of($0, KeyedHash.Key(low: 1, high: 2)) }
        }
        var added = 0
        let failure = #expect(throws: Failure.self) {
            while added < 10_000 {
                try table.add(key(added)).pointee = UInt32(added + 1)
                added += 1
            }
        }
        #expect(failure?.message.contains("the same line again goes on from here") == true)
        #expect(added > 0)
        for number in 0..<added { #expect(table.find(key(number))?.pointee == UInt32(number + 1)) }
    }

    @Test("each of equal inputs is known by which of them it is")
    func equals() throws {
        var known = try KnownInputs(directory: nil)
        func record(_ text: String, _ occurrence: Int, hasEnded: Bool) throws {
            let input = Input(Array(text.utf8))
            let mark = InputMark.bytes(InputMark.Key(input), occurrence: occurrence)
            try mark.withUnsafeBytes { try known.record($0, hasEnded: hasEnded) }
        }
        try record("a", 1, hasEnded: true)
        try record("a", 3, hasEnded: false)
        try record("b", 200, hasEnded: false)
        #expect(known.pendingUnlisted == 2)
        func list(_ text: String) throws -> Int? {
            try known.list(InputMark.Key(Input(Array(text.utf8))))
        }
        let first = [try list("a"), try list("a"), try list("a"), try list("a")]
        #expect(first == [nil, 2, nil, 4])
        #expect(known.pendingUnlisted == 1)
        #expect(try list("") == 1)
        #expect(try list("") == 2)
        let second = try (1...201).map { _ in try list("b") }
        #expect(second.count { $0 == nil } == 1 && second[199] == nil)
        #expect(known.pendingUnlisted == 0)
    }

    @Test("ranges of ids that follow each other are one, and many are put in order")
    func ranges() {
        var ranges: [ClosedRange<UInt64>] = []
        for range: ClosedRange<UInt64> in [1...2, 3...3, 5...6, 4...4] { ranges.add(range) }
        #expect(ranges == [1...3, 5...6, 4...4])
        ranges.add(9...9, atMost: 4)
        #expect(ranges == [1...6, 9...9])
    }

    @Test("an input that is the digest of a longer one is another")
    func digests() throws {
        let long = [UInt8](repeating: 1, count: 100_000)
        var known = try KnownInputs(directory: nil)
        for input in [Input(long), Input(Digest.bytes(long)), Input([0] + Digest.bytes(long))] {
            #expect(try known.list(InputMark.Key(input)) == 1)
        }
        let marks = [long, Digest.bytes(long)].map {
            InputMark.bytes(InputMark.Key(Input($0)), occurrence: 1)
        }
        var again = try KnownInputs(directory: nil)
        try marks[0].withUnsafeBytes { try again.record($0, hasEnded: true) }
        #expect(try again.list(InputMark.Key(Input(Digest.bytes(long)))) == 1)
        #expect(try again.list(InputMark.Key(Input(long))) == nil)
    }

    @Test(
        "jobs that are to run once more are told, however far apart they are",
        arguments: [1 << 30, 1 << 16])
    func endedJobs(mostInMemory: Int) throws {
        func table() throws -> InputTable {
            try InputTable(directory: tool.folder, mostInMemory: mostInMemory)
        }
        var known = KnownInputs(try table(), jobs: try table())
        let far: UInt64 = 1 << 33
        func key(_ number: UInt64) -> InputMark.Key {
            InputMark.Key(Input(Array("\(number)".utf8)))
        }
        let jobs = Array(7...3_000) + [far, far + 1, 3] as [UInt64]
        for job in jobs {
            try InputMark.bytes(key(job), occurrence: 1).withUnsafeBytes {
                try known.record($0, hasEnded: job % 5 != 0, job: job)
            }
        }
        for job in jobs.reversed() {
            #expect(try known.list(key(job)) == nil)
            #expect(known.lastEnded == (job % 5 == 0 ? nil : job))
        }
        #expect(try known.list(key(7)) == 2)
        #expect(known.lastEnded == nil)
    }
}
