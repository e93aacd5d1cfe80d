import ArgumentParser
import Petiole
import Synchronization

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// `petiole top`: the whole store on a screen, with keys.
struct Top: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show queues, running jobs and failures on the whole screen, with keys to act.",
        discussion: """
            Drawn anew when something was committed, four times a second at most, and each second while jobs run. Keys: \
            the arrows or j and k choose a line; o or Enter shows what the chosen job writes, live; c cancels it; r runs \
            one that failed once more; p pauses its queue or lets it go on; + and - let one more or less of the queue \
            run at once (as petiole limit --concurrency does), 0 takes that limit away; ? tells them all; q quits.

            What keys ask for is done one after another, and before it ends. A terminal of 40 columns and 12 rows is \
            needed; petiole status prints the same once. NO_COLOR is obeyed. Exit status: 0 after q; 64 without a \
            terminal; 75 when what was asked for last was not done within ten seconds; 128 + n stopped by signal n.

            EXAMPLES
              petiole top
              petiole top --store /var/lib/jobs
            """)

    @OptionGroup var location: StoreLocation

    func run() async throws {
        let look = TerminalLook()
        guard Standard.isInputTerminal, Standard.output.isTerminal, !look.isDumb else {
            let reason =
                look.isDumb && Standard.output.isTerminal
                ? "this terminal (TERM) has no cursor that can be moved"
                : "standard input and output are to be a terminal"
            throw Failure.usage("\(reason)\nsee the same once with: petiole status")
        }
        let store = try location.openExisting()
        let session = try TopSession(store, look: look)
        let status: Int32 = try await withCheckedThrowingContinuation { continuation in
            OSThread.start(named: "petiole-top") {
                continuation.resume(with: Result { try session.run() })
            }
        }
        if status != 0 { throw Failure("", status: status) }
    }
}
