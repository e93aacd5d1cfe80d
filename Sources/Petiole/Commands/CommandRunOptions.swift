/// How a runner of commands runs them, beside what each command says itself.
package struct CommandRunOptions: Sendable {
    /// Bytes of each output that are kept; what a command writes beyond is read, counted and dropped. Nil: all are kept.
    package var outputLimit: UInt64?
    /// A command is asked to stop after so many percent of the median run time of those that have succeeded, see
    /// ``MedianLimit``. Nil: never.
    package var medianPercent: Int?
    /// Whether the number of commands at once may be changed while the runner runs: up to so many.
    package var mostPlaces: Int?
    /// What each start waits for.
    package var start = StartGate.Rules()
    /// Called with what a command writes, as far as it is kept, as soon as it is read. On the thread that waits for the command,
    /// which reads no more of it meanwhile.
    package var onOutput: (@Sendable (JobID, CommandStream, UnsafeRawBufferPointer) -> Void)?
    /// Called when a command has to wait because its output finds no room on the disk, and when it goes on.
    package var onFullDisk: (@Sendable (JobID, _ isOver: Bool) -> Void)?

    /// Called when nothing is left to run but what is paused, held or parked. The runner waits for that; without it, a
    /// runner that ends when nothing is left does not.
    package var onPaused: (@Sendable () -> Void)?

    /// Called when a command has succeeded, or failed for the last time: before that is recorded, and before its thread runs
    /// another one.
    package var onLastEnd: (@Sendable (_ succeeded: Bool) -> Void)?

    package init() {}
}

/// One of the two outputs of a command.
package enum CommandStream: Sendable {
    case output, errorOutput
}

/// Who hears of what a command writes while it runs.
package struct OutputWatcher: Sendable {
    var onOutput: (@Sendable (CommandStream, UnsafeRawBufferPointer) -> Void)?
    let onFullDisk: @Sendable (_ isOver: Bool) -> Void

    init(onFullDisk: @escaping @Sendable (_ isOver: Bool) -> Void) { self.onFullDisk = onFullDisk }
}
