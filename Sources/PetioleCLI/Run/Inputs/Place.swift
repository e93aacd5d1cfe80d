/// A place in a command at which something of an input is put, written as GNU parallel does: `{}`, `{.}`, `{2}`, `{2/}`,
/// `{name}`, `{#}`, `{%}`.
enum Place: Hashable, Sendable {
    case value(Key, InputForm)
    /// Which of the inputs it is, from 1.
    case number
    /// Which of the commands that go on at once it is, from 1.
    case slot

    /// Which of an input's values.
    enum Key: Hashable, Sendable {
        case all
        /// From 1.
        case position(Int)
        case name([UInt8])
    }

    static let whole = Place.value(.all, .whole)

    /// As it is written.
    var text: [UInt8] {
        switch self {
        case .number: Array("{#}".utf8)
        case .slot: Array("{%}".utf8)
        case .value(let key, let form): Array("{".utf8) + key.text + Array("\(form.rawValue)}".utf8)
        }
    }

    /// The variable in which a line for a shell finds it.
    var variable: String {
        switch self {
        case .number: "PETIOLE_NUMBER"
        case .slot: "PETIOLE_SLOT"
        case .value(.all, let form): "PETIOLE_INPUT" + (form == .whole ? "" : "_\(form.word)")
        case .value(let key, let form):
            "PETIOLE_\(key.word)\(form.variablePart)_\(Self.escaped(key.text))"
        }
    }

    /// The longest name of a field that is looked for.
    private static let nameLimit = 256

    /// The one that is written at a place in a text, and how many bytes it has; nil: none is. What has `$` in front is the
    /// shell's own.
    static func at(
        _ index: Int, of text: some RandomAccessCollection<UInt8>, _ rules: PlaceRules
    ) -> (place: Place, length: Int)? {
        let start = text.index(text.startIndex, offsetBy: index)
        guard text[start] == UInt8(ascii: "{") else { return nil }
        if index > 0, text[text.index(before: start)] == UInt8(ascii: "$") { return nil }
        let rest = text[text.index(after: start)...].prefix(nameLimit + 4)
        guard
            let end = rest.firstIndex(where: { $0 == UInt8(ascii: "}") || $0 == UInt8(ascii: "{") }
            ),
            rest[end] == UInt8(ascii: "}")
        else { return nil }
        let content = Array(rest[..<end])
        return read(content, rules).map { ($0, content.count + 2) }
    }

    private static func read(_ content: [UInt8], _ rules: PlaceRules) -> Place? {
        if content == [UInt8(ascii: "#")] { return .number }
        if content == [UInt8(ascii: "%")] { return .slot }
        if rules.has(name: content) { return .value(.name(content), .whole) }
        // The longest first: `/.` ends with `.` as well.
        for form in InputForm.allCases.reversed() {
            guard content.suffix(form.rawValue.utf8.count).elementsEqual(form.rawValue.utf8) else {
                continue
            }
            let key = Array(content.dropLast(form.rawValue.utf8.count))
            if key.isEmpty { return .value(.all, form) }
            if rules.has(name: key) { return .value(.name(key), form) }
            if let position = position(key), position <= rules.positions {
                // The only one is the input.
                return .value(rules.positions == 1 ? .all : .position(position), form)
            }
        }
        return nil
    }

    private static func position(_ text: [UInt8]) -> Int? {
        guard text.count <= 6, text[0] != UInt8(ascii: "0"),
            text.allSatisfy({ (48...57).contains($0) })
        else { return nil }
        return text.reduce(0) { $0 * 10 + Int($1 - 48) }
    }

    // MARK: Variables

