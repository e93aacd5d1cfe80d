import Petiole
import Testing

@testable import PetioleCLI

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Blocks") struct BlockCutterTests {
    let tool = Tool()

    static let rules = [
        RecordRule.lines, RecordRule(end: Array("ab".utf8)),
        RecordRule(end: [], start: Array("b".utf8)),
        RecordRule(end: Array("a".utf8), start: Array("b".utf8)), RecordRule(end: []),
        RecordRule(end: Array("aa".utf8)),
    ]

    /// Lengths of the blocks, by trying each place.
    static func blocks(_ bytes: [UInt8], size: Int, _ rule: RecordRule) -> [Int] {
        var blocks: [Int] = []
        var start = 0
        while start < bytes.count {
            let least = max(start + size, start + rule.end.count)
            let cut = (start + 1...bytes.count).first { place in
                place >= least && bytes[(place - rule.end.count)...].starts(with: rule.end)
                    && place + rule.start.count <= bytes.count
                    && bytes[place...].starts(with: rule.start)
            }
            blocks.append((cut ?? bytes.count) - start)
            start = cut ?? bytes.count
        }
        return blocks
    }

    /// The same when records are counted: each is what a block of a byte would be.
    static func blocks(_ bytes: [UInt8], _ size: BlockSize, _ rule: RecordRule) -> [Int] {
        switch size {
        case .bytes(let size): return blocks(bytes, size: size, rule)
        case .records(let count):
            let records = blocks(bytes, size: 1, rule)
            return stride(from: 0, to: records.count, by: count).map {
                records[$0..<min(records.count, $0 + count)].reduce(0, +)
            }
        }
    }

    private static func sizes(_ rule: RecordRule) -> [BlockSize] {
        (1...4).map { .bytes($0) } + (rule.length == 0 ? [] : (1...3).map { .records($0) })
    }

    /// All texts of some length over two letters, or a letter and a newline.
    static func texts(_ rule: RecordRule) -> [[UInt8]] {
        let letters = rule == .lines ? Array("a\n".utf8) : Array("ab".utf8)
        return (0...7).flatMap { length in
            (0..<(1 << length)).map { number in
                (0..<length).map { letters[number >> $0 & 1] }
            }
        }
    }

    @Test("what comes in pieces is cut where its bytes say, whatever the pieces", arguments: rules)
    func pieces(rule: RecordRule) {
        for text in Self.texts(rule) {
            for size in Self.sizes(rule) {
                let expected = Self.blocks(text, size, rule)
                for piece in 1...3 {
                    #expect(
                        Self.cut(text, size: size, rule, piece: piece) == expected,
                        "\(text), size \(size), pieces of \(piece)")
                }
            }
        }
    }

    private static func cut(
        _ text: [UInt8], size: BlockSize, _ rule: RecordRule, piece: Int
    ) -> [Int] {
        var cutter = BlockCutter(size: size, rule)
        var window: [UInt8] = []
        var rest = text[...]
        var blocks: [Int] = []
        var length = 0
        while !(window.isEmpty && rest.isEmpty && length == 0) {
            let (count, ends) = window.withUnsafeBytes {
                cutter.take($0, isLast: rest.isEmpty)
            }
            window.removeFirst(count)
            length += count
            if ends {
                blocks.append(length)
                length = 0
            } else {
                window += rest.prefix(piece)
                rest = rest.dropFirst(piece)
            }
        }
        // A block may turn out to be whole when nothing follows.
        return blocks.filter { $0 > 0 }
    }

    @Test("a file is cut in the same places as what is read", arguments: rules)
    func files(rule: RecordRule) throws {
        let path = tool.file("input")
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        try #require(file >= 0)
        defer { close(file) }
        for text in Self.texts(rule) {
            ftruncate(file, 0)
            #expect(pwrite(file, text, text.count, 0) == text.count)
            let identity = try #require(FileRange.Identity(of: file))
            for size in Self.sizes(rule) {
                var blocks = FileBlocks(
                    file, path: Array(path.utf8), identity, from: 0, size: size, rule)
                var lengths: [Int] = []
                var position: UInt64 = 0
                while let block = try blocks.next() {
                    #expect(block.offset == position)
                    position += block.length
                    lengths.append(Int(block.length))
                }
                #expect(
                    lengths == Self.blocks(text, size, rule), "\(text), size \(size)")
            }
        }
    }

    @Test("a record that is longer than what is looked at is found to its end")
    func longRecord() throws {
        let text = String(repeating: "x", count: 3_000_000) + "\n" + "y\nz"
        try tool.write(text, to: "input")
        let file = open(tool.file("input"), O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        let identity = try #require(FileRange.Identity(of: file))
        var blocks = FileBlocks(
            file, path: Array(tool.file("input").utf8), identity, from: 0, size: .bytes(10),
            .lines)
        #expect(try blocks.next()?.length == 3_000_001)
        #expect(try blocks.next()?.length == 3)
        #expect(try blocks.next() == nil)
    }

    @Test("sizes and separators are read as a command line says them")
    func options() {
        #expect(RunPipeOptions.size("10M") == 10 << 20)
        #expect(RunPipeOptions.size("10k") == 10_000)
        #expect(RunPipeOptions.size("1g") == 1_000_000_000)
        #expect(RunPipeOptions.size("7") == 7)
        for wrong in ["", "k", "-1k", "1x", "99999999999g"] {
            #expect(RunPipeOptions.size(wrong) == nil, "\(wrong)")
        }
        #expect(
            RecordRule.bytes(Array(#"a\n\x1e\0\\"#.utf8)) == [97, 10, 0x1E, 0, UInt8(ascii: "\\")])
        for wrong in [#"\"#, #"\x1"#, #"\xzz"#, #"\q"#] {
            #expect(RecordRule.bytes(Array(wrong.utf8)) == nil, "\(wrong)")
        }
    }
}
