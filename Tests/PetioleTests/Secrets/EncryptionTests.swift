import PetioleStorage
import Testing

@testable import Petiole

/// What holds with any cipher; it is compiled and run without the trait as well.
@Suite("Sealed payloads", .timeLimit(.minutes(10))) struct SealedPayloadTests {
    /// No cipher at all: it turns bytes around and checks what they belong to.
    static func toy(_ key: String, knows: Set<String>) -> PayloadCipher {
        PayloadCipher { bytes, codec, purpose in
            let nonce = [UInt8](repeating: 7, count: SealedBytes.nonceSize)
            let sum = purpose.associated.reduce(0 as UInt8) { $0 &* 31 &+ $1 }
            return SealedBytes.head(codec: codec, key: key, nonce: nonce)
                + bytes.map { $0 ^ 0x5A }
                + [UInt8](repeating: sum, count: SealedBytes.tagSize)
        } opened: { (bytes, purpose) throws(SealError) in
            guard let sealed = SealedBytes(bytes) else { throw .malformed }
            guard knows.contains(sealed.key) else { throw .unknownKey(sealed.key) }
            let sum = purpose.associated.reduce(0 as UInt8) { $0 &* 31 &+ $1 }
            guard sealed.sealed.last == sum else { throw .wrong(sealed.key) }
            return (sealed.codec, sealed.sealed.dropLast(SealedBytes.tagSize).map { $0 ^ 0x5A })
        }
    }

    struct Greeting: Job {
        static let retryPolicy = RetryPolicy.never
        var name: String
        @Secret var token = "hunter22"
        init(name: String) { self.name = name }
        func run(_ context: JobContext) throws -> String {
            if name == "nobody" { throw Refusal() }
            return "hello \(name)"
        }
    }

    struct Task: AsyncJob {
        static let codec = PayloadCodec.json
        var name: String
        func run(_ context: JobContext) async throws -> String {
            try context.enqueue(Greeting(name: "child of \(name)"))
            return "later, \(name)"
        }
    }

    enum Raw: RawJob {
        static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) {
            result.append(payload)
        }
    }

    static let echo = JobClosure("echo", retryPolicy: .never) { (text: String, _) in text + "!" }

    /// All bytes of the jobs and outcomes of a store, as they lie there.
    static func stored(_ store: JobStore) throws -> String {
        var all: [UInt8] = []
        let tables = store.open.tables
        try store.open.read { (reader) throws(StorageError) in
            for table in [tables.jobs, tables.outcomes, tables.active] {
                let cursor = try reader.cursor(table)
                var entry = try cursor.first()
                while let (_, value) = entry {
                    all += Array(value)
                    entry = try cursor.next()
                }
            }
        }
        return String(decoding: all, as: UTF8.self)
    }

    /// Runs jobs of every kind in a store whose payloads are sealed, and looks at what lies on the disk.
    static func everyKind(_ cipher: PayloadCipher) async throws {
        try await withStore {
            $0.cipher = cipher
        } _: { store in
            let greeting = try await store.enqueue(Greeting(name: "ann-marie"))
            let task = try await store.enqueue(Task(name: "ann-marie"))
            let raw = try await store.enqueue(Raw.self, payload: Array("ann-marie".utf8))
            let byName = try await store.enqueue(
                name: "echo", payload: "ann-marie", output: String.self)
            let text = try await store.enqueue(name: "echo", json: "\"ann-marie\"")
            let many = try await store.enqueue(
                contentsOf: (0..<3).map { Greeting(name: "ann-marie \($0)") },
                options: EnqueueOptions(metadata: JobMetadata(tags: ["t"])))
            try store.enqueueBlocking(Greeting(name: "ann-marie"))
            try store.enqueue(Greeting(name: "ann-marie"), durability: .buffered)
            let runner = try makeRunner(
                store, [echo], jobs: [Greeting.self, Task.self, Raw.self], workers: 2)
            try await runner.run {
                try await expectEqual(greeting.result, "hello ann-marie")
                try await expectEqual(task.result, "later, ann-marie")
                try await expectEqual(raw.result, Array("ann-marie".utf8))
                try await expectEqual(byName.result, "ann-marie!")
                try await expectEqual(
                    store.handle(of: text, output: String.self).result, "ann-marie!")
                for (index, job) in many.enumerated() {
                    try await expectEqual(job.result, "hello ann-marie \(index)")
                }
            }
            #expect(try store.counts().succeeded == 11)
            let stored = try Self.stored(store)
            #expect(!stored.contains("ann-marie") && !stored.contains("hunter22"))
            let details = try store.details(of: greeting.id)
            #expect(details.payloadJSON() == #"{"name":"ann-marie","token":"‹secret›"}"#)
            #expect(details.resultJSON() == #""hello ann-marie""#)
            #expect(details.encryptionKey == "k1")
        }
    }

    @Test("jobs of every kind run on sealed payloads, and nothing of them lies open on the disk")
    func kinds() async throws {
        try await Self.everyKind(Self.toy("k1", knows: ["k1"]))
    }

    /// - Parameter ciphers: one that seals, and others that are given to runners, nil for none, with what is recorded then.
    static func wrongKeys(
        _ sealing: PayloadCipher, _ others: [(PayloadCipher?, String)]
    ) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        for (cipher, text) in others {
            var store = try directory.open { $0.cipher = sealing }
            let jobs = [
                try await store.enqueue(Greeting(name: "ann-marie")).id,
                try await store.enqueue(Task(name: "ann-marie")).id,
                try await store.enqueue(Raw.self, payload: [1, 2, 3]).id,
                try await store.enqueue(name: "echo", payload: "x").id,
            ]
            store.close()
            store = try directory.open { $0.cipher = cipher }
            let runner = try makeRunner(
                store, [echo], jobs: [Greeting.self, Task.self, Raw.self])
            try await runner.run {}
            for job in jobs {
                let outcome = try #require(try store.outcome(of: job))
                #expect(outcome.kind == .deadLetter)
                #expect(outcome.failure?.message.contains(text) == true, "\(outcome)")
                let details = try store.details(of: job)
                #expect(details.payloadCodec == SealedBytes.codec && details.payloadJSON() == nil)
            }
            store.close()
        }
    }

    @Test("without the key, or with a wrong one, a job is a dead letter that says so")
    func wrongKey() async throws {
        let sealing = Self.toy("k1", knows: ["k1"])
        try await Self.wrongKeys(
            sealing,
            [
                (nil, "encrypted with key \"k1\", which this program was not given"),
                (Self.toy("k2", knows: ["k2"]), "encrypted with key \"k1\", which this program"),
            ])
    }

    @Test("a result that cannot be opened says with which key it could")
    func sealedResult() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        var store = try directory.open { $0.cipher = Self.toy("k1", knows: ["k1"]) }
        let id = try await store.enqueue(Greeting(name: "ann")).id
        try await makeRunner(store, jobs: [Greeting.self]).run {}
        store.close()
        store = try directory.open()
        let error = await #expect(throws: JobError.self) {
            try await store.handle(of: id, as: Greeting.self).result
        }
        #expect("\(error!)".contains("encrypted with key \"k1\""))
        store.close()
    }

    /// What is sealed in a store is opened in its backup, and in the backup of that, by who has the key.
    static func backups(_ cipher: PayloadCipher) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        var store = try directory.open { $0.cipher = cipher }
        let ended = try await store.enqueue(Greeting(name: "ann")).id
        try await makeRunner(store, jobs: [Greeting.self]).run {}
        var ready: [JobID] = []
        for number in 1...2 {
            ready.append(try await store.enqueue(Greeting(name: "bob")).id)
            let path = directory.path + "/copy\(number)"
            try await store.backup(to: path)
            let number = store.open.format.storeID
            store.close()
            var options = StoreOptions()
            options.createsStore = false
            options.cipher = cipher
            store = try JobStore(at: path, options: options)
            #expect(store.open.format.storeID != number)
            ready.append(try await store.enqueue(Greeting(name: "eve")).id)
        }
        try await makeRunner(store, jobs: [Greeting.self]).run {}
        try await expectEqual(store.handle(of: ended, as: Greeting.self).result, "hello ann")
        for (id, name) in zip(ready, ["bob", "eve", "bob", "eve"]) {
            try await expectEqual(
                store.handle(of: id, as: Greeting.self).result, "hello \(name)")
        }
        store.close()
    }

    @Test("what is sealed in a store is opened in its backup as well")
    func backup() async throws {
        try await Self.backups(Self.toy("k1", knows: ["k1"]))
    }

    @Test("whatever the bytes are, they are read as sealed or refused")
    func layout() {
        let nonce = [UInt8](repeating: 1, count: 24)
        let whole =
            SealedBytes.head(codec: 1, key: "key", nonce: nonce) + [9, 9]
            + [UInt8](repeating: 2, count: 16)
        for length in 0...whole.count {
            whole.prefix(length).withUnsafeBytes { bytes in
                #expect((SealedBytes(bytes) != nil) == (length >= whole.count - 2))
            }
        }
        for (at, byte) in [(0, 2), (2, 0), (2, 33), (2, 255)] as [(Int, UInt8)] {
            var changed = whole
            changed[at] = byte
            changed.withUnsafeBytes { #expect(SealedBytes($0) == nil) }
        }
    }
}

