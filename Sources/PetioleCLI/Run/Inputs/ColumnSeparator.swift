import ArgumentParser

/// What stands between the columns of an input: `--colsep`.
enum ColumnSeparator: Equatable, Sendable {
    case text([UInt8])
    /// Blanks and tabs, one or more; those at the ends are none.
    case blanks

    /// Reads what a command line says: a text, in which `\t` is a tab and a backslash in front of a sign makes it that sign;
    /// or `\s+`.
    init(_ text: String) throws {
        if ["\\s+", " +", "\\s*", "[ \\t]+"].contains(text) {
            self = .blanks
            return
        }
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\"), let next = rest.popFirst() else {
                bytes.append(byte)
                continue
            }
            switch next {
            case UInt8(ascii: "t"): bytes.append(9)
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                throw ValidationError(
                    "--colsep takes a text, \\t in it for a tab, or \\s+ for blanks; no other pattern"
                )
            default: bytes.append(next)
            }
        }
        guard !bytes.isEmpty else {
            throw ValidationError("--colsep takes a text that is not empty")
        }
        self = .text(bytes)
    }

    func split(_ input: [UInt8]) -> [[UInt8]] {
        switch self {
        case .blanks:
            let columns = input.split { $0 == UInt8(ascii: " ") || $0 == 9 }.map { Array($0) }
            return columns.isEmpty ? [[]] : columns
        case .text(let separator) where separator.count == 1:
            return input.split(separator: separator[0], omittingEmptySubsequences: false).map {
                Array($0)
            }
        case .text(let separator):
            return input.split(separator: separator, omittingEmptySubsequences: false).map {
                Array($0)
            }
        }
    }
}
