import CPetiole
import Logging
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Lets this program be a child process that runs isolated jobs: to be called as its first line, before anything that a child
/// has no use for.
///
/// In a process that a runner has started for that it runs jobs until the runner lets it go, and never returns. In any other it
/// notes the job types, which a runner of this program may then have with ``Isolation/process``, and returns at once.
///
/// A child opens the store and nothing else. Its jobs run on its first thread, `AsyncJob`s as tasks; nothing runs on the main
/// actor, so a job that awaits it never ends. What a job prints goes to the runner's standard output; what it writes to its
/// standard error goes to the runner's, and its last lines stand in the failure of an attempt whose process ended.
/// - Parameter jobs: all job types of the program that are isolated; others may be among them.
public func serveChild(jobs: [any JobType.Type]) {
    ServedJobs.add(jobs)
    guard let text = getenv(ChildProtocol.variableName) else { return }
    let variable = String(cString: text)
    // The programs that a job starts are not children of the runner.
    unsetenv(ChildProtocol.variableName)
    ChildServer.serve(jobs, variable)
}

/// The child's side of the conversation that `ChildMessage.swift` describes.
enum ChildServer {
    private static let mark = SharedFlag()
    /// Whether this process is a child.
    static var isServing: Bool { mark.isSet }

    /// - Parameter variable: what the runner has set in the environment.
    static func serve(_ jobs: [any JobType.Type], _ variable: String) -> Never {
        mark.set()
        let ends = takeDescriptors()
        guard let place = ChildProtocol.read(variable: variable) else { refuse() }
        let channel = ChildChannel(ends.channel)
        do {
            var options = StoreOptions()
            options.createsStore = false
            let clock = RunnersClock(place.clocks)
            let store = try JobStore(at: place.path, options: options, clock: clock.storeClock)
            let registry = try JobRegistry(inChild: jobs)
            let core = RunnerCore(
                store, registry, asyncLimit: 1, logger: Logger(label: "petiole"),
                parkLimit: .zero, queueOptions: [:])
            let runner = ChildRunner(core, channel, clock)
            core.serves(runner)
            OSThread.start(named: "petiole-orders") { runner.takeOrders(ends.control) }
            var ready = ChildFrame(kind: .ready)
            ready.number = ChildProtocol.version
            channel.send(ready)
            try runner.run()
        } catch {
            var frame = ChildFrame(kind: .cannot)
            frame.rest = Array("\(error)".utf8)
            channel.send(frame)
            _exit(1)
        }
    }

    /// Puts the two descriptors where programs that jobs start do not get them, and an empty input in the place of one.
    private static func takeDescriptors() -> (channel: Int32, control: Int32) {
        var info = stat()
        let number = ChildProtocol.channelNumber
        guard fstat(number, &info) == 0, info.st_mode & S_IFMT == S_IFSOCK else { refuse() }
        _ = petiole_close_on_exec(number)
        let control = fcntl(0, F_DUPFD_CLOEXEC, number + 1)
        let null = petiole_null_input()
        guard control >= 0, null >= 0, dup2(null, 0) == 0 else { _exit(71) }
        return (number, control)
    }

    private static func refuse() -> Never {
        let text = "\(ChildProtocol.variableName) is set, and no runner has started this process\n"
        _ = text.utf8CString.withUnsafeBytes { write(2, $0.baseAddress, $0.count - 1) }
        _exit(64)
    }
}

extension JobRegistry {
    /// The types as they are performed in a child.
    fileprivate init(inChild types: [any JobType.Type]) throws(RunnerError) {
        try self.init(types: [], closures: [])
        for type in types { try add(try Self.entryOnThreads(type)) }
    }
}
