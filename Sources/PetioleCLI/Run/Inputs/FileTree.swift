import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The files below a folder, by name, folder after folder: what `find FOLDER` lists, in the order of their names.
///
/// Files and links to files; links to folders are not followed, and a store (`.petiole`) is left out. Of each folder on the way
/// down the names are held, and no more.
struct FileTree {
    private struct Level {
        let path: [UInt8]
        /// Names, the last first.
        var names: [[UInt8]]
    }
    private var levels: [Level] = []
    private let root: [UInt8]
    private let patterns: [[UInt8]]
    private static let slash = UInt8(ascii: "/")
    private static let chunkSize = 1_024

    /// - Parameter patterns: of which the name of a file must match one, as a shell matches names; one with a slash is matched
    ///   against the path below the folder. None: all are listed.
    init(_ folder: [UInt8], patterns: [[UInt8]]) throws {
        root = folder
        self.patterns = patterns
        var names: [[UInt8]] = []
        if let code = Self.read(folder, into: &names) {
            throw Failure(
                """
                the folder \(Command.quoted(folder)) cannot be read: \(systemText(code))
                --find takes a folder that is there; nothing was enqueued
                """, status: 125)
        }
        levels = [Level(path: folder, names: names)]
    }

    /// Some more; nil at the end. A folder that cannot be read is among them, with the reason.
    mutating func next() -> [Input]? {
        var files: [Input] = []
        while files.count < Self.chunkSize, let level = levels.last {
            guard let name = level.names.last else {
                levels.removeLast()
                continue
            }
            levels[levels.count - 1].names.removeLast()
            let path =
                level.path.last == Self.slash ? level.path + name : level.path + [Self.slash] + name
            if Self.isFolder(path) {
                if name == Array(".petiole".utf8) { continue }
                var names: [[UInt8]] = []
                if let code = Self.read(path, into: &names) {
                    var input = Input(path)
                    input.fault =
                        "the folder \(Command.quoted(path)) cannot be read: \(systemText(code))"
                    files.append(input)
                }
                levels.append(Level(path: path, names: names))
            } else if isWanted(name, path), Self.isFile(path) {
                files.append(Input(path))
            }
        }
        return files.isEmpty ? nil : files
    }

    private func isWanted(_ name: [UInt8], _ path: [UInt8]) -> Bool {
        if patterns.isEmpty { return true }
        return patterns.contains { pattern in
            guard pattern.contains(Self.slash) else { return Self.matches(pattern, name, 0) }
            let below = path.dropFirst(root.count).drop { $0 == Self.slash }
            return Self.matches(pattern, Array(below), FNM_PATHNAME)
        }
    }

    private static func matches(_ pattern: [UInt8], _ text: [UInt8], _ flags: Int32) -> Bool {
        withCString(pattern) { pattern in withCString(text) { fnmatch(pattern, $0, flags) == 0 } }
    }

    private static func isFolder(_ path: [UInt8]) -> Bool {
        var info = stat()
        return withCString(path) { lstat($0, &info) } == 0 && info.st_mode & S_IFMT == S_IFDIR
    }

    private static func isFile(_ path: [UInt8]) -> Bool {
        var info = stat()
        return withCString(path) { stat($0, &info) } == 0 && info.st_mode & S_IFMT == S_IFREG
    }

    /// - Returns: an errno when it cannot be read.
    private static func read(_ folder: [UInt8], into names: inout [[UInt8]]) -> Int32? {
        guard let stream = withCString(folder, { opendir($0) }) else { return errno }
        defer { closedir(stream) }
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                Array(bytes.prefix { $0 != 0 })
            }
            if name != [UInt8(ascii: ".")], name != Array("..".utf8) { names.append(name) }
            errno = 0
        }
        let code = errno
        names.sort { $1.lexicographicallyPrecedes($0) }
        return code == 0 ? nil : code
    }

    /// The paths that a pattern stands for, in their order; those of `glob`.
    static func paths(matching pattern: [UInt8]) throws -> [[UInt8]] {
        var found = glob_t()
        defer { globfree(&found) }
        let code = withCString(pattern) { glob($0, 0, nil, &found) }
        guard code == 0 else {
            let reason = code == GLOB_NOMATCH ? "no file matches it" : "it cannot be followed"
            throw Failure(
                """
                the pattern \(Command.quoted(pattern)) gives no inputs: \(reason)
                it is matched from the working directory; --find looks into folders below
                """, status: 125)
        }
        return (0..<Int(found.gl_pathc)).compactMap { index in
            found.gl_pathv[index].map { path in
                Array(UnsafeRawBufferPointer(start: path, count: strlen(path)))
            }
        }.filter { isFile($0) }
    }

    private static func withCString<Value>(
        _ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Value
    ) -> Value {
        (bytes + [0]).withUnsafeBytes { body($0.assumingMemoryBound(to: CChar.self).baseAddress!) }
    }
}
