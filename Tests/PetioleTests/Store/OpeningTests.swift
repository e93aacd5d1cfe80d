import Foundation
import PetioleStorage
import Testing

@testable import Petiole

@Suite("Opening a store") struct OpeningTests {
    @Test("opening a store twice gives the same environment, closed by the last")
    func twice() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let first = try directory.open()
        let second = try directory.open()
        #expect(first.open === second.open)
        try await first.enqueue(name: "a", payload: 1)
        first.close()
        #expect(try second.counts().accepted == 1)
        second.close()
        let third = try directory.open()
        #expect(third.open !== first.open)
        #expect(try third.counts().accepted == 1)
        third.close()
    }

    @Test("a relative path and one with a slash at its end name the same store")
    func spellings() throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let first = try directory.open()
        let second = try JobStore(at: directory.store + "//")
        #expect(first.open === second.open)
        second.close()
        first.close()
    }

    @Test("a store that is missing is made only when that was asked for")
    func missing() throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        var options = StoreOptions()
        options.createsStore = false
        #expect(throws: StoreError.noStore(path: directory.store)) {
            try JobStore(at: directory.store, options: options)
        }
        #expect(throws: StoreError.self) { try JobStore(at: directory.path + "/no/such/place") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == [])
    }

    @Test(
        "an empty directory becomes a store; a file and a directory with other files are left alone"
    )
    func otherThings() throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let file = directory.path + "/file"
        try Data("text".utf8).write(to: URL(fileURLWithPath: file))
        #expect(throws: StoreError.notAStore(path: file, reason: "it is a file")) {
            try JobStore(at: file)
        }
        #expect(throws: StoreError.self) { try JobStore(at: directory.path) }
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "text")
        let empty = directory.path + "/empty"
        try FileManager.default.createDirectory(
            atPath: empty, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700]
        )
        let store = try JobStore(at: empty)
        store.close()
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: empty).sorted()
                == ["bell", "data.mdb", "lock.mdb", "locks", "running"])
    }

    @Test("a directory that others may write to is refused")
    func writableByOthers() throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        try directory.open().close()
        chmod(directory.store, 0o777)
        #expect(throws: StoreError.self) { try directory.open() }
    }

    @Test("a store is its owner's alone")
    func modes() throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        try directory.open().close()
        let files = FileManager.default
        #expect(
            try files.attributesOfItem(atPath: directory.store)[.posixPermissions] as? Int == 0o700)
        for name in try files.contentsOfDirectory(atPath: directory.store) {
            let mode = try files.attributesOfItem(atPath: directory.store + "/" + name)[
                .posixPermissions]
            #expect(mode as? Int == 0o600, "\(name)")
        }
    }

    @Test("a store of a newer format is refused and not touched")
    func newerFormat() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        let tables = store.open.tables
        let newer = FormatRecord(version: 2, isScratch: true, storeID: 7, createdAt: 0)
        try await store.put(newer, tables)
        store.close()
        #expect(throws: StoreError.newerFormat(path: directory.store, found: 2, supported: 1)) {
            try directory.open()
        }
        #expect(throws: StoreError.newerFormat(path: directory.store, found: 2, supported: 1)) {
            try directory.open()
        }
    }

    @Test("settings are kept with the store, and those that are not given stay as they are")
    func settings() throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        try directory.open {
            $0.payloadLimit = 1_000
            $0.retention = .seconds(5)
        }.close()
        let store = try directory.open { $0.byteLimit = 1 << 30 }
        #expect(store.open.settings.payloadLimit == 1_000)
        #expect(store.open.settings.retentionSeconds == 5)
        #expect(store.open.settings.byteLimit == 1 << 30)
        #expect(store.isScratch)
        store.close()
    }

    @Test("a store can be opened and closed over and over while its jobs are awaited")
    func overAndOver() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let echo = JobClosure("echo") { (number: Int, _) in number }
        for number in 0..<60 {
            let store = try directory.open()
            try await makeRunner(store, [echo]).run {
                try await expectEqual(store.numbers("echo", [number])[0].result, number)
            }
            store.close()
        }
    }
}

extension JobStore {
    fileprivate func put(_ format: FormatRecord, _ tables: StoreTables) async throws {
        try await open.perform { (transaction, _) throws(StorageError) in
            try withBytes(format.bytes) { (value) throws(StorageError) in
                try transaction.put(
                    tables.meta, RecordKey.format.withUnsafeBytes { Key(copying: $0) }, value)
            }
        }
    }
}
