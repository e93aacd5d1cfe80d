import PetioleDispatch
import PetioleStorage
import Synchronization

/// Runs a closure that blocks on a thread of its own, and awaits it.
func onThread<Value: Sendable>(
    _ name: String, _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
    let result: Result<Value, any Error> = await withUnsafeContinuation { continuation in
        OSThread.start(named: name) { continuation.resume(returning: Result { try body() }) }
    }
    return try result.get()
}

/// What became of a wait for a lock that may be given up meanwhile.
final class LockOutcome: Sendable {
    private enum State {
        case waiting, abandoned
        case settled(Result<Bool, StorageError>)
    }
    private let state = Mutex(State.waiting)

    /// Returns false when nobody wants it any more.
    func settle(_ result: Result<Bool, StorageError>) -> Bool {
        state.withLock { state in
            if case .abandoned = state { return false }
            state = .settled(result)
            return true
        }
    }

    func abandon() {
        state.withLock { state in
            if case .waiting = state { state = .abandoned }
        }
    }

    var result: Result<Bool, StorageError>? {
        state.withLock { state in
            if case .settled(let result) = state { return result }
            return nil
        }
    }
}

extension OpenStore {
    /// Waits for the recovery byte, also while another thread of this process holds it. Blocks the thread.
    func lockRecovery() throws(StorageError) {
        while true {
            // Read before asking: an unlock in between makes the wait return at once.
            let turn = recoveryTurn.value
            if try locks.lockWaiting(StoreFormat.recoveryLock) { return }
            recoveryTurn.wait(while: turn)
        }
    }

    func unlockRecovery() {
        locks.unlock(StoreFormat.recoveryLock)
        recoveryTurn.add(1)
        recoveryTurn.wakeAll()
    }
}

/// Set once, by anybody.
final class SharedFlag: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool {
        // Acquiring: pairs with the releasing store below.
        flag.load(ordering: .acquiring)
    }
    func set() {
        // Releasing: pairs with the acquiring load above.
        flag.store(true, ordering: .releasing)
    }
}
