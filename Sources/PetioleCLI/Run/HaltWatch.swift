import Petiole
import Synchronization

/// Stops a run as soon as its rule says so: on the thread of the command that has ended, so that this begins no other.
final class HaltWatch: Sendable {
    private struct State {
        var ended = 0
        var failed = 0
        var total: Int?
        var reason: String?
    }

    private let rule: HaltRule
    private let state = Mutex(State())
    private let stop = Mutex<(@Sendable (_ isNow: Bool) -> Void)?>(nil)

    init(_ rule: HaltRule) { self.rule = rule }

    /// - Parameter body: called once, when the rule says so.
    func onHalt(_ body: @escaping @Sendable (_ isNow: Bool) -> Void) {
        stop.withLock { $0 = body }
    }

    func hasEnded(_ succeeded: Bool) {
        look { state in
            state.ended += 1
            if !succeeded { state.failed += 1 }
        }
    }

    /// All inputs are known: so many are run.
    func setTotal(_ total: Int) { look { $0.total = total } }

    private func look(after change: (inout State) -> Void) {
        let isDue = state.withLock { state in
            change(&state)
            guard state.reason == nil else { return false }
            state.reason = rule.reason(
                ended: state.ended, failed: state.failed, total: state.total)
            return state.reason != nil
        }
        if isDue { stop.withLock { $0 }?(rule.isNow) }
    }

    /// Why the run was to stop; nil: it was not.
    var reason: String? { state.withLock { $0.reason } }
}

/// Stops a runner, once in order and once more for now, whoever asks for it how often.
final class RunStopper: Sendable {
    private enum Step { case none, soon, now }
    private let step = Mutex(Step.none)
    let runner: JobRunner
    private let stopReading: WakePipe?

    init(_ runner: JobRunner, _ stopReading: WakePipe? = nil) {
        self.runner = runner
        self.stopReading = stopReading
    }

    func stop(isNow: Bool) {
        stopReading?.ring()
        let calls = step.withLock { step in
            let before = step
            if isNow { step = .now } else if step == .none { step = .soon }
            switch (before, step) {
            case (.none, .now): return 2
            case (.none, .soon), (.soon, .now): return 1
            default: return 0
            }
        }
        for _ in 0..<calls { runner.stop() }
    }
}