#if Encryption
    @Suite("Encryption", .timeLimit(.minutes(10))) struct EncryptionTests {
        private static func key(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 32) }
        private static func keys(
            _ id: String, _ all: [String: [UInt8]]
        ) throws -> EncryptionKeys {
            try EncryptionKeys(sealingWith: id, keys: all)
        }

        @Test("jobs of every kind run on payloads that AES-GCM has sealed")
        func kinds() async throws {
            try await SealedPayloadTests.everyKind(
                Self.keys("k1", ["k1": Self.key(1)]).cipher)
        }

        @Test("another key of the same name, another name and no key are told apart")
        func wrongKey() async throws {
            try await SealedPayloadTests.wrongKeys(
                Self.keys("k1", ["k1": Self.key(1)]).cipher,
                [
                    (nil, "which this program was not given"),
                    (try Self.keys("k2", ["k2": Self.key(1)]).cipher, "was not given"),
                    (
                        try Self.keys("k1", ["k1": Self.key(2)]).cipher,
                        "encrypted with another key \"k1\""
                    ),
                ])
        }

        @Test("what was sealed with an old key is opened by whoever has both")
        func rotation() async throws {
            let directory = try TestDirectory()
            defer { directory.remove() }
            var store = try directory.open {
                $0.encryption = try? Self.keys("old", ["old": Self.key(1)])  // Checked above.
            }
            let id = try await store.enqueue(SealedPayloadTests.Greeting(name: "ann")).id
            store.close()
            store = try directory.open {
                // As above.
                $0.encryption = try? Self.keys("new", ["old": Self.key(1), "new": Self.key(2)])
            }
            let second = try await store.enqueue(SealedPayloadTests.Greeting(name: "bob"))
            try await makeRunner(store, jobs: [SealedPayloadTests.Greeting.self]).run {}
            let first = store.handle(of: id, as: SealedPayloadTests.Greeting.self)
            try await expectEqual(first.result, "hello ann")
            #expect(try store.details(of: id).encryptionKey == "old")
            #expect(try store.details(of: second.id).encryptionKey == "new")
            store.close()
        }

        @Test("what AES-GCM has sealed in a store is opened in its backup as well")
        func backup() async throws {
            try await SealedPayloadTests.backups(Self.keys("k1", ["k1": Self.key(1)]).cipher)
        }

        @Test("one byte changed anywhere, or another purpose, and nothing is opened")
        func authenticated() async throws {
            let cipher = try Self.keys("k", ["k": Self.key(3)]).cipher
            try await withStore { store in
                let purpose = SealedPurpose.payload(of: "job", store.open)
                let sealed = [1, 2, 3].withUnsafeBytes { cipher.sealed($0, 1, purpose) }
                func opens(_ bytes: [UInt8], _ purpose: SealedPurpose) -> Bool {
                    bytes.withUnsafeBytes { bytes in
                        // Whether it does is the question.
                        (try? cipher.opened(bytes, purpose)) != nil
                    }
                }
                #expect(opens(sealed, purpose))
                for index in sealed.indices {
                    var changed = sealed
                    changed[index] ^= 1
                    #expect(!opens(changed, purpose), "byte \(index)")
                }
                for other in [
                    SealedPurpose.payload(of: "other", store.open),
                    .result(of: "job", 1, store.open), .result(of: "job", 2, store.open),
                ] {
                    #expect(!opens(sealed, other))
                }
                let again = [1, 2, 3].withUnsafeBytes { cipher.sealed($0, 1, purpose) }
                #expect(again != sealed)
            }
        }

        @Test("keys of the wrong length or name are refused where they are written")
        func keys() {
            #expect(throws: EncryptionKeyError.wrongLength(id: "k", bytes: 16)) {
                try Self.keys("k", ["k": [UInt8](repeating: 1, count: 16)])
            }
            #expect(throws: EncryptionKeyError.missing(id: "k")) { try Self.keys("k", [:]) }
            #expect(throws: EncryptionKeyError.invalidID("")) {
                try Self.keys("", ["": Self.key(1)])
            }
            #expect(throws: EncryptionKeyError.self) {
                let long = String(repeating: "k", count: 33)
                _ = try Self.keys(long, [long: Self.key(1)])
            }
        }
    }
#endif
