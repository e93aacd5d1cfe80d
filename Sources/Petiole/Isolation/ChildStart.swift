import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// How a child that serves is started: as a command is, with a channel besides.

extension Command {
    /// The program of a child, which finds in its environment where the store is.
    init(serving store: OpenStore, _ settings: ChildSettings) throws(InvalidCommand) {
        var variables = [
            Command.Variable(
                ChildProtocol.variableName,
                ChildProtocol.variable(ClockShift(store.clock), store.path))
        ]
        // A trap is to end the child at once, not after a look at its stack, which would take the place of its last lines.
        if getenv("SWIFT_BACKTRACE") == nil {
            variables.append(Command.Variable("SWIFT_BACKTRACE", "enable=no"))
        }
        try self.init(
            arguments: [Array((settings.executable ?? OwnExecutable.path).utf8)],
            environment: .inheritedWith(variables))
    }
}

extension ChildProcess {
    /// Starts a program with these descriptors.
    static func spawn(
        _ command: Command, _ mark: AttemptMark, input: Int32, output: Int32, error: Int32,
        channel: Int32
    ) throws(SpawnError) -> Started {
        var arguments = SpawnArguments(command, mark: mark)
        var pid: pid_t = -1
        let code = AttemptMark.startingName(storeID: mark.storeID).withCString { name in
            arguments.withPointers { arguments, environment in
                var request = petiole_spawn_request(
                    arguments: arguments, environment: environment, directory: -1, input: input,
                    output: output, error: error, channel: channel, starting_name: name, niceness: 0
                )
                return petiole_spawn(&request, &pid)
            }
        }
        guard code == 0 else {
            throw Self.error(code, command, byteCount: arguments.byteCount)
        }
        return Started(pid: pid, pipes: nil)
    }
}

/// What marks the children of this process's runners.
enum RunnerIdentity {
    static let own = AttemptMark.Owner.runner(
        pid: getpid(), startTime: ProcessIdentity.info(of: getpid())?.start_time ?? 0)
}
