/// How the thread that waits for a command finds out whether somebody follows what it writes, and tells where that lies: see
/// `FollowedOutputs.swift`.
package struct LiveOutput: Sendable {
    private let slots: RunningSlots
    private let job: UInt64
    private let attempt: Int

    init(_ slots: RunningSlots, job: UInt64, attempt: Int) {
        self.slots = slots
        self.job = job
        self.attempt = attempt
    }

    var isFollowed: Bool { slots.isFollowed(job) }

    /// Says that there is more in the files of these numbers.
    func tell(output: Int?, errorOutput: Int?) {
        slots.tellFollowers(
            of: job,
            FollowEntry.Place(attempt: attempt, output: output, errorOutput: errorOutput))
    }
}
