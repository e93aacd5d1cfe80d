import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A file of settings: lines `key = value`; empty lines, and those that begin with `#`, say nothing. A value is the rest of its line
/// without the white space around it, and holds what it holds: no quotes, no escapes. Of two lines with one key the later one
/// counts.
struct ConfigFile {
    struct Entry {
        let key: SettingKey
        let value: String
        /// From 1.
        let line: Int
    }

    let path: String
    private(set) var lines: [String]
    private(set) var entries: [Entry]

    /// 1 MiB.
    private static let limit = 1 << 20

    /// Reads a file; one that is not there has no lines.
    init(path: String) throws {
        self.path = path
        lines = []
        entries = []
        let file = open(path, O_RDONLY | O_CLOEXEC)
        if file < 0 {
            if errno == ENOENT || errno == ENOTDIR { return }
            throw Failure(
                "the configuration \(visible(path)) cannot be read: \(systemText(errno))",
                status: 74)
        }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var whole: [UInt8] = []
        while true {
            let count = read(file, &bytes, bytes.count)
            if count == 0 { break }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw Failure(
                    "the configuration \(visible(path)) cannot be read: \(systemText(errno))",
                    status: 74)
            }
            whole += bytes[..<count]
            if whole.count > Self.limit {
                throw Failure.usage("the configuration \(visible(path)) has more than 1 MiB")
            }
        }
        guard let text = String(validating: whole, as: UTF8.self) else {
            throw Failure.usage("the configuration \(visible(path)) is not UTF-8")
        }
        // By bytes: CR and LF together are one character.
        lines = text.utf8.split(separator: 10, omittingEmptySubsequences: false).map {
            String(Substring($0))
        }
        if lines.last == "" { lines.removeLast() }
        for (index, line) in lines.enumerated() {
            if let entry = try Self.entry(line, index + 1, path) { entries.append(entry) }
        }
    }

    private static func entry(_ line: String, _ number: Int, _ path: String) throws -> Entry? {
        let text = trimmed(line[...])
        if text.isEmpty || text.hasPrefix("#") { return nil }
        let place = "\(visible(path)) line \(number)"
        guard let equals = text.firstIndex(of: "=") else {
            throw Failure.usage(
                "\(place): no setting is \"\(visible(String(text.prefix(80))))\"; write key = value"
            )
        }
        let name = String(trimmed(text[..<equals]))
        guard let key = SettingKey.named(name) else {
            throw Failure.usage(
                """
                \(place): there is no setting "\(visible(String(name.prefix(80))))"
                see which there are with: petiole config list
                """)
        }
        let value = String(trimmed(text[text.index(after: equals)...]))
        if let problem = problem(key, value) { throw Failure.usage("\(place): \(problem)") }
        return Entry(key: key, value: value, line: number)
    }

    /// What is wrong with a value, as far as it can be told here.
    static func problem(_ key: SettingKey, _ value: String) -> String? {
        if value.isEmpty { return "\(key.name) has no value; leave the line out" }
        if value.contains(where: { $0.isNewline }) { return "\(key.name) takes one line" }
        if case .flag = key.kind, SettingKey.isOn(value) == nil {
            return "\(key.name) takes true or false"
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }

    // MARK: Changing it

    /// Sets a key, in the place of the last line that has it; nil takes all of its lines out. Other lines stay as they are.
    /// - Returns: whether anything has changed.
    mutating func set(_ key: SettingKey, _ value: String?) throws -> Bool {
        Self.makeParents(of: path)
        let lock = try lock()
        defer { close(lock) }
        // Somebody else may have changed it since it was read.
        self = try ConfigFile(path: path)
        let places = entries.filter { $0.key.name == key.name }.map { $0.line - 1 }
        var kept = lines
        if let value {
            let line = "\(key.name) = \(value)"
            if let last = places.last { kept[last] = line } else { kept.append(line) }
        }
        for place in places.reversed() where value == nil || place != places.last {
            kept.remove(at: place)
        }
        if kept == lines { return false }
        try write(kept)
        self = try ConfigFile(path: path)
        return true
    }

    /// Holds its directory, for whoever else changes a file there, until it is closed.
    private func lock() throws -> Int32 {
        let end = path.lastIndex(of: "/")
        let directory = end.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard file >= 0 else { throw failure(errno) }
        while flock(file, LOCK_EX) != 0 {
            if errno == EINTR { continue }
            // A file system without locks: as before there were any.
            break
        }
        return file
    }

    /// Written aside and renamed: who reads meanwhile finds the one or the other, whole. A link stays one, and the file keeps its
    /// mode.
    private func write(_ lines: [String]) throws {
        let target = StoreLocation.resolved(path)
        let draft = "\(target).\(getpid())"
        let file = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure(errno) }
        if let code = fill(file, lines, like: target) {
            close(file)
            unlink(draft)
            throw failure(code)
        }
        close(file)
        guard rename(draft, target) == 0 else {
            let code = errno
            unlink(draft)
            throw failure(code)
        }
    }

    /// - Returns: an errno.
    private func fill(_ file: Int32, _ lines: [String], like target: String) -> Int32? {
        var info = stat()
        if stat(target, &info) == 0, fchmod(file, info.st_mode & 0o7777) != 0 { return errno }
        var rest = Array((lines.joined(separator: "\n") + (lines.isEmpty ? "" : "\n")).utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { systemWrite(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0 { return errno }
            rest = rest.dropFirst(count)
        }
        return fsync(file) == 0 ? nil : errno
    }

    private func failure(_ code: Int32) -> Failure {
        Failure(
            "the configuration \(visible(path)) cannot be written: \(systemText(code))",
            status: 73)
    }

    private static func makeParents(of path: String) {
        for slash in path.indices.dropFirst() where path[slash] == "/" {
            // There already, mostly; otherwise the file says what is wrong.
            mkdir(String(path[..<slash]), 0o700)
        }
    }
}

private func systemWrite(_ file: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(file, bytes, count)
}
