/// One JSON object on a line: fields in the order in which they are added, "v" first.
struct JSONLine {
    /// Of the schema: see the article on what the tool prints.
    static let version = 1

    private var text = Self.head
    private static let head = "{\"v\":\(version)"
    private static let hex = Array("0123456789abcdef")

    mutating func add(_ name: String, _ value: Int) { addRaw(name, String(value)) }
    mutating func add(_ name: String, _ value: Bool) { addRaw(name, value ? "true" : "false") }
    mutating func add(_ name: String, _ value: String) { addRaw(name, Self.quoted(value)) }

    mutating func add(_ name: String, _ value: String?) {
        addRaw(name, value.map { Self.quoted($0) } ?? "null")
    }

    mutating func add(_ name: String, _ value: Int?) {
        addRaw(name, value.map { String($0) } ?? "null")
    }

    mutating func add(_ name: String, _ bytes: [UInt8]) { addRaw(name, Self.bytes(bytes)) }

    mutating func add(_ name: String, _ list: [[UInt8]]) {
        addRaw(name, "[" + list.map { Self.bytes($0) }.joined(separator: ",") + "]")
    }

    mutating func add(_ name: String, objects: [JSONLine]) {
        addRaw(name, "[" + objects.map { $0.object }.joined(separator: ",") + "]")
    }

    mutating func add(_ name: String, _ part: JSONLine) { addRaw(name, part.object) }

    /// Adds a value that is JSON already, on one line.
    mutating func addRaw(_ name: String, _ json: String) {
        text += ",\"\(name)\":\(json)"
    }

    var line: String { text + "}" }
    /// The same as a part of another object: without "v".
    private var object: String {
        let fields = text.dropFirst(Self.head.count)
        return "{" + fields.drop { $0 == "," } + "}"
    }

    /// Text where the bytes are UTF-8, else an object with the bytes in base64.
    private static func bytes(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return quoted(text) }
        return "{\"base64\":\"\(base64(bytes))\"}"
    }

    /// A string in quotes. Control bytes, and what a terminal or JavaScript would take as more than text, are escaped.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            default:
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate,
                    .unassigned, .privateUse:
                    for unit in String(scalar).utf16 {
                        quoted += "\\u"
                        for shift in [12, 8, 4, 0] { quoted.append(hex[Int(unit >> shift) & 15]) }
                    }
                default: quoted.unicodeScalars.append(scalar)
                }
            }
        }
        return quoted + "\""
    }

    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

    static func base64(_ bytes: [UInt8]) -> String {
        var text = ""
        var index = 0
        while index < bytes.count {
            let count = min(3, bytes.count - index)
            var group = 0
            for place in 0..<3 {
                group = group << 8 | (place < count ? Int(bytes[index + place]) : 0)
            }
            for place in 0..<4 {
                text.append(place <= count ? alphabet[group >> (18 - 6 * place) & 63] : "=")
            }
            index += 3
        }
        return text
    }
}
