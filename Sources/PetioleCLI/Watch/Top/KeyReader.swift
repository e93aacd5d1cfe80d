/// A key of the keyboard, as far as we know it.
enum Key: Equatable, Sendable {
    case up, down, pageUp, pageDown, home, end
    case tab, backTab, enter, escape
    case letter(Character)
}

/// Makes keys of the bytes that a terminal sends, in whatever pieces they come.
struct KeyReader {
    private var held: [UInt8] = []

    /// Whether the beginning of something is held that may go on: a key Escape, or what other keys begin with.
    var isUnfinished: Bool { !held.isEmpty }

    mutating func take(_ bytes: some Sequence<UInt8>) -> [Key] {
        held.append(contentsOf: bytes)
        var keys: [Key] = []
        while let (key, count) = Self.first(held) {
            held.removeFirst(count)
            if let key { keys.append(key) }
        }
        return keys
    }

    /// Nothing has come for a while: what is held was all.
    mutating func finish() -> [Key] {
        defer { held = [] }
        return held.first == 0x1B ? [.escape] : []
    }

    /// The first key and its length; nil in the tuple: one that is not known. Nil: more is needed.
    private static func first(_ bytes: [UInt8]) -> (Key?, Int)? {
        guard let byte = bytes.first else { return nil }
        switch byte {
        case 0x1B: return sequence(bytes)
        case 0x0D, 0x0A: return (.enter, 1)
        case 0x09: return (.tab, 1)
        case 0x0E: return (.down, 1)
        case 0x10: return (.up, 1)
        case 0x00..<0x20, 0x7F: return (nil, 1)
        case 0x20..<0x80: return (.letter(Character(Unicode.Scalar(byte))), 1)
        default:
            // A letter beyond ASCII is no command.
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return bytes.count < length ? nil : (nil, length)
        }
    }

    /// `ESC [` or `ESC O`, parameters, and a letter that ends it.
    private static func sequence(_ bytes: [UInt8]) -> (Key?, Int)? {
        guard bytes.count >= 2 else { return nil }
        guard bytes[1] == UInt8(ascii: "[") || bytes[1] == UInt8(ascii: "O") else {
            // Escape, and a key of its own behind it.
            return (.escape, 1)
        }
        guard let end = bytes.dropFirst(2).firstIndex(where: { (0x40...0x7E).contains($0) }) else {
            // Longer than any that we know: it is noise.
            return bytes.count > 32 ? (nil, bytes.count) : nil
        }
        let key: Key? =
            switch bytes[end] {
            case UInt8(ascii: "A"): .up
            case UInt8(ascii: "B"): .down
            case UInt8(ascii: "H"): .home
            case UInt8(ascii: "F"): .end
            case UInt8(ascii: "Z"): .backTab
            case UInt8(ascii: "~"):
                switch String(decoding: bytes[2..<end], as: UTF8.self) {
                case "1", "7": .home
                case "4", "8": .end
                case "5": .pageUp
                case "6": .pageDown
                default: nil
                }
            default: nil
            }
        return (key, end + 1)
    }
}
