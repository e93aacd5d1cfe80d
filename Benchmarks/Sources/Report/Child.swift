import ArgumentParser
import CYardsticks
import Foundation
import Petiole
import Synchronization

/// The part of a measurement that needs a process of its own. Says a line when it is ready, or what it measured, and
/// ends when its input does.
struct Child: AsyncParsableCommand {
    enum Role: String, ExpressibleByArgument {
        /// Opens the store and says how many nanoseconds that took.
        case open
        /// Runs a queue in which there is nothing.
        case idle
        /// Does nothing at all: what the Swift runtime costs by itself.
        case bare
        /// Runs stamping jobs.
        case stamp
        /// Begins two jobs, which do not end.
        case hold
        /// Runs a chord, and says how much private memory it had at most, in MiB.
        case chord
    }

    static let configuration = CommandConfiguration(commandName: "child", shouldDisplay: false)

    @Argument var role: Role
    @Argument var store: String
    @Argument var count = 0

    func run() async throws {
        switch role {
        case .open:
            let start = now_nanoseconds()
            let opened = try JobStore(at: store)
            say("\(now_nanoseconds() - start)")
            opened.close()
        case .idle: try await runJobs([Noop.self])
        case .bare:
            say("ready")
            await Child.endOfInput()
        case .stamp: try await runJobs([Stamp.self])
        case .hold:
            var options = JobRunner.Options()
            options.workers = 2
            let runner = try JobRunner(
                JobStore(at: store), jobs: [HeldNoop.self], options: options)
            try await runner.run()
        case .chord:
            let memory = OwnMemory()
            let opened = try JobStore(at: store)
            try await Chord.run(count, in: opened)
            opened.close()
            say("\(memory.most)")
        }
    }

    private func runJobs(_ jobs: [any JobType.Type]) async throws {
        let runner = try JobRunner(JobStore(at: store), jobs: jobs)
        try await runner.run {
            say("ready")
            await Child.endOfInput()
        }
    }

    /// Waits on a thread of its own, which sleeps until the parent ends or closes the pipe.
    private static func endOfInput() async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var byte: UInt8 = 0
                while read(STDIN_FILENO, &byte, 1) > 0 {}
                continuation.resume()
            }
        }
    }
}

private func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

/// Takes the place of ``Noop``, and never ends: a runner that has just begun on what waits.
private enum HeldNoop: RawJob {
    static let jobName = Noop.jobName
    private static let begun = Atomic(0)

    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        // Relaxed: a count alone.
        if begun.wrappingAdd(1, ordering: .relaxed).newValue == 2 { say("ready") }
        while true { sleep(3_600) }
    }
}
