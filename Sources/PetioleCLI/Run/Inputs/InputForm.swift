/// What of an input a place in a command stands for, written as GNU parallel does.
enum InputForm: String, CaseIterable {
    case whole = "{}"
    /// As ``whole`` without what is behind the last dot of the name.
    case withoutExtension = "{.}"
    /// What `basename` gives.
    case name = "{/}"
    /// What `dirname` gives.
    case folder = "{//}"
    case nameWithoutExtension = "{/.}"
    /// Which of the inputs it is, from 1.
    case number = "{#}"

    /// The variable in which a line for a shell finds it.
    var variable: String {
        switch self {
        case .whole: "PETIOLE_INPUT"
        case .withoutExtension: "PETIOLE_INPUT_STEM"
        case .name: "PETIOLE_INPUT_NAME"
        case .folder: "PETIOLE_INPUT_FOLDER"
        case .nameWithoutExtension: "PETIOLE_INPUT_NAME_STEM"
        case .number: "PETIOLE_NUMBER"
        }
    }

    var length: Int { rawValue.utf8.count }

    /// The one that is written at a place in a text; nil: none is. What has `$` in front is the shell's own.
    static func at(_ index: Int, of text: some RandomAccessCollection<UInt8>) -> InputForm? {
        let start = text.index(text.startIndex, offsetBy: index)
        guard text[start] == UInt8(ascii: "{") else { return nil }
        if index > 0, text[text.index(before: start)] == UInt8(ascii: "$") { return nil }
        return allCases.first { text[start...].starts(with: $0.rawValue.utf8) }
    }

    private static let slash = UInt8(ascii: "/")
    private static let dot = UInt8(ascii: ".")

    /// - Parameter number: which of the inputs it is, from 1.
    func value(of input: [UInt8], number: Int) -> [UInt8] {
        switch self {
        case .whole: input
        case .withoutExtension: Self.stem(input)
        case .name: Self.name(input)
        case .folder: Self.folder(input)
        case .nameWithoutExtension: Self.stem(Self.name(input))
        case .number: Array(String(number).utf8)
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
