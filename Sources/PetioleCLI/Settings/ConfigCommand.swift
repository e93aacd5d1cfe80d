import ArgumentParser
import Petiole

/// `petiole config`: settings for options that are given again and again.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Show and change what options are set to beside the command line.",
        discussion: """
            A setting is an option that need not be typed: run.jobs = 4 stands for petiole run --jobs 4, and jobs = 4 for each \
            command that has it. Later ones of this list go before earlier ones: \
            $XDG_CONFIG_HOME/petiole/config or ~/.config/petiole/config; config in the store's directory; a variable PETIOLE_ \
            and the key in capitals, with _ for . and - (PETIOLE_RUN_JOBS), but for queue, which is PETIOLE_ADD_QUEUE and \
            PETIOLE_WORKER_QUEUE alone; the command line. Of one file's keys the one with \
            the command's name goes before the general one. Options that may be given several times (env) come beside those that are typed.

            A file has lines key = value; those that begin with # are comments. A value is the rest of its line, without quotes.

            EXAMPLES
              petiole config set run.bar true
              petiole config set --in-store worker.on-failure 'mail -s "job $PETIOLE_JOB" me < /dev/null'
              petiole config show --origin
            """,
        subcommands: [
            ConfigShow.self, ConfigGet.self, ConfigSet.self, ConfigUnset.self, ConfigList.self,
        ],
        defaultSubcommand: ConfigShow.self)
}

/// `petiole config show`.
struct ConfigShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print what is set, as the lines of a file.",
        discussion: """
            With --json an object for each: v, key, value, origin (user, store, environment), path and line of a file, or \
            variable.
            """)

    @Flag(help: "Print where each is set.")
    var origin = false

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var location: StoreLocation

    func run() throws {
        let settings = try Settings(store: location.path())
        for key in SettingKey.all {
            guard let setting = settings.setting(named: key.name) else { continue }
            if json {
                Standard.output.line(Self.json(setting))
            } else {
                let place = origin ? "\(visible(setting.origin.text))\t" : ""
                Standard.output.line("\(place)\(key.name) = \(visible(setting.value))")
            }
        }
    }

    private static func json(_ setting: Settings.Setting) -> String {
        var line = JSONLine()
        line.add("key", setting.key.name)
        line.add("value", setting.value)
        switch setting.origin {
        case .user(let path, let number), .store(let path, let number):
            let isUser = if case .user = setting.origin { true } else { false }
            line.add("origin", isUser ? "user" : "store")
            line.add("path", path)
            line.add("line", number)
        case .environment(let name):
            line.add("origin", "environment")
            line.add("variable", name)
        }
        return line.line
    }
}

/// `petiole config get`.
struct ConfigGet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Print the value of one setting; exit status 66 when it is not set.")

    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Such as run.jobs.", valueName: "key"), transform: KnownKey.init)
    var key: KnownKey

    func run() throws {
        let settings = try Settings(store: location.path())
        guard let setting = settings.setting(named: key.key.name) else {
            throw Failure(
                "\(key.key.name) is not set\nset it with: petiole config set \(key.key.name) VALUE",
                status: 66)
        }
        Standard.output.line(setting.value)
    }
}

/// `petiole config set`.
struct ConfigSet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Set one in a file; other lines stay as they are.")

    @OptionGroup var place: ConfigPlace
    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Such as run.jobs.", valueName: "key"), transform: KnownKey.init)
    var key: KnownKey

    @Argument(help: ArgumentHelp("What the option is to be.", valueName: "value"))
    var value: String

    func run() throws {
        if Arguments.isMarked(value) {
            throw Failure.usage(
                "the value of \(key.key.name) is not UTF-8, which a setting has to be")
        }
        if let problem = ConfigFile.problem(key.key, value) { throw Failure.usage(problem) }
        if place.inStore, key.key.name == SettingKey.store.name {
            throw Failure.usage("a store does not say which store it is; leave --in-store out")
        }
        var file = try place.file(location)
        _ = try file.set(key.key, value)
    }
}

/// `petiole config unset`.
struct ConfigUnset: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unset", abstract: "Take one out of a file; other lines stay as they are.")

    @OptionGroup var place: ConfigPlace
    @OptionGroup var location: StoreLocation

    @Argument(help: ArgumentHelp("Such as run.jobs.", valueName: "key"), transform: KnownKey.init)
    var key: KnownKey

    func run() throws {
        var file = try place.file(location)
        guard try file.set(key.key, nil) else {
            throw Failure(
                """
                \(key.key.name) is not set in \(visible(file.path))
                see where it is with: petiole config show --origin
                """, status: 66)
        }
    }
}

/// `petiole config list`.
struct ConfigList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Print all keys that there are, with what they are for.")

    func run() throws {
        var table = TextTable([("key", .left), ("option", .left), ("for", .left)])
        for key in SettingKey.all { table.add([key.name, key.option, key.help]) }
        for line in table.lines { Standard.output.line(line) }
    }
}

/// Which file is changed.
struct ConfigPlace: ParsableArguments {
    @Flag(help: "The store's own file; else the user's.")
    var inStore = false

    func file(_ location: StoreLocation) throws -> ConfigFile {
        guard inStore else {
            guard let path = Settings.userPath else {
                throw Failure(
                    "neither XDG_CONFIG_HOME nor HOME names a directory; set one, or use --in-store",
                    status: 66)
            }
            return try ConfigFile(path: path)
        }
        let store = try location.openExisting()
        defer { store.close() }
        return try ConfigFile(path: Settings.path(inStore: store.path))
    }
}

/// A key that there is.
struct KnownKey {
    let key: SettingKey

    init(_ text: String) throws {
        guard let key = SettingKey.named(text) else {
            throw ValidationError(
                "There is no setting '\(visible(text))'; see which there are with: petiole config list"
            )
        }
        self.key = key
    }
}
