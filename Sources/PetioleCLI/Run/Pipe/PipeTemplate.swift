import Petiole

/// What `run --pipe` makes a command of for each block: the block is its standard input, and `{#}` its number.
struct PipeTemplate: Sendable {
    private let words: [[UInt8]]
    private let directory: [UInt8]
    private static let number = Array("{#}".utf8)
    /// What stands for inputs, of which there are none.
    private static let inputs = ["{}", "{.}", "{/}", "{//}", "{/.}", "{%}"]

    /// - Parameter isLine: whether the one word is a line for a shell.
    init(words: [[UInt8]], isLine: Bool, directory: [UInt8]) throws {
        for word in words {
            for index in word.indices where !Self.isShells(index, of: word) {
                let found = Self.inputs.first { word[index...].starts(with: $0.utf8) }
                guard let found else { continue }
                throw Failure.usage(
                    """
                    with --pipe a command gets its block on standard input, and \(found) stands for nothing
                    leave it out, or pass a file: petiole run --pipe 'cat > part.{#}'; {#} is the number of the block
                    """)
            }
        }
        self.words =
            isLine
            ? [Array("/bin/sh".utf8), Array("-c".utf8)]
                + [Array(words.joined(separator: CollectionOfOne(UInt8(ascii: " "))))]
            : words
        self.directory = directory
    }

    /// Whether a brace belongs to `${`.
    private static func isShells(_ index: Int, of word: [UInt8]) -> Bool {
        index > 0 && word[index - 1] == UInt8(ascii: "$")
    }

    /// - Parameter number: which of the blocks it is, from 1. It is digits, so it may stand anywhere in a line.
    func command(for input: Command.Input, number: Int) throws(InvalidCommand) -> Command {
        try Command(
            arguments: words.map { Self.replacing($0, by: number) }, workingDirectory: directory,
            standardInput: input)
    }

    private static func replacing(_ word: [UInt8], by number: Int) -> [UInt8] {
        guard word.contains(UInt8(ascii: "#")) else { return word }
        var result: [UInt8] = []
        var index = 0
        while index < word.count {
            if word[index...].starts(with: Self.number), !isShells(index, of: word) {
                result += Array(String(number).utf8)
                index += Self.number.count
            } else {
                result.append(word[index])
                index += 1
            }
        }
        return result
    }
}
