import Petiole
import PetioleStorage
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Opens a store for a test, in a directory of its own that is removed at the end, and gives it to a closure with a runner that
/// runs its jobs when the test says so.
///
/// The runner takes its queues with the first step, not before: a test may run a ``JobRunner`` of its own instead.
/// - Parameters:
///   - path: where the store is, if it is to be there afterwards; nil: in a directory that is removed.
///   - clock: what tells when jobs are due; one that stands still unless given.
///   - faults: what is to go wrong.
///   - jobs: the job types that the runner knows: `Job`, `AsyncJob` or `RawJob`.
///   - closures: those by name.
///   - options: changes how the store is made; it is a `.scratch` one unless that is changed.
///   - runner: changes the runner's options; it always has one thread.
///   - body: the test.
/// - Returns: what the body returns.
/// - Throws: what the body throws; `StoreError` when the store cannot be made, ``TestFailure`` when its directory cannot be.
public func withTestStore<Value>(
    at path: String? = nil, clock: TestClock = TestClock(isFrozen: true),
    faults: FaultPlan = FaultPlan(), jobs: [any JobType.Type] = [], closures: [JobClosure] = [],
    options: (inout StoreOptions) -> Void = { _ in },
    runner: (inout JobRunner.Options) -> Void = { _ in },
    _ body: (_ store: JobStore, _ runner: TestRunner) async throws -> Value
) async throws -> Value {
    guard let path else {
        return try await withTestDirectory { directory in
            try await withTestStore(
                at: directory + "/test.petiole", clock: clock, faults: faults, jobs: jobs,
                closures: closures, options: options, runner: runner, body)
        }
    }
    var storeOptions = StoreOptions()
    storeOptions.durability = .scratch
    options(&storeOptions)
    var runnerOptions = JobRunner.Options()
    runner(&runnerOptions)
    TestDirectory.mapLess()
    let store = try JobStore(
        at: path, options: storeOptions, clock: clock.storeClock, faults: faults.commitFaults)
    let listener = clock.listen { store.lookAtTimers() }
    defer { clock.remove(listener) }
    let testRunner = TestRunner(
        store, clock, faults, jobs: jobs, closures: closures, options: runnerOptions)
    let value: Value
    do {
        value = try await body(store, testRunner)
    } catch {
        // What the body threw says more than how the runner ended.
        try? await testRunner.stop()
        store.close()
        throw error
    }
    do {
        try await testRunner.stop()
    } catch {
        store.close()
        throw error
    }
    store.close()
    return value
}

/// Gives a fresh directory, for its owner alone, to a closure and removes it at the end: for tests that open a store more than
/// once.
/// - Throws: what the body throws; ``TestFailure`` when the directory cannot be made or removed.
public func withTestDirectory<Value>(
    _ body: (_ path: String) async throws -> Value
) async throws -> Value {
    let directory = try TestDirectory()
    let value: Value
    do {
        value = try await body(directory.path)
    } catch {
        // What the body threw says more.
        try? directory.remove()
        throw error
    }
    try directory.remove()
    return value
}

/// A fresh directory.
package struct TestDirectory: Sendable {
    package let path: String

    package init() throws(TestFailure) {
        Self.mapLess()
        let parent = FileManager.default.temporaryDirectory.path
        path = "\(parent)/petiole-\(UInt64.random(in: 0 ... .max))"
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
        } catch { throw TestFailure("no directory for a test could be made: \(error)") }
    }

    package func remove() throws(TestFailure) {
        do { try FileManager.default.removeItem(atPath: path) } catch {
            throw TestFailure("the directory of a test could not be removed: \(error)")
        }
    }

    /// 64 GiB for a store that is opened from now on: some hundred tests have one open at once.
    package static func mapLess() {
        // Relaxed: the same each time.
        Environment.standardMapSize.store(1 << 36, ordering: .relaxed)
    }
}
