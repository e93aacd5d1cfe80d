import Synchronization

/// What a worker has gathered, under its lock.
final class GatheredBox: @unchecked Sendable {
    // What guards it: `value` is touched only while `lock` is held. (`Mutex<Value>` would do, but for what its `inout sending`
    // asks of values that are not `Sendable`.)
    private let lock = Mutex(())
    @exclusivity(unchecked) private var value = AttemptLoop.Gathered()

    func withLock(_ body: (inout AttemptLoop.Gathered) -> Void) {
        lock.withLock { _ in body(&value) }
    }
}
