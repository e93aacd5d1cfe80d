import Testing

@testable import Petiole

@Suite("Secrets", .timeLimit(.minutes(10))) struct SecretTests {
    private struct Login: Job, Equatable {
        static let retryPolicy = RetryPolicy.never
        struct Refused: Error, CustomStringConvertible { let description: String }
        var user: String
        @Secret var password: String
        @Secret var pin: Int

        init(_ user: String, _ password: String, _ pin: Int = 123_456) {
            self.user = user
            _password = Secret(password)
            _pin = Secret(pin)
        }

        func run(_ context: JobContext) throws -> Secret<String> {
            if user == "nobody" {
                throw Refused(description: "\(password) and \(pin) of \(user) were refused")
            }
            return Secret(password)
        }
    }

    private struct AsyncLogin: AsyncJob {
        static let retryPolicy = RetryPolicy(
            maxAttempts: 2, backoff: .constant(.milliseconds(1)))
        static let codec = PayloadCodec.json
        var password: Secret<String>

        func run(_ context: JobContext) async throws -> NoResult {
            throw Login.Refused(description: "no \(password.wrappedValue) here, \(password)")
        }
    }

    private func bytes<Value: Encodable>(_ value: Value, _ codec: PayloadCodec) throws -> [UInt8] {
        var writer = ByteWriter()
        try codec.encode(value, into: &writer)
        return writer.withBytes { Array($0) }
    }

    @Test("what is secret goes through each codec, and is shown by none", arguments: [false, true])
    func roundTrip(isJSON: Bool) throws {
        let codec = isJSON ? PayloadCodec.json : .compact
        let login = Login("ann", "hunter22\u{1F600}\"\\")
        let bytes = try bytes(login, codec)
        let read = try bytes.withUnsafeBytes { try codec.decode(Login.self, from: $0) }
        #expect(read == login)
        let shown =
            isJSON
            ? JSONPayload.shown(bytes, limit: 1_000)
            : try bytes.withUnsafeBytes { try compactToJSON($0, maximumBytes: 1_000) }
        #expect(shown == #"{"user":"ann","password":"‹secret›","pin":"‹secret›"}"#)
    }

    @Test("a value without the mark is read, and JSON text may hold a mark")
    func unmarked() throws {
        for text in [
            #"{"user":"ann","password":"hunter22","pin":123456}"#,
            #"{"user":"ann","password":{"$secret":"hunter22"},"pin":{"\u0024secret":123456}}"#,
        ] {
            var compact = ByteWriter()
            try text.utf8.withContiguousStorageIfAvailable {
                try jsonToCompact(UnsafeRawBufferPointer($0), into: &compact)
            }
            let read = try compact.withBytes {
                try PayloadCodec.compact.decode(Login.self, from: $0)
            }
            #expect(read == Login("ann", "hunter22"))
            let isMarked = text.contains("secret")
            #expect(
                JSONPayload.shown(Array(text.utf8), limit: 1_000)?.contains("hunter") == !isMarked)
        }
    }

    @Test("descriptions, dumps and errors of the codec say nothing of what is secret")
    func silence() throws {
        let login = Login("ann", "hunter22")
        var dumped = ""
        dump(login, to: &dumped)
        for text in [
            "\(login)", String(reflecting: login), dumped, "\(Secret(["hunter22": 1]))",
            String(reflecting: Secret("hunter22")),
        ] {
            #expect(!text.contains("hunter22"), "\(text)")
        }
        struct Other: Codable { @Secret var value: [String: Int] }
        struct Source: Codable { @Secret var value: [String: String] }
        for codec in [PayloadCodec.compact, .json] {
            let bytes = try bytes(Source(value: ["hunter22": "hunter33"]), codec)
            let error = #expect(throws: CodecError.self) {
                try bytes.withUnsafeBytes { _ = try codec.decode(Other.self, from: $0) }
            }
            #expect("\(error!)".contains("\"value\"") && !"\(error!)".contains("hunter"))
        }
        struct Unwritable: Codable { @Secret var value: [String: Double] }
        let error = #expect(throws: CodecError.self) {
            try bytes(Unwritable(value: ["hunter22": .infinity]), .json)
        }
        #expect("\(error!)".contains("value") && !"\(error!)".contains("hunter"))
    }

    @Test("failures are recorded and told without the secrets of their job's payload")
    func failures() async throws {
        let heard = Trace<String>()
        try await withStore {
            $0.listeners = [JobListener { heard.add("\($0)") }]
        } _: { store in
            let sync = try await store.enqueue(Login("nobody", "hunter22"))
            let task = try await store.enqueue(AsyncLogin(password: Secret("hunter22")))
            let good = try await store.enqueue(Login("ann", "hunter22"))
            try await makeRunner(store, jobs: [Login.self, AsyncLogin.self]).run {}
            store.open.events.drain()
            let failure = try #require(try store.outcome(of: sync.id)?.failure)
            #expect(failure.message == "‹secret› and ‹secret› of nobody were refused")
            let last = try #require(try store.outcome(of: task.id)?.failure)
            #expect(last.message == "no ‹secret› here, ‹secret›")
            let history = try store.history(of: task.id)
            #expect(history.map(\.failure.message) == ["no ‹secret› here, ‹secret›"])
            try await expectEqual(good.result.wrappedValue, "hunter22")
            let details = try store.details(of: good.id)
            #expect(details.resultJSON() == "\"‹secret›\"")
            #expect(heard.items.count > 6)
            #expect(heard.items.allSatisfy { !$0.contains("hunter22") })
        }
    }

    @Test("where the text of a failure is cut no part of a secret is left")
    func cutText() async throws {
        struct Long: Error, CustomStringConvertible { let description: String }
        let limit = FailureRecord.messageLimit
        let text = String(repeating: "x", count: limit - 4) + "hunter22" + "tail"
        let policy = RetryPolicy.never
        let thrown = try #require(
            ThrownInChild(ThrownInChild(Long(description: text), policy).bytes))
        for error in [Long(description: text), thrown] as [any Error] {
            var failed = AttemptFollowUp.Failed(
                error, attempt: 1, startedAt: 0, runMicroseconds: 0, acceptedAt: 0)
            failed.record = SecretTexts.without(["hunter22"], failed.record)
            guard
                case .end(_, let record) = AttemptFollowUp.of(
                    failed, policy: policy, maxAttempts: 0,
                    now: ClockReading(wall: 0, steady: 0))
            else {
                Issue.record("it goes on")
                return
            }
            #expect(!record.message.contains("hunt"))
            #expect(record.message.utf8.count < limit + 100)
        }
        // By way of a runner, on a thread and apart.
        struct Verbose: Job {
            static let retryPolicy = RetryPolicy.never
            @Secret var token = "hunter22"
            func run(_ context: JobContext) throws -> Int {
                throw Long(
                    description: String(repeating: "x", count: FailureRecord.messageLimit - 4)
                        + token)
            }
        }
        struct VerboseTask: AsyncJob {
            static let retryPolicy = RetryPolicy.never
            @Secret var token = "hunter22"
            func run(_ context: JobContext) async throws -> Int {
                throw Long(
                    description: String(repeating: "x", count: FailureRecord.messageLimit - 4)
                        + token)
            }
        }
        try await withStore { store in
            let ids = [
                try await store.enqueue(Verbose()).id, try await store.enqueue(VerboseTask()).id,
            ]
            try await makeRunner(store, jobs: [Verbose.self, VerboseTask.self]).run {}
            for id in ids {
                let failure = try #require(try store.outcome(of: id)?.failure)
                #expect(!failure.message.contains("hunt"))
            }
        }
    }

    @Test("secrets too short to be told from other text are left, longer ones go first")
    func scrubbing() {
        let failure = FailureRecord(type: "T", message: "abcd abcdef 12")
        let shown = SecretTexts.without(["abcdef", "abcd"], failure)
        #expect(shown.message == "‹secret› ‹secret› 12")
        #expect(SecretTexts.texts(in: UnsafeRawBufferPointer(start: nil, count: 0), codec: 1) == [])
        #expect(SecretTexts.texts(in: UnsafeRawBufferPointer(start: nil, count: 0), codec: 2) == [])
    }
}
