/// How many cells of a terminal a letter takes: 0, 1 or 2.
///
/// Unicode's own table (EastAsianWidth.txt, W and F) in the blocks that fonts draw wide; a terminal that draws one
/// otherwise shifts the rest of that line until it is drawn anew.
enum CellWidth {
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x231A...0x231B, 0x23E9...0x23EC, 0x25FD...0x25FE, 0x2614...0x2615,
        0x2648...0x2653, 0x26A1...0x26A1, 0x2705...0x2705, 0x274C...0x274C, 0x2753...0x2755,
        0x2795...0x2797, 0x2B50...0x2B50, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF,
        0x4E00...0x9FFF, 0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF,
        0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F680...0x1F6FF,
        0x1F900...0x1F9FF, 0x1FA70...0x1FAFF, 0x20000...0x3FFFD,
    ]

    static func of(_ character: Character) -> Int {
        var width = 0
        for scalar in character.unicodeScalars { width = max(width, of(scalar)) }
        return width
    }

    private static func of(_ scalar: Unicode.Scalar) -> Int {
        if scalar.value < 0x300 { return 1 }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: return wide.contains { $0.contains(scalar.value) } ? 2 : 1
        }
    }

    static func of(_ text: String) -> Int { text.reduce(0) { $0 + of($1) } }

    /// The beginning of a text that takes so many cells at most; where that is not all of it, with `…` at its end.
    /// Looks at no more of the text than that.
    static func cut(_ text: String, to width: Int) -> String {
        var used = 0
        /// Of what fits before the mark.
        var end = text.startIndex
        for index in text.indices {
            used += of(text[index])
            if used > width { return width <= 0 ? "" : text[..<end] + "…" }
            if used < width { end = text.index(after: index) }
        }
        return text
    }
}
