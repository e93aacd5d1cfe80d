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
        /// Counts the panes: what a feed reads late is not for the next one.
        var paneNumber = 0
        var hasChanged = true
        var limitsChanged = false
        /// Since when something is done to the store that a key asked for: one such thing at a time.
        var actingSince: ContinuousClock.Instant?
        /// Threads that read what a job writes.
        var feeds = 0
        var isFlushing = false
    }

    /// What the one thread has before it.
    private struct Showing {
        let terminal: ScreenTerminal
        var reader: TopReader
        var model: TopModel
        var state = TopState()
        var keys = KeyReader()
        /// Pressed while something was done to the store: they are to meet what it has changed.
        var held: [Key] = []
        var feed: OutputFeed?
        var lastRead = ContinuousClock.now
        var lastDraw: ContinuousClock.Instant?
    }

    private let store: JobStore
    private let look: TerminalLook
    private let mail = Mutex(Mail())
    private let wake: WakePipe
    /// Rung when the next change of the store is to be told.
    private let watchAgain: WakePipe
    /// Rung when something is over that is awaited before the end, and before a suspension.
    private let settled: WakePipe
    /// Four pictures a second: no eye misses the others.
    private static let shortest = Duration.milliseconds(250)
    /// Ten a second where text runs by.
    private static let shortestDraw = Duration.milliseconds(100)
    /// What is asked of the store takes one commit. Longer than this, another process holds it up, and keys are to work.
    private static let patience = Duration.seconds(10)

    init(_ store: JobStore, look: TerminalLook) throws {
        self.store = store
        self.look = look
        wake = try WakePipe()
        watchAgain = try WakePipe()
        settled = try WakePipe()
    }

    /// Until it is to end.
    /// - Returns: the exit status.
    func run() throws -> Int32 {
        var reader = TopReader(store)
        let model = try reader.read()
        var showing = Showing(
            terminal: ScreenTerminal(look: look), reader: reader, model: model)
        showing.state.keepChoice(model, before: nil)
        // Before the terminal is set: from here on a signal ends this in order, and gives it back.
        takeSignals()
        let end = Result {
            try showing.terminal.enter()
            watchChanges()
            while true {
                if let status = try step(&showing) { return status }
            }
        }
        showing.terminal.leave()
        showing.feed?.cancel()
        let isDone = settle({ $0.actingSince != nil }) {
            ![SIGWINCH, SIGTSTP, SIGCONT].contains($0)
        }
        let status = try end.get()
        if isDone { return status }
        say(
            """
            what was asked for last is not done yet, and may not be: the store is busy
            see what came of it with: petiole status, petiole show
            """)
        return status == 0 ? 75 : status
    }

    /// Draws, waits for something to come, and deals with it.
    /// - Returns: the exit status when it is to end.
    private func step(_ showing: inout Showing) throws -> Int32? {
        let (rows, columns) = showing.terminal.size
        let hasKeys = wait(
            until: try drawWhenDue(&showing, rows: rows, columns: columns),
            keysUnfinished: showing.keys.isUnfinished)
        let mail = takeMail()
        if hasKeys || !mail.signals.isEmpty || mail.message != nil { showing.lastDraw = nil }
        for signal in mail.signals {
            switch signal {
            case SIGTSTP: try suspend(&showing)
            // Whoever was in front meanwhile may have set the terminal, and drawn on it.
            case SIGCONT: try showing.terminal.enter()
            case SIGWINCH: showing.terminal.forget()
            default: return 128 + signal
            }
        }
        if let message = mail.message { showing.state.message = message }
        if mail.limitsChanged { showing.reader.forgetLimits() }
        // What an action has changed is there when its message is, and before the next key.
        if mail.message != nil || isDue(showing.model, showing.lastRead) {
            // The changes up to here are in what is read now.
            self.mail.withLock { $0.hasChanged = false }
            let before = showing.model
            showing.model = try showing.reader.read()
            showing.state.keepChoice(showing.model, before: before)
            (showing.lastRead, showing.lastDraw) = (.now, nil)
            watchAgain.ring()
        }
        if hasKeys {
            guard let bytes = showing.terminal.read() else { return 128 + SIGHUP }
            showing.held += showing.keys.take(bytes)
        } else if showing.keys.isUnfinished {
            showing.held += showing.keys.finish()
        }
        return press(&showing, actingSince: mail.actingSince, page: TopScreen.page(rows: rows))
    }

    /// Deals with the keys that are held, up to one whose act has to be done before the next.
    /// - Returns: the exit status when it is to end.
    private func press(
        _ showing: inout Showing, actingSince: ContinuousClock.Instant?, page: Int
    ) -> Int32? {
        if let actingSince, actingSince.duration(to: .now) < Self.patience {
            if !showing.held.isEmpty {
                showing.state.message = "one moment: what was asked for before is being done"
            }
            return nil
        }
        while !showing.held.isEmpty {
            let key = showing.held.removeFirst()
            guard let action = showing.state.press(key, showing.model, page: page) else { continue }
            if action == .quit { return 0 }
            if action.isAct, actingSince != nil {
                showing.state.message =
                    "not done: what was asked for before is not done yet, the store is busy"
                continue
            }
            perform(action, showing.model, &showing.feed)
            if action.isAct { return nil }
        }
        return nil
    }

    /// - Returns: when there is something to do though nothing has come.
    private func drawWhenDue(
        _ showing: inout Showing, rows: Int, columns: Int
    ) throws -> ContinuousClock.Instant {
        var next = nextRead(showing.model, showing.lastRead)
        if !showing.held.isEmpty, let since = mail.withLock({ $0.actingSince }) {
            next = min(next, since + Self.patience)
        }
        if let last = showing.lastDraw, last.duration(to: .now) < Self.shortestDraw {
            return min(next, last + Self.shortestDraw)
        }
        let pane = mail.withLock { mail in
            mail.pane?.wrap(to: columns)
            return mail.pane
        }
        if let pane { showing.state.placeOutput(pane, page: TopScreen.page(rows: rows)) }
        try showing.terminal.show(
            TopScreen.drawn(showing.model, showing.state, pane, rows: rows, columns: columns))
        showing.lastDraw = .now
        return next
    }

    // MARK: Waiting

    private func takeSignals() {
        StopSignals.forEach { [self] signal in
            mail.withLock { $0.signals.append(signal) }
            wake.ring()
            settled.ring()
        }
    }

    private func watchChanges() {
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

    /// But for the output, of which a second copy would have to be made when it grows.
    private func takeMail() -> Mail {
        mail.withLock { mail in
            var taken = mail
            taken.pane = nil
            mail.signals = []
            mail.message = nil
            mail.limitsChanged = false
            return taken
        }
    }

    /// Waits until something is over, ``patience`` at most, and no longer than until such a signal comes.
    /// - Returns: whether it is.
    private func settle(_ isUnderWay: (Mail) -> Bool, unless isEnough: (Int32) -> Bool) -> Bool {
        let deadline = ContinuousClock.now + Self.patience
        while true {
            let (goesOn, hasSignal) = mail.withLock { mail in
                (isUnderWay(mail), mail.signals.contains(where: isEnough))
            }
            if !goesOn { return true }
            let rest = ContinuousClock.now.duration(to: deadline)
            if hasSignal || rest <= .zero { return false }
            settled.wait(milliseconds: Int32(clamping: rest.wholeMicroseconds / 1_000 + 1))
        }
    }

    /// Gives the terminal back, and stops until somebody lets this process go on.
    private func suspend(_ showing: inout Showing) throws {
        showing.terminal.leave()
        let followed = mail.withLock { mail in
            mail.feeds > 0 && mail.pane?.end == nil ? mail.pane : nil
        }
        if followed != nil { showing.feed?.cancel() }
        // Stopped with the store's lock, or in the midst of a look at it, it would hold up others: what others wait for is
        // let go first.
        let isEnough = { (signal: Int32) in signal != SIGWINCH }
        _ = settle({ $0.actingSince != nil || $0.feeds > 0 }, unless: isEnough)
        mail.withLock { $0.isFlushing = true }
        Task { [self] in
            // Nothing is buffered, so nothing can fail; when it returns, the writer holds no lock.
            try? await store.flush()
            mail.withLock { $0.isFlushing = false }
            settled.ring()
        }
        _ = settle({ $0.isFlushing }, unless: isEnough)
        let isOver = mail.withLock { mail in
            mail.signals.removeAll { $0 == SIGTSTP }
            // One that ends it, or lets it go on, has come meanwhile.
            return mail.signals.contains(where: isEnough)
        }
        // To this thread: sent to the process another may take it, and this one goes on for a moment.
        if !isOver { raise(SIGSTOP) }
        try showing.terminal.enter()
        if let followed { showing.feed = open(followed.id, followed.title) }
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
            feed = open(id, title)
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
        mail.withLock { $0.actingSince = .now }
        Task { [self] in
            let message: String
            do { message = try await body(store) } catch { message = Self.firstLine(error) }
            mail.withLock { mail in
                mail.message = visible(message)
                mail.hasChanged = true
                mail.actingSince = nil
            }
            wake.ring()
            settled.ring()
        }
    }

    /// What went wrong; the next step stands in the lines behind, for which there is no room.
    private static func firstLine(_ error: any Error) -> String {
        let text = Failure(error)?.message ?? "\(error)"
        return text.split(separator: "\n").first.map(String.init) ?? text
    }

    /// Shows what a job writes.
    private func open(_ id: JobID, _ title: String) -> OutputFeed? {
        let number = mail.withLock { mail in
            mail.pane = OutputPane(id: id, title: title)
            mail.paneNumber += 1
            return mail.paneNumber
        }
        do {
            let feed = try OutputFeed(of: id, in: store)
            mail.withLock { $0.feeds += 1 }
            OSThread.start(named: "petiole-feed") { [self] in
                do {
                    try feed.run { piece in
                        let isWanted = mail.withLock { mail in
                            guard mail.paneNumber == number, mail.pane != nil else {
                                return false
                            }
                            mail.pane?.add(piece)
                            return true
                        }
                        wake.ring()
                        return isWanted
                    }
                } catch { noteProblem(number, error) }
                mail.withLock { $0.feeds -= 1 }
                settled.ring()
            }
            return feed
        } catch {
            noteProblem(number, error)
            return nil
        }
    }

    private func noteProblem(_ number: Int, _ error: any Error) {
        mail.withLock { mail in
            if mail.paneNumber == number { mail.pane?.end = visible(Self.firstLine(error)) }
        }
        wake.ring()
    }
}
