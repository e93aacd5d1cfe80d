import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// One showing of `petiole top`: one thread reads keys and the store, and draws; others hand it what has come.
final class TopSession: Sendable {
    /// What others hand over.
    private struct Mail {
        var signals: [Int32] = []
        var message: String?
        /// What the job writes that is shown: bounded, however fast it comes.
        var pane: OutputPane?
        var hasChanged = true
        var limitsChanged = false
    }

    private let store: JobStore
    private let look: TerminalLook
    private let mail = Mutex(Mail())
    private let wake: WakePipe
    /// Rung when the next change of the store is to be told.
    private let watchAgain: WakePipe
    /// Four pictures a second: no eye misses the others.
    private static let shortest = Duration.milliseconds(250)
    /// Ten a second where text runs by.
    private static let shortestDraw = Duration.milliseconds(100)

    init(_ store: JobStore, look: TerminalLook) throws {
        self.store = store
        self.look = look
        wake = try WakePipe()
        watchAgain = try WakePipe()
    }

    /// Until it is to end.
    /// - Returns: the exit status.
    func run() throws -> Int32 {
        let terminal = ScreenTerminal(look: look)
        var reader = TopReader(store)
        var model = try reader.read()
        var state = TopState()
        state.keepChoice(model, before: nil)
        var keys = KeyReader()
        var feed: OutputFeed?
        defer { feed?.cancel() }
        try terminal.enter()
        defer { terminal.leave() }
        start()
        var lastRead = ContinuousClock.now
        var lastDraw: ContinuousClock.Instant?
        while true {
            let (rows, columns) = terminal.size
            var next = nextRead(model, lastRead)
            if let last = lastDraw, last.duration(to: .now) < Self.shortestDraw {
                next = min(next, last + Self.shortestDraw)
            } else {
                try terminal.show(draw(model, &state, rows: rows, columns: columns))
                lastDraw = .now
            }
            let hasKeys = wait(until: next, keysUnfinished: keys.isUnfinished)
            let mail = takeMail()
            if hasKeys || !mail.signals.isEmpty || mail.message != nil { lastDraw = nil }
            for signal in mail.signals {
                switch signal {
                case SIGTSTP: try suspend(terminal)
                // Whoever was in front meanwhile may have set the terminal, and drawn on it.
                case SIGCONT: try terminal.enter()
                case SIGWINCH: terminal.forget()
                default: return 128 + signal
                }
            }
            if let message = mail.message { state.message = message }
            if mail.limitsChanged { reader.forgetLimits() }
            // What an action has changed is there when its message is, and before the next key.
            if mail.message != nil || isDue(model, lastRead) {
                // The changes up to here are in what is read now.
                self.mail.withLock { $0.hasChanged = false }
                let before = model
                model = try reader.read()
                state.keepChoice(model, before: before)
                (lastRead, lastDraw) = (.now, nil)
                watchAgain.ring()
            }
            var pressed: [Key] = []
            if hasKeys {
                guard let bytes = terminal.read() else { return 128 + SIGHUP }
                pressed = keys.take(bytes)
            } else if keys.isUnfinished {
                pressed = keys.finish()
            }
            for key in pressed {
                let action = state.press(key, model, page: TopScreen.page(rows: rows))
                guard let action else { continue }
                if action == .quit { return 0 }
                perform(action, model, &feed)
            }
        }
    }

    private func draw(
        _ model: TopModel, _ state: inout TopState, rows: Int, columns: Int
    ) -> Screen {
        let pane = mail.withLock { mail in
            mail.pane?.wrap(to: columns)
            return mail.pane
        }
        if let pane { state.placeOutput(pane, page: TopScreen.page(rows: rows)) }
        return TopScreen.drawn(model, state, pane, rows: rows, columns: columns)
    }

    // MARK: Waiting

    private func start() {
        StopSignals.forEach { [self] signal in
            mail.withLock { $0.signals.append(signal) }
            wake.ring()
        }
        OSThread.start(named: "petiole-changes") { [self] in
            while true {
                // Read before the next look is asked for: what comes in between is told at once.
                let seen = store.changeCount
                watchAgain.wait(milliseconds: -1)
                store.waitForChange(since: seen, atMost: .seconds(3_600))
                mail.withLock { $0.hasChanged = true }
                wake.ring()
            }
        }
        watchAgain.ring()
    }

    /// When the store is to be read next by itself: seconds go by while jobs run; else a process may have died, which nobody
    /// tells.
    private func nextRead(_ model: TopModel, _ lastRead: ContinuousClock.Instant)
        -> ContinuousClock.Instant
    {
        if mail.withLock({ $0.hasChanged }) { return lastRead + Self.shortest }
        return lastRead + (model.isBusy ? .seconds(1) : .seconds(10))
    }

