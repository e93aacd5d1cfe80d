import Petiole

/// Turns what a job writes into text that a terminal may show, piece by piece: control bytes, escapes and marks of direction
/// are written out, line ends and tabs stay. What is cut between two pieces is put together again.
struct ShownBytes: Sendable {
    /// The beginning of a letter, or of a line end, whose rest has not come yet: three bytes at most.
    private var held: [UInt8] = []

    mutating func take(_ bytes: some Sequence<UInt8>) -> String {
        var all = held
        all.append(contentsOf: bytes)
        held = Array(all.suffix(Self.unfinished(all)))
        return Self.text(all.dropLast(held.count))
    }

    /// What was held back.
    mutating func end() -> String {
        defer { held = [] }
        return Self.text(held[...])
    }

    /// The same of bytes that are there as a whole.
    static func whole(_ bytes: [UInt8]) -> String { text(bytes[...]) }

    /// How many bytes at the end may be continued by those to come.
    private static func unfinished(_ bytes: [UInt8]) -> Int {
        bytes.last == UInt8(ascii: "\r") ? 1 : unfinishedLetter(bytes)
    }

    /// How many bytes at the end are the beginning of a letter that is not whole.
    static func unfinishedLetter(_ bytes: [UInt8]) -> Int {
        for (index, byte) in bytes.suffix(3).reversed().enumerated() {
            let needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 0
            if needed > 0 { return needed > index + 1 ? index + 1 : 0 }
            // Neither a beginning nor the middle of a letter.
            if byte < 0x80 { return 0 }
        }
        return 0
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        // What most commands write, at a small part of the cost.
        if bytes.allSatisfy({ (32..<127).contains($0) || $0 == 9 || $0 == 10 }) { return text }
        var shown = ""
        var plain = ""
        var scalars = text.unicodeScalars.makeIterator()
        var next = scalars.next()
        while let scalar = next {
            next = scalars.next()
            if scalar == "\r", next == "\n" { continue }
            guard scalar == "\n" || scalar == "\t" else {
                plain.unicodeScalars.append(scalar)
                continue
            }
            shown += visible(plain)
            plain = ""
            shown.unicodeScalars.append(scalar)
        }
        return shown + visible(plain)
    }
}
