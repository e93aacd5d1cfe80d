import Petiole

/// The same way for a payload that is a Swift value of five fields, in both codecs.
extension Family {
    static let codable = Family(name: "codable") { setup in
        let jobs = setup.count(2_000_000, quick: 100_000)
        var compact: [Yardsticks.Loop] = []
        var json: [Yardsticks.Loop] = []
        for _ in 0..<setup.rounds {
            compact.append(try await values(Resize.self, setup, jobs))
            json.append(try await values(JSONResize.self, setup, jobs))
        }
        return [
            Row(
                name: "end to end, durable, struct of five fields",
                figure: compact.fastest.jobsPerSecond,
                target: .atLeast(Figure(400_000, .perSecond))),
            Row(
                name: "the same, CPU a job over all threads", figure: compact.fastest.cpuPerJob),
            Row(
                name: "end to end, durable, the same as JSON",
                figure: json.fastest.jobsPerSecond,
                target: .atLeast(Figure(120_000, .perSecond))),
            Row(name: "the same, CPU a job over all threads", figure: json.fastest.cpuPerJob),
        ]
    }

    private static func values<J: FiveFields>(
        _ type: J.Type, _ setup: Setup, _ jobs: Int
    ) async throws -> Yardsticks.Loop {
        try await setup.withPath("codable") { path in
            let store = try JobStore(at: path)
            defer { store.close() }
            let runner = try JobRunner(store, jobs: [J.self])
            let (loop, accepted) = try await Yardsticks.Loop.measure(jobs: jobs) {
                try await runner.run {
                    try await Enqueuers.run(jobs) { numbers in
                        let made = try await store.enqueue(
                            contentsOf: numbers.lazy.map { J(number: $0) })
                        return (made, numbers.lowerBound)
                    }
                }
            }
            for (made, number) in accepted { try check(made, from: number) }
            return loop
        }
    }

    /// Fails unless each job has succeeded with its own number.
    private static func check(_ jobs: EnqueuedJobs<Int>, from number: Int) throws {
        var next = number
        try jobs.store.forEachOutcome(from: jobs[0].id, through: jobs[jobs.count - 1].id) {
            _, kind, result in
            guard kind == .succeeded, StoredNumber.read(result) == next else { return false }
            next += 1
            return true
        }
        guard next == number + jobs.count else {
            throw WrongResult(job: jobs[next - number].id.rawValue)
        }
    }
}

/// Five fields of everyday kinds, and a result that tells which job it was.
protocol FiveFields: Job where Output == Int {
    init(number: Int)
}

struct Resize: FiveFields {
    var number: Int
    var path: String
    var width: Int
    var quality: Double
    var isProgressive: Bool

    init(number: Int) {
        self.number = number
        path = "/srv/photos/2024/summer/img-0042.jpeg"
        width = 1_280
        quality = 0.85
        isProgressive = true
    }

    func run(_ context: JobContext) throws -> Int { number }
}

struct JSONResize: FiveFields {
    static let codec = PayloadCodec.json
    var number: Int
    var path: String
    var width: Int
    var quality: Double
    var isProgressive: Bool

    init(number: Int) {
        let fields = Resize(number: number)
        self.number = fields.number
        path = fields.path
        width = fields.width
        quality = fields.quality
        isProgressive = fields.isProgressive
    }

    func run(_ context: JobContext) throws -> Int { number }
}

/// A number that is not negative, as either codec stores it.
private enum StoredNumber {
    /// Digits are JSON; else it is CBOR: RFC 8949, section 3, major type 0.
    static func read(_ bytes: RawSpan) -> Int? {
        let all = (0..<bytes.byteCount).map {
            bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self)
        }
        guard let first = all.first else { return nil }
        // 0x30 to 0x39 would be negative numbers in CBOR.
        if (0x30...0x39).contains(first) { return Int(String(decoding: all, as: UTF8.self)) }
        if first < 24 { return all.count == 1 ? Int(first) : nil }
        guard first <= 27, all.count == 1 + 1 << (Int(first) - 24) else { return nil }
        return Int(truncatingIfNeeded: all.dropFirst().reduce(0) { $0 << 8 | UInt64($1) })
    }
}
