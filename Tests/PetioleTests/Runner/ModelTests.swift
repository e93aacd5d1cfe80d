import PetioleStorage
import Testing

@testable import Petiole

/// What the store should say of each job, kept beside it in a dictionary.
private struct Model {
    enum State: Equatable {
        case ready, waiting, parked
        case succeeded, failed, cancelled, deadLetter
    }
    struct Entry {
        var kind: Kind
        var state: State
        var attempts = 0
    }
    /// What a job does when it runs.
    enum Kind: String, CaseIterable {
        case good, flaky, bad, once, unreadable, unknown
    }
    var jobs: [UInt64: Entry] = [:]

    /// A runner comes and runs all that is ready; what fails waits, since no clock is moved meanwhile.
    mutating func run(knowing known: Bool) {
        for (id, entry) in jobs {
            if entry.state == .parked, known {
                jobs[id]!.state = .succeeded
                jobs[id]!.attempts = 1
            }
            guard entry.state == .ready else { continue }
            let attempt = entry.attempts + 1
            jobs[id]!.attempts = attempt
            switch entry.kind {
            case .good: jobs[id]!.state = .succeeded
            case .flaky: jobs[id]!.state = attempt < 3 ? .waiting : .succeeded
            case .bad: jobs[id]!.state = attempt < 3 ? .waiting : .deadLetter
            case .once: jobs[id]!.state = .failed
            case .unreadable: jobs[id]!.state = .deadLetter
            case .unknown:
                jobs[id]!.state = known ? .succeeded : .parked
                jobs[id]!.attempts = known ? 1 : 0
            }
        }
    }

    /// The clock has passed every wait.
    mutating func moveOn() {
        for (id, entry) in jobs where entry.state == .waiting { jobs[id]!.state = .ready }
    }

    func count(_ state: State) -> Int { jobs.values.count { $0.state == state } }
}

