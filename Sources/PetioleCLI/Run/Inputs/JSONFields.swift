import Petiole

/// Fields of a JSON object, found by the path of their names: `user.name`, `items.0.price`.
///
/// A string gives its text, a number, `true` and `false` their own, `null` nothing, an object or array its JSON.
/// - Source: [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259), the grammar, without extensions.
struct JSONFields {
    /// Why a line has not all fields.
    enum Fault: Error, Equatable {
        case malformed(at: Int)
        case missing([UInt8])
        /// A zero byte, which no argument can hold.
        case zeroByte([UInt8])

        var text: String {
            switch self {
            case .malformed(let place): "is no JSON value from byte \(place + 1) on"
            case .missing(let path):
                "has no field \(visible(String(decoding: path, as: UTF8.self)))"
            case .zeroByte(let path):
                "has a zero byte in \(visible(String(decoding: path, as: UTF8.self))), which no argument can hold"
            }
        }
    }

    private let text: [UInt8]
    private let paths: [[ArraySlice<UInt8>]]
    private var found: [[UInt8]?]
    private var place = 0
    private static let depthLimit = 512

    /// The values of these paths; of a name that is given twice the last one.
    static func values(of paths: [[UInt8]], in text: [UInt8]) throws(Fault) -> [[UInt8]] {
        var reader = JSONFields(text, paths)
        reader.skipSpace()
        try reader.value(reader.paths.indices.map { ($0, reader.paths[$0][...]) }, depth: 0)
        reader.skipSpace()
        guard reader.place == text.count else { throw .malformed(at: reader.place) }
        var values: [[UInt8]] = []
        for (path, value) in zip(paths, reader.found) {
            guard let value else { throw .missing(path) }
            if value.contains(0) { throw .zeroByte(path) }
            values.append(value)
        }
        return values
    }

    private init(_ text: [UInt8], _ paths: [[UInt8]]) {
        self.text = text
        self.paths = paths.map {
            $0.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        }
        found = Array(repeating: nil, count: paths.count)
    }

    private typealias Wanted = [(index: Int, rest: ArraySlice<ArraySlice<UInt8>>)]

    private var peek: UInt8? { place < text.count ? text[place] : nil }

    private mutating func skipSpace() {
        while let byte = peek, byte == 32 || byte == 9 || byte == 10 || byte == 13 { place += 1 }
    }

    private mutating func expect(_ byte: UInt8) throws(Fault) {
        guard peek == byte else { throw .malformed(at: place) }
        place += 1
    }

    /// Reads a value, and keeps it or what is wanted of it.
    private mutating func value(_ wanted: Wanted, depth: Int) throws(Fault) {
        guard depth < Self.depthLimit else { throw .malformed(at: place) }
        let start = place
        var own: [UInt8]?
        // What an earlier value of the same name had is gone.
        for (index, _) in wanted { found[index] = nil }
        switch peek {
        case UInt8(ascii: "{"): try object(wanted, depth)
        case UInt8(ascii: "["): try array(wanted, depth)
        case UInt8(ascii: "\""): own = try string()
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"):
            try word("null")
            own = []
        default: try number()
        }
        for (index, rest) in wanted where rest.isEmpty {
            found[index] = own ?? Array(text[start..<place])
        }
    }

    private mutating func object(_ wanted: Wanted, _ depth: Int) throws(Fault) {
        place += 1
        skipSpace()
        if peek == UInt8(ascii: "}") {
            place += 1
            return
        }
        while true {
            skipSpace()
            let name = try string()
            skipSpace()
            try expect(UInt8(ascii: ":"))
            skipSpace()
            try value(Self.inner(wanted, name[...]), depth: depth + 1)
            skipSpace()
            guard peek == UInt8(ascii: ",") else { break }
            place += 1
        }
        try expect(UInt8(ascii: "}"))
    }

    private mutating func array(_ wanted: Wanted, _ depth: Int) throws(Fault) {
        place += 1
        skipSpace()
        if peek == UInt8(ascii: "]") {
            place += 1
            return
        }
        var index = 0
        while true {
            skipSpace()
            let name = wanted.isEmpty ? [] : Array(String(index).utf8)
            try value(Self.inner(wanted, name[...]), depth: depth + 1)
            index += 1
            skipSpace()
            guard peek == UInt8(ascii: ",") else { break }
            place += 1
        }
        try expect(UInt8(ascii: "]"))
    }

    private static func inner(_ wanted: Wanted, _ name: ArraySlice<UInt8>) -> Wanted {
        if wanted.isEmpty { return [] }
        return wanted.compactMap { index, rest in
            rest.first == name ? (index, rest.dropFirst()) : nil
        }
    }

    private mutating func word(_ word: StaticString) throws(Fault) {
        for offset in 0..<word.utf8CodeUnitCount { try expect(word.utf8Start[offset]) }
    }

    private mutating func number() throws(Fault) {
        if peek == UInt8(ascii: "-") { place += 1 }
        if peek == UInt8(ascii: "0") { place += 1 } else { try digits() }
        if peek == UInt8(ascii: ".") {
            place += 1
            try digits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            place += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { place += 1 }
            try digits()
        }
    }

    private mutating func digits() throws(Fault) {
        let start = place
        while let byte = peek, (48...57).contains(byte) { place += 1 }
        guard place > start else { throw .malformed(at: place) }
    }

    // MARK: Strings

    private mutating func string() throws(Fault) -> [UInt8] {
        try expect(UInt8(ascii: "\""))
        var bytes: [UInt8] = []
        while let byte = peek {
            place += 1
            switch byte {
            case UInt8(ascii: "\""): return bytes
            case UInt8(ascii: "\\"): try escape(&bytes)
            case 0..<32: throw .malformed(at: place - 1)
            default: bytes.append(byte)
            }
        }
        throw .malformed(at: place)
    }

    private mutating func escape(_ bytes: inout [UInt8]) throws(Fault) {
        guard let byte = peek else { throw .malformed(at: place) }
        place += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
        case UInt8(ascii: "b"): bytes.append(8)
        case UInt8(ascii: "f"): bytes.append(12)
        case UInt8(ascii: "n"): bytes.append(10)
        case UInt8(ascii: "r"): bytes.append(13)
        case UInt8(ascii: "t"): bytes.append(9)
        case UInt8(ascii: "u"):
            var scalar = try unit()
            let behind = place
            if (0xD800...0xDBFF).contains(scalar), peek == UInt8(ascii: "\\"),
                place + 1 < text.count, text[place + 1] == UInt8(ascii: "u")
            {
                place += 2
                let low = try unit()
                if (0xDC00...0xDFFF).contains(low) {
                    scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
                } else {
                    place = behind
                }
            }
            // Half a pair is in the grammar, and is no character.
            bytes += Array(String(Character(Unicode.Scalar(scalar) ?? "\u{FFFD}")).utf8)
        default: throw .malformed(at: place - 1)
        }
    }

    private mutating func unit() throws(Fault) -> UInt32 {
        guard place + 4 <= text.count,
            text[place..<place + 4].allSatisfy({
                (48...57).contains($0) || (65...70).contains($0) || (97...102).contains($0)
            }),
            let unit = UInt32(String(decoding: text[place..<place + 4], as: UTF8.self), radix: 16)
        else { throw .malformed(at: place) }
        place += 4
        return unit
    }
}
