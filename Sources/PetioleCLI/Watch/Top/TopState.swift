import Petiole

/// Where a person is in `petiole top`, and what keys do there.
struct TopState: Sendable {
    /// A line that is chosen.
    enum Choice: Equatable, Sendable {
        case queue(String)
        case running(JobID)
        case failed(JobID)
    }

    enum Mode: Equatable, Sendable {
        case list, help
        /// A question that y answers.
        case asking(String, Action)
        case output(JobID)
    }

    /// What is to be done to the store.
    enum Action: Equatable, Sendable {
        case quit
        case setPaused(queue: String, Bool)
        case cancel(JobID)
        case requeue(JobID)
        case setLimit(queue: String, Int?)
        case open(JobID)
        case closeOutput

        /// Whether the store is changed by it.
        var isAct: Bool {
            switch self {
            case .quit, .open, .closeOutput: false
            case .setPaused, .cancel, .requeue, .setLimit: true
            }
        }
    }

    private(set) var mode = Mode.list
    private(set) var choice: Choice?
    /// What an action came to; in the place of the help line until the next key.
    var message: String?
    /// How far the output is scrolled up from its end, in rows.
    private(set) var scroll = 0
    /// How many rows of it there ever were when it was last drawn, and how wide they were.
    private var drawn: (rows: Int, columns: Int)?

    // MARK: The choice

    static func choices(_ model: TopModel) -> [Choice] {
        model.queues.map { .queue($0.name) } + model.running.map { .running($0.id) }
            + model.failures.map { .failed($0.id) }
    }

    /// Sees to it that something is chosen that is there: what stands now where it stood, when it is gone.
    mutating func keepChoice(_ model: TopModel, before: TopModel?) {
        let all = Self.choices(model)
        if let choice, all.contains(choice) { return }
        let old = before.map(Self.choices) ?? []
        let index = choice.flatMap { old.firstIndex(of: $0) } ?? 0
        choice = all.isEmpty ? nil : all[min(index, all.count - 1)]
    }

    private mutating func move(by steps: Int, _ model: TopModel) {
        let all = Self.choices(model)
        guard !all.isEmpty else { return }
        let index = choice.flatMap { all.firstIndex(of: $0) } ?? 0
        choice = all[min(max(0, index + steps), all.count - 1)]
    }

    /// To the first line of the next list, or of the one before.
    private mutating func moveToList(next: Bool, _ model: TopModel) {
        let firsts = [
            model.queues.first.map { Choice.queue($0.name) },
            model.running.first.map { Choice.running($0.id) },
            model.failures.first.map { Choice.failed($0.id) },
        ].compactMap { $0 }
        let all = Self.choices(model)
        guard let choice, let index = all.firstIndex(of: choice), !firsts.isEmpty else { return }
        let places = firsts.compactMap { all.firstIndex(of: $0) }
        let target =
            next
            ? places.first { $0 > index } ?? places[0]
            : places.last { $0 < index } ?? places[places.count - 1]
        self.choice = all[target]
    }

    // MARK: Keys

    /// - Parameter page: rows of the output that are shown at once.
    mutating func press(_ key: Key, _ model: TopModel, page: Int) -> Action? {
        message = nil
        switch mode {
        case .help:
            mode = .list
            return nil
        case .asking(_, let action):
            mode = .list
            return key == .letter("y") || key == .letter("Y") ? action : nil
        case .output: return pressInOutput(key, page)
        case .list: return pressInList(key, model, page)
        }
    }

    private mutating func pressInOutput(_ key: Key, _ page: Int) -> Action? {
        switch key {
        case .up, .letter("k"): scroll += 1
        case .down, .letter("j"): scroll -= 1
        case .pageUp: scroll += page
        case .pageDown, .letter(" "): scroll -= page
        case .home, .letter("g"): scroll = .max / 2
        case .end, .letter("G"): scroll = 0
        case .escape, .enter, .letter("q"), .letter("o"):
            mode = .list
            scroll = 0
            return .closeOutput
        default: break
        }
        scroll = max(0, scroll)
        return nil
    }

    /// Call before the output is drawn: where one has scrolled up, the same rows stay while the job writes on, and there is
    /// no more above than there is.
    mutating func placeOutput(_ pane: OutputPane, page: Int) {
        let ever = pane.rowsEver
        if scroll > 0, let drawn, drawn.columns == pane.columns {
            scroll += max(0, ever - drawn.rows)
        }
        drawn = (ever, pane.columns)
        scroll = min(scroll, max(0, pane.rowCount - page))
    }

    private mutating func pressInList(_ key: Key, _ model: TopModel, _ page: Int) -> Action? {
        switch key {
        case .up, .letter("k"): move(by: -1, model)
        case .down, .letter("j"): move(by: 1, model)
        case .pageUp: move(by: -page, model)
        case .pageDown: move(by: page, model)
        case .home, .letter("g"): move(by: -.max / 2, model)
        case .end, .letter("G"): move(by: .max / 2, model)
        case .tab: moveToList(next: true, model)
        case .backTab: moveToList(next: false, model)
        case .letter("?"), .letter("h"): mode = .help
        case .letter("q"): return .quit
        case .enter, .letter("o"): return openOutput()
        case .letter("c"): askToCancel(model)
        case .letter("r"): return requeue()
        case .letter("p"): return togglePause(model)
        case .letter("+"), .letter("="): return changeLimit(by: 1, model)
        case .letter("-"): return changeLimit(by: -1, model)
        case .letter("0"): return removeLimit(model)
        default: break
        }
        return nil
    }

    private mutating func openOutput() -> Action? {
        switch choice {
        case .running(let id), .failed(let id):
            mode = .output(id)
            (scroll, drawn) = (0, nil)
            return .open(id)
        case .queue, nil:
            message = "choose a job to see its output"
            return nil
        }
    }

    private mutating func askToCancel(_ model: TopModel) {
        guard case .running(let id) = choice,
            let job = model.running.first(where: { $0.id == id })
        else { return message = "choose a running job to cancel it" }
        mode = .asking(
            "cancel job \(id), which has run \(BriefTime.text(job.elapsed))?  y yes, any other key no",
            .cancel(id))
    }

    private mutating func requeue() -> Action? {
        if case .failed(let id) = choice { return .requeue(id) }
        message = "choose a job that failed to run it once more"
        return nil
    }

    /// The queue that is chosen, or whose job is.
    private func queue(_ model: TopModel) -> TopModel.Queue? {
        let name: String? =
            switch choice {
            case .queue(let name): name
            case .running(let id): model.running.first { $0.id == id }?.queue
            case .failed(let id): model.failures.first { $0.id == id }?.queue
            case nil: nil
            }
        return model.queues.first { $0.name == name }
    }

    private func togglePause(_ model: TopModel) -> Action? {
        queue(model).map { .setPaused(queue: $0.name, !$0.isPaused) }
    }

    private mutating func changeLimit(by change: Int, _ model: TopModel) -> Action? {
        guard let queue = queue(model) else { return nil }
        if let limit = queue.limit {
            if limit + change < 1 {
                message = "one at a time is the least; p pauses the queue"
                return nil
            }
            return .setLimit(queue: queue.name, limit + change)
        }
        if change > 0 {
            message = "no limit is set: as many run as the runner has workers for"
            return nil
        }
        return .setLimit(queue: queue.name, max(1, queue.running - 1))
    }

    private func removeLimit(_ model: TopModel) -> Action? {
        queue(model).map { .setLimit(queue: $0.name, nil) }
    }
}
