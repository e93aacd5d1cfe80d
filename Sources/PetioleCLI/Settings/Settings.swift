import Petiole
import Synchronization

/// What is set beside the command line, and where. Later ones go before earlier ones: the user's file, the store's own, the
/// environment; then what is typed.
///
/// A setting becomes an option behind the command's name and before what is typed, of which the last one counts: so commands need
/// to know nothing of it. Only commands that can be set read any file.
struct Settings {
    enum Origin: Equatable {
        case user(path: String, line: Int)
        case store(path: String, line: Int)
        case environment(String)

        var text: String {
            switch self {
            case .user(let path, let line), .store(let path, let line): "\(path):\(line)"
            case .environment(let name): name
            }
        }
        fileprivate var layer: Int {
            switch self {
            case .user: 0
            case .store: 1
            case .environment: 2
            }
        }
    }

    struct Setting {
        let key: SettingKey
        let value: String
        let origin: Origin
    }

    /// All that are set, the later ones behind the earlier ones.
    private(set) var all: [Setting] = []

    /// Reads what is there.
    /// - Parameter store: the path of the store; nil: there is none yet.
    init(store: String?) throws {
        if let path = Self.userPath {
            all += try ConfigFile(path: path).entries.map { entry in
                Setting(
                    key: entry.key, value: entry.value,
                    origin: .user(path: path, line: entry.line))
            }
        }
        if let store {
            let path = Self.path(inStore: store)
            for entry in try ConfigFile(path: path).entries {
                if entry.key.name == SettingKey.store.name {
                    throw Failure.usage(
                        "\(visible(path)) line \(entry.line): a store does not say which store it is; leave the line out"
                    )
                }
                all.append(
                    Setting(
                        key: entry.key, value: entry.value,
                        origin: .store(path: path, line: entry.line)))
            }
        }
        for key in SettingKey.all where key.name != SettingKey.store.name {
            guard let variable = key.variable, let bytes = Surroundings.variable(variable),
                !bytes.isEmpty
            else { continue }
            guard let value = String(validating: bytes, as: UTF8.self) else {
                throw Failure.usage("\(variable) is not UTF-8")
            }
            if let problem = ConfigFile.problem(key, value) {
                throw Failure.usage("\(variable): \(problem)")
            }
            all.append(Setting(key: key, value: value, origin: .environment(variable)))
        }
    }

    /// `$XDG_CONFIG_HOME/petiole/config`, or that of `~/.config`; nil without either.
    static var userPath: String? {
        func text(_ name: String) -> String? {
            Surroundings.variable(name).flatMap { String(validating: $0, as: UTF8.self) }
        }
        if let base = text("XDG_CONFIG_HOME"), base.hasPrefix("/") {
            return "\(base)/petiole/config"
        }
        guard let home = text("HOME"), home.hasPrefix("/") else { return nil }
        return "\(home)/.config/petiole/config"
    }

    static func path(inStore store: String) -> String { "\(store)/config" }

    // MARK: What counts

    /// Of a key the one that counts for a command, also under the general name.
    func setting(for option: String, of command: String) -> Setting? {
        all.filter { $0.key.option == option && $0.key.commands.contains(command) }
            .max { one, two in
                (one.origin.layer, one.key.isGeneral ? 0 : 1)
                    <= (two.origin.layer, two.key.isGeneral ? 0 : 1)
            }
    }

    /// Of a key by its own name.
    func setting(named name: String) -> Setting? {
        all.last { $0.key.name == name }
    }

    /// The path that the user's file names for a store.
    static func store() throws -> String? {
        guard let path = userPath else { return nil }
        return try ConfigFile(path: path).entries.last { $0.key.name == SettingKey.store.name }?
            .value
    }

    // MARK: The command line

    private static let used = Mutex<[Setting]>([])

    /// The arguments for the parser, with what is set behind the command's name.
    static func applied(to arguments: [String]) throws -> [String] {
        guard let command = arguments.first,
            SettingKey.all.contains(where: { $0.commands.contains(command) })
        else { return arguments }
        let store: String?
        switch asked(arguments) {
        // Help says what there is, whatever is set.
        case .help: return arguments
        // What is wrong with it the command says.
        case .store(let given):
            store = given?.isEmpty == true ? nil : try StoreLocation.path(given: given)
        }
        let settings = try Settings(store: store)
        let options = Set(
            SettingKey.all.filter { $0.commands.contains(command) }.map { $0.option })
        var inserted: [String] = []
        for option in options.sorted() {
            guard let setting = settings.setting(for: option, of: command) else { continue }
            switch setting.key.kind {
            case .value: inserted.append("\(option)=\(setting.value)")
            case .flag:
                if SettingKey.isOn(setting.value) == true { inserted.append(option) }
            }
            used.withLock { $0.append(setting) }
        }
        return [command] + inserted + arguments.dropFirst()
    }

    private enum Asked {
        case help
        /// The command itself; what --store says.
        case store(String?)
    }

    /// What is typed, by the parser's word: it alone tells the tool's options from words of the command that is to run, which may have
    /// a -h or a --store of its own. Not asked where no word looks like these.
    private static func asked(_ arguments: [String]) -> Asked {
        let mayMatter = arguments.contains {
            $0 == "-h" || $0 == "--help" || $0 == "--store" || $0.hasPrefix("--store=")
        }
        guard mayMatter else { return .store(nil) }
        do {
            let command = try PetioleTool.parseAsRoot(arguments)
            return .store((command as? any Settable)?.location.store)
        } catch {
            // What is wrong is told when it is parsed with what is set.
            return PetioleTool.exitCode(for: error).isSuccess ? .help : .store(nil)
        }
    }

    /// Which settings a message of the parser's may be about; nil: none.
    static func blame(_ message: String) -> String? {
        let blamed = used.withLock { $0 }.filter { message.contains($0.key.option) }
        if blamed.isEmpty { return nil }
        let list = blamed.map {
            "\($0.key.name) = \(visible($0.value)) (\(visible($0.origin.text)))"
        }
        return "set beside the command line: \(list.joined(separator: ", "))"
    }
}

/// A command with options that may be set.
private protocol Settable {
    var location: StoreLocation { get }
}

extension Run: Settable {}
extension Add: Settable {}
extension Worker: Settable {}