    /// Letters and digits as they are, `_` twice, any other byte as `_` and two hexadecimal digits: names of variables have no
    /// other characters.
    private static func escaped(_ name: [UInt8]) -> String {
        var text = ""
        for byte in name {
            switch byte {
            case UInt8(ascii: "_"): text += "__"
            case 48...57, 65...90, 97...122: text.unicodeScalars.append(Unicode.Scalar(byte))
            default: text += "_" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return text
    }

    /// The place of a variable; nil for any other.
    init?(variable: some StringProtocol) {
        if variable == "PETIOLE_NUMBER" {
            self = .number
        } else if variable == "PETIOLE_SLOT" {
            self = .slot
        } else if let form = InputForm.allCases.first(where: {
            Place.value(.all, $0).variable == variable
        }) {
            self = .value(.all, form)
        } else {
            let parts = variable.split(
                separator: "_", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[0] == "PETIOLE", let word = parts[1].prefix(5).first,
                let form = InputForm.allCases.first(where: {
                    $0.variablePart == parts[1].dropFirst(5)
                }),
                let text = Self.unescaped(Array(parts[2].utf8)), !text.isEmpty
            else { return nil }
            let position = word == "V" ? Self.position(text) : nil
            self = .value(position.map { .position($0) } ?? .name(text), form)
            if self.variable != variable { return nil }
        }
    }

    private static func unescaped(_ text: [UInt8]) -> [UInt8]? {
        var name: [UInt8] = []
        var rest = text[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "_") else {
                name.append(byte)
                continue
            }
            if rest.first == byte {
                name.append(byte)
                rest.removeFirst()
            } else {
                let digits = String(decoding: rest.prefix(2), as: UTF8.self)
                guard let value = UInt8(digits, radix: 16) else { return nil }
                name.append(value)
                rest = rest.dropFirst(2)
            }
        }
        return name
    }
}

extension Place.Key {
    fileprivate var text: [UInt8] {
        switch self {
        case .all: []
        case .position(let position): Array(String(position).utf8)
        case .name(let name): name
        }
    }

    fileprivate var word: String { if case .position = self { "VALUE" } else { "FIELD" } }
}

/// Which places there are in a command: it follows from what an input of the run is.
struct PlaceRules: Equatable, Sendable {
    /// `{1}` up to this one. With one, `{1}` is `{}`.
    var positions = 1
    var names = Names.none
    /// Whether `{}` stands for all values, each an argument of its own.
    var isSpread = false
    /// Which value `{name}` is, for names that are known one by one.
    enum Names: Equatable, Sendable {
        case none
        /// The values' names, in their order.
        case listed([[UInt8]])
        /// Any path of names: `user.name`. The values behind the first are those of these paths, in this order.
        case paths([[UInt8]])
        /// Any path, not yet known which there are.
        case anyPath
        /// Any text: what names there are is read later.
        case unread
    }

    func has(name: [UInt8]) -> Bool {
        switch names {
        case .none: false
        case .listed(let names): Self.isName(name) && names.contains(name)
        case .paths, .anyPath: Self.isPath(name)
        case .unread: Self.isName(name)
        }
    }

    /// Whether a column is found by that name: one that could be a piece of a program is not, since whoever wrote the data
    /// would say where in the command it stands.
    static func isName(_ name: [UInt8]) -> Bool {
        func isLetter(_ byte: UInt8) -> Bool {
            byte == UInt8(ascii: "_") || (48...57).contains(byte) || (65...90).contains(byte)
                || (97...122).contains(byte) || byte >= 0x80
        }
        guard let first = name.first, let last = name.last, isLetter(first), isLetter(last) else {
            return false
        }
        return name.allSatisfy { isLetter($0) || " .-".utf8.contains($0) }
    }

    /// The index of a key's value; nil for all of them.
    func index(of key: Place.Key) -> Int? {
        switch (key, names) {
        case (.all, _): isSpread ? nil : 0
        case (.position(let position), _): position - 1
        case (.name(let name), .listed(let names)): names.firstIndex(of: name) ?? Int.max - 1
        case (.name(let name), .paths(let names)):
            names.firstIndex(of: name).map { $0 + 1 } ?? Int.max - 1
        case (.name, _): Int.max - 1
        }
    }

    private static func isPath(_ name: [UInt8]) -> Bool {
        let parts = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.allSatisfy { part in
            guard let first = part.first, !(48...57).contains(first) || parts.count > 1 else {
                return false
            }
            return part.allSatisfy {
                $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") || (48...57).contains($0)
                    || (65...90).contains($0) || (97...122).contains($0) || $0 >= 0x80
            }
        }
    }
}
