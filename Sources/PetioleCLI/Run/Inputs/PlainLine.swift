/// A line that says the same with no shell: words of plain characters with blanks between them, the first of them a program.
enum PlainLine {
    /// What a shell does itself, or would read otherwise than as a program's name.
    private static let own = Set(
        """
        . : [ alias bg bind break builtin caller case cd chdir command compgen complete compopt continue coproc \
        declare dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for function \
        getopts hash help history if in jobs kill let local logout mapfile newgrp popd printf pushd pwd read \
        readarray readonly return select set shift shopt source suspend test then time times trap true type \
        typeset ulimit umask unalias unset until wait while
        """.split(separator: " ").map(String.init))

    /// The words of such a line; nil: a shell is needed, or would say better what is wrong.
    static func words(of line: [UInt8], _ rules: PlaceRules) -> [[UInt8]]? {
        var words: [[UInt8]] = []
        var word: [UInt8] = []
        var index = 0
        while index < line.count {
            if let (place, length) = Place.at(index, of: line, rules) {
                // A shell would part what stands around several values.
                if rules.isSpread, place.isOfAll {
                    let behind = index + length
                    guard place == .whole, word.isEmpty,
                        behind == line.count || line[behind] == UInt8(ascii: " ")
                            || line[behind] == 9
                    else { return nil }
                }
                word += line[index..<(index + length)]
                index += length
                continue
            }
            let byte = line[index]
            if byte == UInt8(ascii: " ") || byte == 9 {
                if !word.isEmpty { words.append(word) }
                word = []
            } else if isPlain(byte) {
                word.append(byte)
            } else {
                return nil
            }
            index += 1
        }
        if !word.isEmpty { words.append(word) }
        guard let program = words.first, !program.contains(UInt8(ascii: "=")),
            !program.contains(UInt8(ascii: "/")), !program.contains(UInt8(ascii: "{")),
            !own.contains(String(decoding: program, as: UTF8.self)),
            ProgramSearch.startsByItself(program)
        else { return nil }
        return words
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
            true
        default: "./_-+@%,:=".utf8.contains(byte)
        }
    }
}
