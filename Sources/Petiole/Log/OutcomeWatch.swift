import CPetiole
import PetioleDispatch
import Synchronization

/// Tells waiters of jobs that other processes run: a thread that sleeps on the bell of recorded outcomes, begun with the
/// first waiter. Jobs of this process are told by the writer itself, at once.
final class OutcomeWatch: Sendable {
    private let signals: StoreSignals
    private let waiters: WaiterTable
    private let isStarted = Mutex<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    private let endedWord = SharedWord()

    init(signals: StoreSignals, waiters: WaiterTable) {
        self.signals = signals
        self.waiters = waiters
    }

    /// Begins to watch, once. `hasEnded` looks a job up.
    func start(_ hasEnded: @escaping @Sendable (UInt64) -> Bool) {
        let begins = isStarted.withLock { started -> Bool in
            defer { started = true }
            return !started
        }
        guard begins else { return }
        OSThread.start(named: "petiole-watch") { [self] in watch(hasEnded) }
    }

    private func watch(_ hasEnded: @Sendable (UInt64) -> Bool) {
        while true {
            // Read before looking, also at the flag: a ring in between makes the wait return at once.
            let seen = signals.recorded.value
            // Acquiring: pairs with the releasing store in `stop`.
            if isStopping.load(ordering: .acquiring) { break }
            for id in waiters.ids where hasEnded(id) {
                waiters.notify([(id, 1)])
            }
            // Ten seconds: a process may have died between its commit and its ring.
            signals.recorded.wait(whileAt: seen, for: 10_000_000_000)
        }
        endedWord.publish(1)
        endedWord.wakeAll()
    }

    /// Ends the thread and waits for its end: it reads the store, which is closed next. The last that is called.
    func stop() {
        // Releasing: pairs with the acquiring load above.
        isStopping.store(true, ordering: .releasing)
        signals.recorded.ring()
        guard isStarted.withLock({ $0 }) else { return }
        while endedWord.value == 0 { endedWord.wait(while: 0) }
    }
}

/// Job names by number and queue names by number, as far as this process has met them.
final class NameCache: Sendable {
    private let names = Mutex<[UInt32: String]>([:])
    private let queues = Mutex<[UInt32: String]>([:])

    func name(_ number: UInt32, _ find: () -> String?) -> String? {
        if let name = names.withLock({ $0[number] }) { return name }
        guard let name = find() else { return nil }
        names.withLock { $0[number] = name }
        return name
    }

    func queue(_ number: UInt32, _ find: () -> String?) -> String? {
        if let name = queues.withLock({ $0[number] }) { return name }
        guard let name = find() else { return nil }
        queues.withLock { $0[number] = name }
        return name
    }
}