@Suite("Model", .timeLimit(.minutes(10))) struct ModelTests {
    private static let policy = RetryPolicy(
        maxAttempts: 3, backoff: .exponential(.seconds(3_600)), maxDelay: .seconds(3_600))

    private let closures = [
        JobClosure("good") { (number: Int, _) in number },
        JobClosure("flaky", retryPolicy: policy) { (number: Int, context) -> Int in
            if context.attempt < 3 { throw Refusal() }
            return number
        },
        JobClosure("bad", retryPolicy: policy) { (_: Int, _) -> Int in throw Refusal() },
        JobClosure("once", retryPolicy: .never) { (_: Int, _) -> Int in throw Refusal() },
        JobClosure("unreadable") { (text: String, _) in text },
    ]
    private let unknown = JobClosure("unknown") { (number: Int, _) in number }

    @Test(
        "whatever is done to a store, it says of each job what a dictionary says",
        arguments: 1...30 as ClosedRange<UInt64>)
    func model(seed: UInt64) async throws {
        var random = SeededRandom(seed)
        let clock = TestClock(isFrozen: true)
        let directory = try TestDirectory()
        defer { directory.remove() }
        var store = try directory.open(clock: clock)
        var model = Model()
        var history: [String] = []
        for _ in 0..<25 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0...3:
                let kind = Model.Kind.allCases.randomElement(using: &random)!
                let count = Int.random(in: 1...40, using: &random)
                history.append("enqueue \(count) \(kind)")
                let options = EnqueueOptions(priority: Int.random(in: 3...5, using: &random))
                for index in 0..<count {
                    let job = try await store.enqueue(
                        name: kind.rawValue, payload: index, output: Int.self, options: options)
                    model.jobs[job.id.rawValue] = .init(kind: kind, state: .ready)
                }
            case 4, 5:
                for _ in 0..<Int.random(in: 1...5, using: &random) {
                    guard
                        let (id, entry) = model.jobs.sorted(by: { $0.key < $1.key })
                            .randomElement(using: &random)
                    else { break }
                    history.append("cancel \(id)")
                    let result = try await store.cancel(JobID(rawValue: id))
                    switch entry.state {
                    case .ready, .waiting, .parked:
                        #expect(result == .cancelled, "\(history)")
                        model.jobs[id]!.state = .cancelled
                    default: #expect(result == .alreadyEnded, "\(history)")
                    }
                }
            case 6, 7:
                let knows = Bool.random(using: &random)
                history.append("run\(knows ? " knowing all" : "")")
                try await runAll(store, knows, workers: Int.random(in: 1...3, using: &random))
                model.run(knowing: knows)
            case 8:
                history.append("an hour")
                clock.advance(.seconds(3_601))
                let knows = Bool.random(using: &random)
                try await runAll(store, knows, workers: 1)
                // What is due is run once, and once more what was ready before.
                model.moveOn()
                model.run(knowing: knows)
            case 9, 10:
                guard
                    let (id, entry) = model.jobs.sorted(by: { $0.key < $1.key })
                        .randomElement(using: &random)
                else { break }
                let isDueNow = Bool.random(using: &random)
                history.append("edit \(id)\(isDueNow ? " to be due" : "")")
                let result = try await store.edit(
                    JobID(rawValue: id), due: isDueNow ? .after(.zero) : nil,
                    priority: Int.random(in: 0...9, using: &random))
                switch entry.state {
                case .ready, .waiting, .parked:
                    #expect(result == .edited, "\(history)")
                    if isDueNow { model.jobs[id]!.state = .ready }
                default: #expect(result == .ended, "\(history)")
                }
            default:
                history.append("reopen")
                store.close()
                store = try directory.open(clock: clock)
            }
            guard try compare(store, model, history) else { break }
        }
        expectSound(store)
        store.close()
    }

    /// Runs until nothing is ready: what waits for another attempt does so until the clock is moved.
    private func runAll(_ store: JobStore, _ knowsAll: Bool, workers: Int) async throws {
        let runner = try makeRunner(
            store, knowsAll ? closures + [unknown] : closures, workers: workers)
        async let run: Void = runner.run()
        try await store.untilNothingIsReady(orParked: knowsAll)
        runner.stop()
        try await run
    }

    private func compare(_ store: JobStore, _ model: Model, _ history: [String]) throws -> Bool {
        let counts = try store.counts()
        var isRight =
            counts.accepted == model.jobs.count
            && counts.ready == model.count(.ready) && counts.waiting == model.count(.waiting)
            && counts.parked == model.count(.parked)
            && counts.succeeded == model.count(.succeeded)
            && counts.failed == model.count(.failed)
            && counts.cancelled == model.count(.cancelled)
            && counts.deadLetters == model.count(.deadLetter)
        for (id, entry) in model.jobs {
            let state = try store.state(of: JobID(rawValue: id))
            let matches: Bool
            switch (state, entry.state) {
            case (.ready, .ready), (.parked, .parked): matches = true
            case (.waiting(_, let attempts), .waiting): matches = attempts == entry.attempts
            case (.ended(let outcome), .succeeded):
                matches = outcome.kind == .succeeded && outcome.attempt == entry.attempts
            case (.ended(let outcome), .failed):
                matches = outcome.kind == .failed && outcome.attempt == entry.attempts
            case (.ended(let outcome), .deadLetter):
                matches = outcome.kind == .deadLetter && outcome.attempt == entry.attempts
            case (.ended(let outcome), .cancelled):
                matches = outcome.kind == .cancelled && outcome.attempt == entry.attempts
            default: matches = false
            }
            if !matches {
                Issue.record("job \(id) is \(state), not \(entry) after \(history)")
                isRight = false
                break
            }
        }
        if !isRight { Issue.record("\(counts) after \(history)") }
        return isRight
    }
}

extension JobStore {
    /// Waits until no job is ready and no timer due, and none parked where the runner knows all names.
    fileprivate func untilNothingIsReady(orParked: Bool) async throws {
        let signals = open.signals
        let isOver = SharedFlag()
        // Every commit that moves a job rings one of two bells; a thread hands the one on to the other.
        async let forwarding: Void = onThread("test-forward") {
            while true {
                let seen = signals.work.value
                signals.recorded.ring()
                if isOver.isSet { return }
                signals.work.wait(whileAt: seen)
            }
        }
        while true {
            let seen = signals.recorded.value
            let counts = try counts()
            let isQuiet = counts.ready == 0 && (counts.parked == 0 || !orParked)
            if try isQuiet && !isTimerDue() { break }
            _ = try await onThread("test-wait") { signals.recorded.wait(whileAt: seen) }
        }
        isOver.set()
        signals.work.ring()
        try await forwarding
    }

    private func isTimerDue() throws -> Bool {
        let tables = open.tables
        let now = open.clock.reading
        return try open.read { (reader) throws(StorageError) in
            let cursor = try reader.cursor(tables.timers)
            var entry = try cursor.first()
            while let (key, _) = entry {
                let time = StoreTime(rawValue: key.bigEndian(at: 4))
                if time.hasPassed(now) { return true }
                entry = try cursor.next()
            }
            return false
        }
    }
}
