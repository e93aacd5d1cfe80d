#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// Between which bytes an input may be cut into blocks.
struct RecordRule: Equatable, Sendable {
    /// What a record ends with; empty: anything.
    let end: [UInt8]
    /// What the next one begins with; empty: anything.
    let start: [UInt8]
    private let pattern: [UInt8]

    /// The longest end, or start, of a record.
    static let longest = 4_096

    init(end: [UInt8], start: [UInt8] = []) {
        self.end = end
        self.start = start
        pattern = end + start
    }

    static let lines = RecordRule(end: [UInt8(ascii: "\n")])

    /// So many bytes before and behind a cut tell that it is one.
    var length: Int { pattern.count }

    /// The first place to cut at that has the end of a record before it which begins at `from` or later.
    func cut(in bytes: UnsafeRawBufferPointer, from: Int) -> Int? {
        guard bytes.count - from >= max(1, pattern.count) else { return nil }
        if pattern.isEmpty { return from }
        let base = bytes.baseAddress!
        var place = from
        // By its first byte, mostly the only one.
        while place + pattern.count <= bytes.count {
            let places = bytes.count - pattern.count + 1 - place
            guard let found = memchr(base + place, Int32(pattern[0]), places) else { return nil }
            place = UnsafeRawPointer(found) - base
            if pattern.withUnsafeBytes({ memcmp(found, $0.baseAddress!, $0.count) }) == 0 {
                return place + end.count
            }
            place += 1
        }
        return nil
    }

    /// Reads what a command line says: `\n`, `\t`, `\r`, `\0`, `\\` and `\x1e` stand for a byte.
    static func bytes(_ text: [UInt8]) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "n"): bytes.append(10)
            case UInt8(ascii: "t"): bytes.append(9)
            case UInt8(ascii: "r"): bytes.append(13)
            case UInt8(ascii: "0"): bytes.append(0)
            case UInt8(ascii: "\\"): bytes.append(UInt8(ascii: "\\"))
            case UInt8(ascii: "x"):
                guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                    rest.count >= 2
                else { return nil }
                bytes.append(value)
                rest = rest.dropFirst(2)
            default: return nil
            }
        }
        return bytes.count <= longest ? bytes : nil
    }
}
