/// A setting that a configuration may hold: an option of commands, by its long name.
struct SettingKey: Sendable {
    enum Kind: Sendable {
        case value
        /// Given when its value is true.
        case flag
    }
    /// As it stands in a file: `run.jobs`, or `jobs` for all commands that have the option.
    let name: String
    let commands: [String]
    /// With its dashes.
    let option: String
    let kind: Kind
    let help: String

    /// `jobs` gives way to `run.jobs` of the same file.
    var isGeneral: Bool { !name.contains(".") }

    /// The variable of the environment that sets it; nil: none does. PETIOLE_QUEUE tells a line of `worker --on-finish` of which
    /// queue a job was: what that line adds is not to go there for that.
    var variable: String? {
        if name == "queue" { return nil }
        return "PETIOLE_"
            + String(name.uppercased().map { $0 == "." || $0 == "-" ? "_" : $0 })
    }

    /// The store where neither an option nor a variable nor a directory upward names one. In the user's file alone.
    static let store = SettingKey(
        name: "store", commands: [], option: "--store", kind: .value,
        help: "The store, where no .petiole is found from the working directory upward.")

    static let all: [SettingKey] =
        [store]
        + general("queue", ["add", "worker"], "The queue.")
        + general("jobs", ["run", "worker"], "Commands at once.")
        + general("retries", ["run", "add"], "Attempts after the first failed one.")
        + general("timeout", ["run", "add"], "How long a command may take.")
        + general("hard-timeout", ["run", "add"], "When it is killed.")
        + general("resources", ["run", "worker"], "What a command takes of the store's resources.")
        + own("run", "bar", .flag, "A bar that shows how far the run is.")
        + own("run", "keep-order", .flag, "Output in the order of the inputs.")
        + own("run", "line-buffer", .flag, "Lines of output while commands run.")
        + own("run", "tag", .flag, "The input before each line of output.")
        + own("run", "output-limit", .value, "How much of an output is kept.")
        + own("run", "delay", .value, "From one start to the next, at least.")
        + own("run", "backoff", .value, "The longest wait before the first retry.")
        + own("run", "memfree", .value, "Memory that must be available for a start.")
        + own("run", "nice", .value, "How much nicer commands run, 1 to 19.")
        + own("run", "tmpdir", .value, "Where commands make temporary files.")
        + own("run", "halt", .value, "When a run stops early.")
        + own("add", "priority", .value, "0 to 9, 0 first.")
        + own("add", "expires", .value, "When a job that has not started never will.")
        + own("add", "env", .value, "A variable to keep or set, beside those of the line.")
        + own("worker", "standby", .flag, "Wait while another process runs the queue.")
        + own("worker", "verbose", .flag, "Say of each job how it ended.")
        + own("worker", "on-finish", .value, "A line for /bin/sh for each job that ends.")
        + own("worker", "on-failure", .value, "The same for those that do not succeed.")

    static func named(_ name: String) -> SettingKey? { all.first { $0.name == name } }

    private static func own(
        _ command: String, _ option: String, _ kind: Kind, _ help: String
    ) -> [SettingKey] {
        [
            SettingKey(
                name: "\(command).\(option)", commands: [command], option: "--\(option)",
                kind: kind, help: help)
        ]
    }

    /// For all of the commands, and for each of them.
    private static func general(
        _ option: String, _ commands: [String], _ help: String
    ) -> [SettingKey] {
        [
            SettingKey(
                name: option, commands: commands, option: "--\(option)", kind: .value,
                help: "\(help) Of \(commands.joined(separator: " and ")).")
        ] + commands.flatMap { own($0, option, .value, help) }
    }

    /// What a flag's value says.
    static func isOn(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "true", "yes", "on", "1": true
        case "false", "no", "off", "0": false
        default: nil
        }
    }
}
