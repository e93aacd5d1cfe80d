/// Finds what needs a reason in writing and has none.
enum Reasons {
    /// What needs one: a discarded error, an unchecked promise, an ordering.
    static let needy = [
        "try?", "@unchecked Sendable", "nonisolated(unsafe)", "unsafeBitCast",
        ".relaxed", ".acquiring", ".releasing", ".acquiringAndReleasing",
        ".sequentiallyConsistent",
    ]

    /// How far above a line its comment may end: a call that is broken over lines carries its
    /// ordering in the last.
    static let reach = 3

    /// The indices of needy lines that have a comment neither on the line nor up to ``reach`` lines
    /// above. Needy lines that follow one another are one run, and a comment above it serves all.
    static func missing(in lines: [Substring]) -> [Int] {
        let halves = lines.map(codeAndComment)
        var found: [Int] = []
        var runStart = 0
        for (index, line) in halves.enumerated() {
            guard isNeedy(line.code) else { continue }
            if index == 0 || !isNeedy(halves[index - 1].code) { runStart = index }
            let above = halves[max(0, runStart - reach)...index]
            if !above.contains(where: { $0.hasComment }) { found.append(index) }
        }
        return found
    }

    private static func isNeedy(_ code: Substring) -> Bool {
        needy.contains { word in
            code.ranges(of: word).contains { range in
                // Whole words alone: neither `Entry?` nor `.releasingLater`.
                let before = code[..<range.lowerBound].last
                let after = code[range.upperBound...].first
                return !(continuesName(word.first) && continuesName(before))
                    && !(continuesName(word.last) && continuesName(after))
            }
        }
    }

    private static func continuesName(_ character: Character?) -> Bool {
        character.map { $0.isLetter || $0.isNumber || $0 == "_" } ?? false
    }

    /// The part of a line before `//`, with what stands in quotes left out, and whether there is a
    /// comment behind it.
    static func codeAndComment(_ line: Substring) -> (code: Substring, hasComment: Bool) {
        var code = ""
        var isQuoted = false
        var previous: Character = " "
        for character in line {
            if character == "\"" && previous != "\\" {
                isQuoted.toggle()
            } else if !isQuoted {
                if character == "/" && previous == "/" {
                    return (Substring(code.dropLast()), true)
                }
                code.append(character)
            }
            previous = character
        }
        return (Substring(code), false)
    }
}
