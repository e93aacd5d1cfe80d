import PetioleStorage
import PetioleTesting
import Synchronization
import Testing

@testable import Petiole

typealias TestClock = PetioleTesting.TestClock

/// A store in a directory of its own, checked, closed and removed after the body.
func withStore<Value>(
    clock: TestClock = TestClock(), configure: (inout StoreOptions) -> Void = { _ in },
    _ body: (JobStore) async throws -> Value
) async throws -> Value {
    try await withTestStore(clock: clock, options: configure) { store, _ in
        let value = try await body(store)
        expectSound(store)
        return value
    }
}

/// Reports whatever does not hold together in a store.
func expectSound(_ store: JobStore, _ location: SourceLocation = #_sourceLocation) {
    do {
        let problems = try Audit(store).problems
        #expect(problems == [], sourceLocation: location)
    } catch {
        Issue.record(error, sourceLocation: location)
    }
}

/// Expects two values to be the same: for closures that throw nowhere else, which the macro alone does not make throw.
func expectEqual<Value: Equatable>(
    _ value: Value, _ expected: Value, _ location: SourceLocation = #_sourceLocation
) {
    #expect(value == expected, sourceLocation: location)
}

/// A fresh directory with room for a store.
struct TestDirectory: Sendable {
    private let directory: PetioleTesting.TestDirectory
    var path: String { directory.path }
    var store: String { path + "/work.petiole" }

    init() throws { directory = try PetioleTesting.TestDirectory() }

    func open(
        clock: TestClock = TestClock(), configure: (inout StoreOptions) -> Void = { _ in }
    ) throws -> JobStore {
        var options = StoreOptions()
        options.durability = .scratch
        configure(&options)
        return try JobStore(at: store, options: options, clock: clock.storeClock)
    }

    func remove() {
        do { try directory.remove() } catch {
            Issue.record(error)
        }
    }
}

extension TestClock {
    /// Moves ahead, and makes the runners of a store that was opened by itself look at their timers.
    func advance(_ duration: Duration, _ store: JobStore?) {
        advance(duration)
        store?.lookAtTimers()
    }
}

/// Held until somebody opens it; once open it stays so. Jobs block at it, tests await it.
final class Gate: Sendable {
    private let word = SharedWord()
    private let waiters = Mutex<[UnsafeContinuation<Void, Never>]>([])

    func open() {
        let waiters = waiters.withLock { waiters in
            word.publish(1)
            defer { waiters = [] }
            return waiters
        }
        word.wakeAll()
        for waiter in waiters { waiter.resume() }
    }

    /// Blocks the thread: for jobs on threads of the pool.
    func block() {
        while word.value == 0 { word.wait(while: 0) }
    }

    func wait() async {
        await withUnsafeContinuation { continuation in
            let isOpen = waiters.withLock { waiters in
                if word.value == 0 { waiters.append(continuation) }
                return word.value != 0
            }
            if isOpen { continuation.resume() }
        }
    }
}

/// What jobs leave behind, in the order in which they did.
final class Trace<Item: Sendable>: Sendable {
    private let list = Mutex<[Item]>([])
    func add(_ item: Item) { list.withLock { $0.append(item) } }
    var items: [Item] { list.withLock { $0 } }
}

struct Refusal: Error, Equatable, CustomStringConvertible {
    var description: String { "it did not work" }
}

/// A runner of closures on one thread, or as many as said.
func makeRunner(
    _ store: JobStore, _ closures: [JobClosure] = [], jobs: [any JobType.Type] = [],
    workers: Int = 1, configure: (inout JobRunner.Options) -> Void = { _ in }
) throws -> JobRunner {
    var options = JobRunner.Options()
    options.workers = workers
    options.marksCrashes = false
    configure(&options)
    return try JobRunner(store, jobs: jobs, closures: closures, options: options)
}

extension JobStore {
    /// Enqueues jobs of a closure by name, each of which takes a number and gives one.
    @discardableResult
    func numbers(
        _ name: String, _ payloads: [Int], options: EnqueueOptions = EnqueueOptions()
    ) async throws -> [JobHandle<Int>] {
        var handles: [JobHandle<Int>] = []
        for payload in payloads {
            handles.append(
                try await enqueue(name: name, payload: payload, output: Int.self, options: options))
        }
        return handles
    }

    /// What a job has come to.
    func outcome(of id: JobID) throws -> Outcome? {
        if case .ended(let outcome) = try state(of: id) { return outcome }
        return nil
    }

    /// The attempts before the last, as they are recorded with an outcome.
    func history(of id: JobID) throws -> [AttemptHistory.Item] {
        let tables = open.tables
        return try open.read { (reader) throws(StorageError) in
            guard let block = try Lookup.outcomes(id.rawValue, reader, tables) else { return [] }
            return try formatted { () throws(FormatError) in
                guard let history = try block.entry(id.rawValue).history else { return [] }
                return try AttemptHistory.read(history)
            }
        }
    }
}

/// Notes its number in a trace; 0 waits at a gate, and says before that it has begun.
func gatedNote(_ ran: Trace<Int>, _ begun: Gate, _ gate: Gate) -> JobClosure {
    JobClosure("note") { (number: Int, _) -> Int in
        ran.add(number)
        if number == 0 {
            begun.open()
            gate.block()
        }
        return number
    }
}

extension JobStore {
    /// How many unique keys are held.
    func uniqueRows() throws -> Int {
        try open.read { (reader) throws(StorageError) in try reader.count(open.tables.unique) }
    }

    /// Fires what is due in the first queue, and settles what has expired: what a worker does when it has found nothing.
    /// - Returns: how many jobs were found expired.
    func fireTimers(_ runner: JobRunner) async throws -> Int {
        let queue = try #require(try queueRows().first).record.id
        let tables = open.tables
        let marked = Expiry.Marked()
        try await open.perform { (transaction, state) throws(StorageError) in
            let ids = try Timers.fire(queue, tables, &transaction, &state)
            marked.jobs.withLock { $0 = ids }
        }
        let count = marked.jobs.withLock { $0.count }
        Expiry.settle(marked, runner.core)
        return count
    }
}

/// Lets the other tasks have a turn, while a test waits for what it can only look at. Throws when the test's time is up.
func turn() async throws {
    try Task.checkCancellation()
    await Task.yield()
}
