/// How much a block has.
enum BlockSize: Equatable, Sendable {
    /// At least 1; and what follows to the end of the record.
    case bytes(Int)
    /// At least 1, of a rule that says what ends one.
    case records(Int)
}

/// Cuts what comes piece by piece into blocks.
///
/// A block ends with the first record that ends at or behind the size, or where the input ends: so it has at least that size,
/// but for the last one, and the longer its records are the more it has beyond. Or it ends with its last record, when these
/// are counted. Where it ends depends on its bytes alone, not on the pieces, nor on what is before it.
struct BlockCutter {
    private let size: BlockSize
    private let rule: RecordRule
    /// Bytes of the block that were given out.
    private var given = 0
    /// Records of the block that have not ended, when these are counted.
    private var left = 0
    /// Where the end of the next of them may begin, behind what was given out.
    private var skipped = 0

    init(size: BlockSize, _ rule: RecordRule) {
        self.size = size
        self.rule = rule
        begin()
    }

    private mutating func begin() {
        given = 0
        // A block that begins with what a record begins with has not ended there.
        skipped = rule.end.isEmpty ? 1 : 0
        if case .records(let count) = size { left = count }
    }

    /// What can be given out of the bytes that follow what was given out: how many of the first belong to the block, and whether
    /// they are its last.
    /// - Parameter isLast: whether nothing follows these bytes. They are not empty then, or the block is.
    mutating func take(_ bytes: UnsafeRawBufferPointer, isLast: Bool) -> (count: Int, ends: Bool) {
        let (cut, from) = search(bytes)
        if let cut {
            begin()
            return (cut, true)
        }
        if isLast {
            begin()
            return (bytes.count, true)
        }
        // What may be the beginning of an end stays.
        let free = min(bytes.count, max(from, bytes.count - max(rule.length - 1, 0)))
        given += free
        skipped = max(0, from - free)
        return (free, false)
    }

    /// - Returns: where the block ends; else where the end that is looked for may begin.
    private mutating func search(_ bytes: UnsafeRawBufferPointer) -> (cut: Int?, from: Int) {
        switch size {
        case .bytes(let size):
            // Where the end of a record may begin that ends the block.
            let from = max(size - rule.end.count - given, 0)
            let cut = rule.cut(in: bytes, from: from)
            return (cut.flatMap { $0 + given > 0 ? $0 : nil }, from)
        case .records:
            var from = skipped
            while let cut = rule.cut(in: bytes, from: from) {
                left -= 1
                if left == 0 { return (cut, from) }
                from = rule.end.isEmpty ? cut + 1 : cut
            }
            return (nil, from)
        }
    }
}
