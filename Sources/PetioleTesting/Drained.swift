import Petiole

/// What a drain has run, and what it left.
public struct Drained: Sendable, Hashable {
    /// Each job that was run, as it was after its attempt, in that order: a job that was tried again is there more than once.
    public let steps: [JobSummary]
    /// Jobs that have not ended, of all queues of the store, in the order in which they were accepted.
    public let left: [JobSummary]
    private let at: WallTime

    init(steps: [JobSummary], left: [JobSummary], at: WallTime) {
        self.steps = steps
        self.left = left
        self.at = at
    }

    /// Whether every job of the store has ended.
    public var isAll: Bool { left.isEmpty }
}

extension Drained: CustomStringConvertible {
    /// How many were run, and what is left and why, a line each.
    public var description: String {
        let ran = steps.count == 1 ? "1 attempt was made" : "\(steps.count) attempts were made"
        if left.isEmpty { return "\(ran), and every job has ended" }
        let lines = left.map { job -> String in
            let why =
                switch job.state {
                case .waiting(let due, let attempts):
                    "due in \(Duration.microseconds(due.microseconds - at.microseconds))"
                        + (attempts == 0 ? "" : ", after \(attempts) attempts")
                default: job.state.words
                }
            return "job \(job.id) \"\(job.name)\" on queue \"\(job.queue)\": \(why)"
        }
        return "\(ran); left:\n" + lines.joined(separator: "\n")
    }
}
