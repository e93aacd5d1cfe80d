/// What of a value a place in a command stands for, written as GNU parallel does: `{.}`, `{/}`, `{//}`, `{/.}`.
enum InputForm: String, CaseIterable, Sendable {
    case whole = ""
    /// As ``whole`` without what is behind the last dot of the name.
    case withoutExtension = "."
    /// What `basename` gives.
    case name = "/"
    /// What `dirname` gives.
    case folder = "//"
    case nameWithoutExtension = "/."

    /// Its part of the name of a variable.
    var word: String {
        switch self {
        case .whole: ""
        case .withoutExtension: "STEM"
        case .name: "NAME"
        case .folder: "FOLDER"
        case .nameWithoutExtension: "NAME_STEM"
        }
    }

    /// The same in one word.
    var variablePart: String { self == .nameWithoutExtension ? "NAMESTEM" : word }

    private static let slash = UInt8(ascii: "/")
    private static let dot = UInt8(ascii: ".")

    func value(of value: [UInt8]) -> [UInt8] {
        switch self {
        case .whole: value
        case .withoutExtension: Self.stem(value)
        case .name: Self.name(value)
        case .folder: Self.folder(value)
        case .nameWithoutExtension: Self.stem(Self.name(value))
        }
    }

    /// A name that begins with its only dot has no extension.
    private static func stem(_ path: [UInt8]) -> [UInt8] {
        guard let place = path.lastIndex(where: { $0 == dot || $0 == slash }), path[place] == dot,
            place > 0, path[place - 1] != slash
        else { return path }
        return Array(path[..<place])
    }

    private static func withoutSlashes(_ path: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        path.prefix((path.lastIndex { $0 != slash } ?? path.startIndex - 1) + 1 - path.startIndex)
    }

    private static func name(_ path: [UInt8]) -> [UInt8] {
        let trimmed = withoutSlashes(path[...])
        if trimmed.isEmpty { return path.isEmpty ? [] : [slash] }
        let start = trimmed.lastIndex(of: slash).map { $0 + 1 } ?? trimmed.startIndex
        return Array(trimmed[start...])
    }

    private static func folder(_ path: [UInt8]) -> [UInt8] {
        let trimmed = withoutSlashes(path[...])
        if trimmed.isEmpty { return path.isEmpty ? [dot] : [slash] }
        guard let place = trimmed.lastIndex(of: slash) else { return [dot] }
        let folder = withoutSlashes(trimmed[..<place])
        return folder.isEmpty ? [slash] : Array(folder)
    }
}