    private func isDue(_ model: TopModel, _ lastRead: ContinuousClock.Instant) -> Bool {
        nextRead(model, lastRead) <= .now
    }

    /// Returns whether keys were pressed.
    private func wait(until next: ContinuousClock.Instant, keysUnfinished: Bool) -> Bool {
        let rest = ContinuousClock.now.duration(to: next)
        var milliseconds = max(0, Int32(clamping: rest.wholeMicroseconds / 1_000 + 1))
        // What a key sends comes in one piece, or nearly so.
        if keysUnfinished { milliseconds = min(milliseconds, 50) }
        var entries = [
            pollfd(fd: 0, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wake.reading, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&entries, 2, milliseconds) > 0 else { return false }
        if entries[1].revents != 0 { wake.wait(milliseconds: 0) }
        return entries[0].revents != 0
    }

    private func takeMail() -> Mail {
        mail.withLock { mail in
            let taken = mail
            mail = Mail(pane: mail.pane, hasChanged: mail.hasChanged)
            return taken
        }
    }

    /// Gives the terminal back, and stops until somebody lets this process go on.
    private func suspend(_ terminal: ScreenTerminal) throws {
        terminal.leave()
        // To this thread: sent to the process another may take it, and this one goes on for a moment.
        raise(SIGSTOP)
        try terminal.enter()
    }

    // MARK: Acting

    private func perform(
        _ action: TopState.Action, _ model: TopModel, _ feed: inout OutputFeed?
    ) {
        switch action {
        case .quit: return
        case .closeOutput:
            feed?.cancel()
            feed = nil
            mail.withLock { $0.pane = nil }
        case .open(let id):
            let title =
                model.running.first { $0.id == id }?.title
                ?? model.failures.first { $0.id == id }?.title ?? ""
            mail.withLock { $0.pane = OutputPane(id: id, title: title) }
            feed = follow(id)
        case .setPaused(let queue, let isPaused):
            act { store in
                if isPaused {
                    try await store.pause(queue: queue)
                    return "\(visible(queue)) is paused: what runs finishes"
                }
                try await store.resume(queue: queue)
                return "\(visible(queue)) goes on"
            }
        case .cancel(let id):
            act { store in
                switch try await store.cancel(id) {
                case .cancelled: "job \(id) is cancelled"
                case .stopping: "job \(id) is asked to stop"
                case .alreadyEnded: "job \(id) had ended"
                }
            }
        case .requeue(let id):
            act { store in
                switch try await store.requeue(id) {
                case .requeued: "job \(id) is ready again"
                case .notEnded: "job \(id) has not ended"
                }
            }
        case .setLimit(let queue, let limit):
            act { [self] store in
                let rate = try store.limits(inQueue: queue).first { $0.job == nil }?.1.rate
                if limit == nil, rate == nil {
                    try await store.removeLimits(ofQueue: queue)
                } else {
                    try await store.setLimits(concurrency: limit, rate: rate, ofQueue: queue)
                }
                mail.withLock { $0.limitsChanged = true }
                return limit.map { "\(grouped($0)) of \(visible(queue)) at once" }
                    ?? "\(visible(queue)) has no limit of its own"
            }
        }
    }

    private func act(_ body: @escaping @Sendable (JobStore) async throws -> String) {
        Task { [self] in
            let message: String
            do { message = try await body(store) } catch {
                message =
                    Failure(error)?.message.split(separator: "\n").first.map(String.init)
                    ?? "\(error)"
            }
            mail.withLock { mail in
                mail.message = visible(message)
                mail.hasChanged = true
            }
            wake.ring()
        }
    }

    private func follow(_ id: JobID) -> OutputFeed? {
        do {
            let feed = try OutputFeed(of: id, in: store)
            OSThread.start(named: "petiole-feed") { [self] in
                do {
                    try feed.run { piece in
                        let isWanted = mail.withLock { mail in
                            guard mail.pane?.id == id else { return false }
                            mail.pane?.add(piece)
                            return true
                        }
                        wake.ring()
                        return isWanted
                    }
                } catch { noteProblem(id, error) }
            }
            return feed
        } catch {
            noteProblem(id, error)
            return nil
        }
    }

    private func noteProblem(_ id: JobID, _ error: any Error) {
        mail.withLock { mail in
            let text = Failure(error)?.message ?? "\(error)"
            if mail.pane?.id == id { mail.pane?.end = visible(text) }
        }
        wake.ring()
    }
}
