import Foundation

/// The project's files as they lie on disk, named from the top level.
enum Tree {
    static let top = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// A text file, its lines counted from 1 in ``SourceFile/place(_:)``.
    struct SourceFile {
        var path: String
        var lines: [Substring]

        /// `path:line` as editors and compilers write it; `index` counts from 0.
        func place(_ index: Int) -> String { "\(path):\(index + 1)" }
    }

    /// All paths under the top level, sorted, without what builds and tools leave behind.
    static func paths() -> [String] {
        guard let walk = FileManager.default.enumerator(atPath: top.path) else { return [] }
        var paths: [String] = []
        for case let path as String in walk {
            if isLeftBehind(path) {
                walk.skipDescendants()
            } else {
                paths.append(path)
            }
        }
        return paths.sorted()
    }

    /// Dot-folders of builds and of git, wherever they are; `.ci` and `.make` are the project's.
    static func isLeftBehind(_ path: String) -> Bool {
        path.split(separator: "/").contains { part in
            part == ".git" || part == ".swiftpm" || part == ".petiole"
                || part.hasPrefix(".build") || part.hasSuffix(".petiole")
        }
    }

    /// The files under `folder` whose names end in one of `endings`.
    static func files(under folder: String, ending endings: String...) throws -> [SourceFile] {
        let root = top.appending(path: folder)
        guard FileManager.default.fileExists(atPath: root.path) else { return [] }
        return try FileManager.default.subpathsOfDirectory(atPath: root.path)
            .filter { path in endings.contains { path.hasSuffix($0) } && !isLeftBehind(path) }
            .sorted()
            .map { try file("\(folder)/\($0)") }
    }

    static func file(_ path: String) throws -> SourceFile {
        let text = try String(contentsOf: top.appending(path: path), encoding: .utf8)
        return SourceFile(
            path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false))
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: top.appending(path: path).path)
    }
}
