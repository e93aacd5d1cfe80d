import CLMDB
import Testing

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A directory for one test, removed with what is in it when the test lets go of it.
final class TestDirectory {
    let path: String
    var dataFile: String { "\(path)/data.mdb" }

    init() throws {
        var template = Array("/tmp/petiole-filecheck-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) }
        path = String(cString: try #require(made))
    }

    deinit {
        for name in ["data.mdb", "lock.mdb", "other"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }
}

/// What LMDB itself says a database holds.
struct LMDBCounts: Equatable {
    var entries: UInt64
    var depth: Int
    var branchPages: UInt64
    var leafPages: UInt64
    var overflowPages: UInt64

    init(_ stat: MDB_stat) {
        entries = UInt64(stat.ms_entries)
        depth = Int(stat.ms_depth)
        branchPages = UInt64(stat.ms_branch_pages)
        leafPages = UInt64(stat.ms_leaf_pages)
        overflowPages = UInt64(stat.ms_overflow_pages)
    }
}

struct LMDBError: Error, CustomStringConvertible {
    let code: Int32
    var description: String { String(cString: mdb_strerror(code)) }
}

/// A store written by LMDB itself, for the checks to look at.
final class SampleStore {
    let directory: TestDirectory
    private let environment: OpaquePointer

    init(in directory: TestDirectory, mapBytes: Int = 64 << 20) throws {
        self.directory = directory
        var made: OpaquePointer?
        try Self.expect(mdb_env_create(&made))
        environment = try #require(made)
        try Self.expect(mdb_env_set_maxdbs(environment, 32))
        try Self.expect(mdb_env_set_mapsize(environment, mapBytes))
        // Tests need no durability: nothing here survives them.
        try Self.expect(mdb_env_open(environment, directory.path, UInt32(MDB_NOSYNC), 0o600))
    }

    deinit { mdb_env_close(environment) }

    static func expect(_ code: Int32) throws {
        if code != 0 { throw LMDBError(code: code) }
    }

    /// The write transaction of one closure.
    struct Transaction {
        let handle: OpaquePointer

        func database(_ name: String, flags: Int32 = 0) throws -> MDB_dbi {
            var database = MDB_dbi()
            let all = UInt32(flags) | UInt32(MDB_CREATE)
            try SampleStore.expect(mdb_dbi_open(handle, name, all, &database))
            return database
        }

        func put(_ key: [UInt8], _ value: [UInt8], in database: MDB_dbi) throws {
            var (key, value) = (key, value)
            try key.withUnsafeMutableBytes { keyBytes in
                try value.withUnsafeMutableBytes { valueBytes in
                    var keyValue = MDB_val(
                        mv_size: keyBytes.count, mv_data: keyBytes.baseAddress)
                    var valueValue = MDB_val(
                        mv_size: valueBytes.count, mv_data: valueBytes.baseAddress)
                    try SampleStore.expect(mdb_put(handle, database, &keyValue, &valueValue, 0))
                }
            }
        }

        func delete(_ key: [UInt8], in database: MDB_dbi) throws {
            var key = key
            try key.withUnsafeMutableBytes { bytes in
                var value = MDB_val(mv_size: bytes.count, mv_data: bytes.baseAddress)
                let code = mdb_del(handle, database, &value, nil)
                if code != MDB_NOTFOUND { try SampleStore.expect(code) }
            }
        }

        func drop(_ database: MDB_dbi) throws {
            try SampleStore.expect(mdb_drop(handle, database, 0))
        }
    }

    func write(_ body: (Transaction) throws -> Void) throws {
        var handle: OpaquePointer?
        try Self.expect(mdb_txn_begin(environment, nil, 0, &handle))
        let transaction = Transaction(handle: try #require(handle))
        do {
            try body(transaction)
        } catch {
            mdb_txn_abort(transaction.handle)
            throw error
        }
        try Self.expect(mdb_txn_commit(transaction.handle))
    }

    func counts(of name: String) throws -> LMDBCounts {
        var handle: OpaquePointer?
        try Self.expect(mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &handle))
        let transaction = try #require(handle)
        defer { mdb_txn_abort(transaction) }
        var database = MDB_dbi()
        try Self.expect(mdb_dbi_open(transaction, name, 0, &database))
        var stat = MDB_stat()
        try Self.expect(mdb_stat(transaction, database, &stat))
        return LMDBCounts(stat)
    }

    func mainCounts() throws -> LMDBCounts {
        var stat = MDB_stat()
        try Self.expect(mdb_env_stat(environment, &stat))
        return LMDBCounts(stat)
    }

    func lastPage() throws -> UInt64 {
        var info = MDB_envinfo()
        try Self.expect(mdb_env_info(environment, &info))
        return UInt64(info.me_last_pgno)
    }
}

/// Numbers that are the same in each run.
struct Dice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        // SplitMix64.
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            withUnsafeBytes(of: next()) { bytes.append(contentsOf: $0.prefix(count - bytes.count)) }
        }
        return bytes
    }
}

func bigEndian(_ number: Int) -> [UInt8] {
    withUnsafeBytes(of: UInt64(number).bigEndian) { Array($0) }
}

extension SampleStore {
    /// Named databases, two levels and more of pages, values with pages of their own, and freed pages:
    /// some 200 KiB.
    static func make(in directory: TestDirectory, rounds: Int = 6, seed: UInt64 = 1) throws {
        let store = try SampleStore(in: directory)
        try store.fill(rounds: rounds, seed: seed)
    }

    func fill(rounds: Int, seed: UInt64) throws {
        var dice = Dice(state: seed)
        for round in 0..<rounds {
            try write { transaction in
                let jobs = try transaction.database("jobs")
                let outcomes = try transaction.database("outcomes")
                let native = try transaction.database("native", flags: MDB_INTEGERKEY)
                _ = try transaction.database("empty")
                for number in 0..<120 {
                    let key = bigEndian(round * 120 + number)
                    let size = Int.random(in: 1...200, using: &dice)
                    try transaction.put(key, dice.bytes(size), in: jobs)
                }
                for number in 0..<3 {
                    let key = bigEndian(Int.random(in: 0..<40, using: &dice))
                    let size = Int.random(in: 2_500...20_000, using: &dice)
                    try transaction.put(key, dice.bytes(size), in: outcomes)
                    let number = UInt64(number + 3 * round)
                    let nativeKey = withUnsafeBytes(of: number) { Array($0) }
                    try transaction.put(nativeKey, [1], in: native)
                }
                for _ in 0..<40 {
                    let gone = Int.random(in: 0..<(round + 1) * 120, using: &dice)
                    try transaction.delete(bigEndian(gone), in: jobs)
                }
                try transaction.delete(
                    bigEndian(Int.random(in: 0..<40, using: &dice)), in: outcomes)
            }
        }
    }
}

/// The whole of a file.
func contents(of path: String) throws -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    try #require(file >= 0)
    defer { close(file) }
    let size = Int(lseek(file, 0, SEEK_END))
    var bytes = [UInt8](repeating: 0, count: size)
    let got = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress, size, 0) }
    try #require(got == size)
    return bytes
}

/// Makes a file of exactly these bytes, 0600.
func write(_ bytes: [UInt8], to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    try #require(file >= 0)
    defer { close(file) }
    let put = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) }
    try #require(put == bytes.count)
}
